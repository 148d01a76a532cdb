"""Paths with names in them: `/users/{id}` takes one segment for each name, `/files/{rest...}` all that follows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.facts import FACTS

_OPEN = re.compile(r"\{([a-z][a-z0-9_]{0,31})(\.\.\.)?\}")


class PathPattern(NamedTuple):
    """A path by its segments, those behind the first slash: None stands for one with a name, which is never empty.

    `rest` is the name of all that follows the segments and a slash, nothing included; "" when nothing may follow.
    """

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    rest: str = ""

    @property
    def fixed(self) -> tuple[int, ...]:
        """The places of the segments that are written out."""
        return tuple(place for place, segment in enumerate(self.segments) if segment is not None)

    @property
    def anonymous(self) -> str:
        """The same pattern without its names: what it takes, not what it calls it."""
        segments = ["{}" if segment is None else segment for segment in self.segments]
        return "/" + "/".join([*segments, "{...}"] if self.rest else segments)

    def captured(self, given: Sequence[str]) -> dict[str, str]:
        """What stands at the names in a path of these segments that the pattern takes."""
        places = (place for place, segment in enumerate(self.segments) if segment is None)
        found = dict(zip(self.names, [given[place] for place in places], strict=True))
        if self.rest:
            found[self.rest] = "/".join(given[len(self.segments) :])
        return found


def segments_of(path: str) -> list[str]:
    """The segments of a path, those behind its first slash."""
    return path.split("/")[1:]


def pattern_of(text: str) -> PathPattern | None:
    """The pattern that a path of a configuration is, None for one without names; ValueError when it cannot be read."""
    if "{" not in text and "}" not in text:
        return None
    segments: list[str | None] = []
    names: list[str] = []
    rest = ""
    written = segments_of(text)
    for place, segment in enumerate(written):
        match = _OPEN.fullmatch(segment)
        if match is None:
            if "{" in segment or "}" in segment:
                raise ValueError('may have names for whole segments only; write "/users/{id}" or "/files/{rest...}"')
            segments.append(segment)
            continue
        name = match[1]
        if name in names:
            raise ValueError(f"has two segments that are called {name}; give each a name of its own")
        if name in FACTS:
            raise ValueError(f"calls a segment {name}, which means something else already; give it another name")
        if match[2]:
            if place + 1 != len(written):
                raise ValueError(f"goes on behind {segment}, which takes all that follows; end the path there")
            rest = name
        else:
            segments.append(None)
            names.append(name)
    return PathPattern(tuple(segments), tuple(names), rest)


def is_below(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or lies below it: `/api` takes `/api` and `/api/x`, not `/apis`."""
    if not path.startswith(prefix):
        return prefix == "/" and not path  # OPTIONS *
    return len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"

"""Texts and patterns replaced in content that comes in chunks, as if it came whole.

What might be the beginning of a match is kept back: of a text, the longest end of what came that is a beginning of the
text, nothing otherwise. Of a pattern nobody can say that, so as many octets are kept as a match may have, and one
before them, which `\\b` and `^` look at. A pattern looks at nothing until twice as much is there: then each octet is
looked at twice at most, however small the chunks are (THREATS A30).

Patterns are RE2's: a finite automaton, whose time is in proportion to the text. Content is octets here; patterns and
texts are UTF-8, as the content is.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import re2  # type: ignore[import-untyped]

MAX_PROGRAM_BYTES: Final = 8 << 20
"""Of one compiled pattern and its automaton."""

_GROUP: Final = re.compile(rb"\\([0-9\\])")


class Step(Protocol):
    """One change of content: `feed` each chunk, then `finish`. What they return may be empty."""

    def feed(self, data: bytes) -> bytes:
        """What may go on after `data`."""

    def finish(self) -> bytes:
        """What is left."""


class TextReplacer:
    """Replaces a text."""

    __slots__ = ("_held", "_new", "_old")

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old = old
        self._new = new
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """See `Step`."""
        parts = (self._held + data).split(self._old)
        last = parts[-1]
        kept = _begun(last, self._old)
        self._held = last[len(last) - kept :]
        parts[-1] = last[: len(last) - kept]
        return self._new.join(parts)

    def finish(self) -> bytes:
        """See `Step`."""
        held, self._held = self._held, b""
        return held


def _begun(data: bytes, text: bytes) -> int:
    """How many octets at the end of `data` are a beginning of `text`, and not all of it."""
    place = data.find(text[0], max(0, len(data) - len(text) + 1))
    while place != -1:
        if text.startswith(data[place:]):
            return len(data) - place
        place = data.find(text[0], place + 1)
    return 0


class CompiledPattern:
    """A pattern that can be searched for, and what it is replaced with. ValueError, a sentence, for what is none."""

    __slots__ = ("_template", "compiled", "max_bytes")

    def __init__(self, pattern: str, with_: str, max_bytes: int, *, ignore_case: bool = False) -> None:
        self.compiled = compiled(pattern, ignore_case=ignore_case)
        self.max_bytes = max_bytes
        self._template = _template(with_.encode())
        most = max([part for part in self._template if isinstance(part, int)], default=0)
        if most > self.compiled.groups:
            raise ValueError(f"`with` names group {most}, and the pattern has {self.compiled.groups}")

    def made_of(self, match: Any) -> bytes:
        """What stands in the place of `match`."""
        return b"".join([part if isinstance(part, bytes) else (match.group(part) or b"") for part in self._template])


def compiled(pattern: str, *, ignore_case: bool = False) -> Any:
    """RE2's own object. ValueError, a sentence, for what RE2 does not take and for what matches no text."""
    options = re2.Options()
    options.max_mem = MAX_PROGRAM_BYTES
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        made = re2.compile(b"(?m)" + pattern.encode(), options)
    except re2.error as error:
        why = error.args[0] if error.args else b""
        said = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise ValueError(f"is no regular expression of RE2: {said}") from None
    if made.search(b"") is not None:
        raise ValueError("matches where there is nothing; have it match at least one character")
    return made


class PatternReplacer:
    """Replaces what a pattern matches, up to its longest match. A longer one stays, as far as it was seen whole."""

    __slots__ = ("_before", "_parts", "_pattern", "_size")

    def __init__(self, pattern: CompiledPattern) -> None:
        self._pattern = pattern
        self._parts: list[bytes] = []
        self._size = 0
        self._before = 0
        """How many octets at the beginning have gone on already, and are only looked back at: 0 or 1."""

    def feed(self, data: bytes) -> bytes:
        """See `Step`."""
        self._parts.append(data)
        self._size += len(data)
        if self._size < 2 * self._pattern.max_bytes + 2:
            return b""
        return self._changed(is_all=False)

    def finish(self) -> bytes:
        """See `Step`."""
        return self._changed(is_all=True)

    def _changed(self, *, is_all: bool) -> bytes:
        data = b"".join(self._parts)
        longest, made_of, search = self._pattern.max_bytes, self._pattern.made_of, self._pattern.compiled.search
        # A match that begins here or before it is seen whole, and so is what follows it.
        settled = len(data) if is_all else len(data) - longest - 1
        done = place = self._before
        out: list[bytes] = []
        while place <= len(data) and (match := search(data, place)) is not None:
            start, end = match.span()
            if start > settled:
                break
            if end == start:
                place = end + 1
                continue
            place = end
            if end - start <= longest:
                out += (data[done:start], made_of(match))
                done = end
        done_now = max(done, settled, min(place, len(data)) if place > settled else 0)
        out.append(data[done:done_now])
        self._before = min(1, done_now)
        rest = data[done_now - self._before :]
        self._parts, self._size = ([rest], len(rest)) if not is_all else ([], 0)
        return b"".join(out)


def _template(text: bytes) -> list[bytes | int]:
    """The parts of what a match becomes: octets, and numbers of groups."""
    parts: list[bytes | int] = []
    done = 0
    for match in _GROUP.finditer(text):
        parts.append(text[done : match.start()])
        number = match[1][0] - 48
        parts.append(number if 0 <= number <= 9 else b"\\")
        done = match.end()
    parts.append(text[done:])
    return [part for part in parts if part != b""]

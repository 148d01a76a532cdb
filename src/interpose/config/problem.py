"""What is wrong with a configuration: every point of it, each with its place, its value and its fix."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

_MOST_SHOWN = 160
"""Characters of a value that a message repeats."""


class Absent:
    """The value of a problem that is about something missing, or about a whole table."""


ABSENT: Final = Absent()


class Problem(NamedTuple):
    """One thing to put right.

    `where` is the key path, tables of a list counted from 1: `listener[1].tls.key`; "" is the file as a whole.
    `source` and `line` are added where they are known.
    """

    where: str
    value: Any
    message: str
    source: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.source if self.line is None or not self.source else f"{self.source}:{self.line}"
        key = self.where if isinstance(self.value, Absent) else f"{self.where} = {shown(self.value)}"
        return ": ".join(part for part in (place, key, self.message) if part)


class ConfigError(ValueError):
    """A configuration that cannot run. `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """The value as TOML would write it, on one line, cut when it is long, control characters escaped."""
    if isinstance(value, dict):
        return "{ table }" if value else "{}"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value[:8]) + (", ...]" if len(value) > 8 else "]")
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."

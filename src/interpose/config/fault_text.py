"""Faults as one writes them in one line, on the command line: `latency latency_s=0.2 jitter_s=0.05 probability=0.5`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from interpose.config.problem import ConfigError, Problem

_WHOLE = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{0,18}\.[0-9]{1,18}|[0-9]{1,18}\.")
_OPTION = re.compile(r"([A-Za-z_-]+)=(.*)")


def fault_tables(texts: Iterable[str], place: str) -> list[dict[str, Any]]:
    """The tables that a file would have. ConfigError tells of every text that cannot be read; `place` is where such a
    table would stand. Which options there are, and their values, is judged as in a file."""
    tables: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            tables.append(fault_table(text))
        except ValueError as error:
            problems.append(Problem(place, text, str(error)))
    if problems:
        raise ConfigError(problems)
    return tables


def fault_table(text: str) -> dict[str, Any]:
    """One table. ValueError says what is wrong."""
    words = text.split()
    form = 'write for example "latency latency_s=0.2 probability=0.5"'
    if not words or "=" in words[0]:
        raise ValueError(f"must begin with the kind of the fault; {form}")
    table: dict[str, Any] = {"kind": words[0]}
    for word in words[1:]:
        found = _OPTION.fullmatch(word)
        if found is None:
            raise ValueError(f'has "{word}", which is no option with a value; {form}')
        name, value = found[1], found[2]
        if name in table:
            raise ValueError(f"says {name} twice; keep one")
        table[name] = value_of(value)
    return table


def value_of(text: str) -> int | float | str:
    """A number where it is one, else the text, which may be wrong for its option: that is said with its name."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text

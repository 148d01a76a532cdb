"""JSON for reading: a value a line, deeper ones further in; also where it was cut off.

It is written anew token by token and never becomes objects, so numbers stay as they were written, and keys that come
twice come twice. What is nested deeper than DEEPEST is not moved further in: else a text of a megabyte could become one
of a gigabyte of spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

DEEPEST = 40
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)


def is_json(data: bytes) -> bool:
    """Whether the octets are one JSON value."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def indented(text: str, most: int) -> tuple[str, bool]:
    """The text, and whether there is more of it than `most` characters."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(text):
        size += len(piece)
        pieces.append(piece)
        if size > most:
            return "".join(pieces)[:most], True
    return "".join(pieces), False


def _pieces(text: str) -> Iterator[str]:
    depth = 0
    before = ""
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "]}":
            depth = max(0, depth - 1)
            if before not in ("[", "{"):
                yield _line(depth)
        elif before and before in "[{,":
            yield _line(depth)
        yield f"{token} " if token == ":" else token
        if token in "[{":
            depth += 1
        before = token


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, DEEPEST)

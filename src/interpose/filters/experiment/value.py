"""The value with which a unit comes to a goal, out of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from interpose.core.message import Response
from interpose.core.tapped_body import Clock, Tap
from interpose.protocol.content_coding import Bounds, CodingError, coding_of, decoded
from interpose.protocol.number import decimal, fraction


def value_in_field(response: Response, name: str) -> float | None:
    """The number in a field of the answer."""
    value = response.fields.first(name.lower().encode("latin-1", "replace"))
    return None if value is None else fraction(value)


class JsonContent:
    """The content of an answer, kept as it flows past, up to a limit."""

    __slots__ = ("_coding", "_most", "_tap")

    def __init__(self, response: Response, most: int, clock: Clock) -> None:
        self._coding = response.fields.every(b"content-encoding")
        self._most = most
        digest = response.body.digest
        self._tap = Tap(response.body, most + 1, clock)
        response.body = self._tap.body
        response.body.digest = digest

    def value(self, pointer: Sequence[str]) -> float | None:
        """The number at a place, once the content has flowed; None when there is none, or it was too long."""
        if not self._tap.ended or self._tap.size > self._most:
            return None
        try:
            data = decoded(self._tap.kept, coding_of(self._coding), Bounds(max_bytes=self._most))
            return _at(msgspec.json.decode(data), pointer)
        except (ValueError, CodingError, RecursionError):
            return None


def _at(found: Any, pointer: Sequence[str]) -> float | None:
    for part in pointer:
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and (number := decimal(part.encode())) is not None and number < len(found):
            found = found[number]
        else:
            return None
    if isinstance(found, str):
        return fraction(found.encode())
    return found * 1.0 if isinstance(found, int | float) and not isinstance(found, bool) else None

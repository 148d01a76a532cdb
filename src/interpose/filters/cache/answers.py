"""The response that a stored one makes for a request: all of it, parts of it, 304, 416, or the head alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from interpose.core.body import EMPTY, Body
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.joined_body import Joined
from interpose.core.message import Response
from interpose.protocol import ranges
from interpose.protocol.caching import Asked, validators_of
from interpose.protocol.conditional import NONE, Verdict, evaluate_in_cache, range_applies
from interpose.protocol.stored import StoredHead

_OF_THE_CONTENT = frozenset((b"content-encoding", b"content-language", b"content-range", b"content-type"))


class Kept(Protocol):
    """Content that many may read: stored, or on its way."""

    def body(self, first: int = 0, last: int | None = None) -> Body:
        """A fresh body of all of it, or of the octets from `first` to `last`."""


def answer(
    asked: Asked, head: StoredHead, content: Kept, length: int | None, lines: Sequence[FieldLine], now: float
) -> Response:
    """What a request gets of a response that is good for it. `lines` are those of the whole answer; `length` is None
    while nobody knows it."""
    conditions = asked.conditions
    if conditions is not NONE and 200 <= head.status < 300:
        if evaluate_in_cache(asked.method, conditions, validators_of(head), now) is Verdict.NOT_MODIFIED:
            return Response(304, Fields.of([line for line in lines if line[0] not in _OF_THE_CONTENT]))
    if asked.method == "HEAD":
        response = Response(head.status, Fields.of(list(lines)), EMPTY, head.reason)
        response.declared_length = length
        return response
    if asked.range is not None and head.status == 200 and length is not None:
        if range_applies(conditions.if_range, validators_of(head), now):
            wanted = ranges.wanted(asked.range, length)
            if wanted is not None:
                return _parts(wanted, head, content, length, lines)
    return Response(head.status, Fields.of(list(lines)), content.body(), head.reason)


def _parts(
    wanted: list[ranges.Range], head: StoredHead, content: Kept, length: int, lines: Sequence[FieldLine]
) -> Response:
    fields = Fields.of(list(lines))
    if not wanted:
        fields.lines = [line for line in lines if line[0] not in _OF_THE_CONTENT]
        fields.lines.append(field_line("Content-Range", ranges.unsatisfied_range(length)))
        return Response(416, fields)
    if len(wanted) == 1:
        first, last = wanted[0]
        fields.lines.append(field_line("Content-Range", ranges.content_range(wanted[0], length)))
        return Response(206, fields, content.body(first, last))
    frame = ranges.multipart(wanted, length, head.first(b"content-type"), secrets.token_hex(16).encode("ascii"))
    pieces: list[bytes | Callable[[], Body]] = []
    for part_head, (first, last) in zip(frame.heads, wanted, strict=True):
        pieces.append(part_head)
        pieces.append(_Part(content, first, last))
    pieces.append(frame.end)
    fields.set("Content-Type", frame.content_type)
    return Response(206, fields, Joined(pieces, frame.length).body)


class _Part:
    """Makes the body of one part when its turn comes."""

    __slots__ = ("_content", "_first", "_last")

    def __init__(self, content: Kept, first: int, last: int) -> None:
        self._content = content
        self._first = first
        self._last = last

    def __call__(self) -> Body:
        return self._content.body(self._first, self._last)

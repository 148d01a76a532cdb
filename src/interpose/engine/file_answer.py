"""The answer that a file makes: all of it, parts of it, its head alone, 304, 412 or 416 (RFC 9110, 13 and 14)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from interpose.core.body import EMPTY, Body
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.joined_body import Joined
from interpose.core.message import Request, Response
from interpose.protocol import ranges
from interpose.protocol.conditional import Validators, Verdict, conditions_of, evaluate, range_applies
from interpose.storage.file_body import file_body
from interpose.storage.site import OpenFile

_OF_CONTENT = frozenset((b"content-type", b"content-encoding", b"accept-ranges", b"x-content-type-options"))


class FileContent(Protocol):
    """Content of which any part may be had."""

    length: int

    def body(self, first: int, last: int) -> Body:
        """The octets from `first` to `last`, both included."""


class InMemory:
    """Content that is here, or of which only the `length` is told, as for HEAD."""

    __slots__ = ("_data", "length")

    def __init__(self, data: bytes, length: int | None = None) -> None:
        self._data = data
        self.length = len(data) if length is None else length

    def body(self, first: int, last: int) -> Body:
        """See `FileContent.body`."""
        return Body(self._data[first : last + 1])


class OnDisk:
    """The content of an open file, read in threads."""

    __slots__ = ("_file", "_threads", "length")

    def __init__(self, file: OpenFile, threads: Executor) -> None:
        self._file = file
        self._threads = threads
        self.length = file.seen.size

    def body(self, first: int, last: int) -> Body:
        """See `FileContent.body`."""
        return file_body(self._file, self._threads, first, last)


def answer_of(request: Request, lines: list[FieldLine], content: FileContent, now: float) -> Response:
    """What a GET or HEAD gets of a file whose whole answer has these fields. `now` in seconds since the epoch."""
    asked = request.fields
    conditions = conditions_of(asked.lines)
    whole = Fields.of(lines.copy())
    validators = Validators(whole.first(b"etag"), whole.first(b"last-modified"), now)
    match evaluate(request.method, conditions, validators, now):
        case Verdict.NOT_MODIFIED:
            return Response(304, Fields.of([line for line in lines if line[0] not in _OF_CONTENT]))
        case Verdict.FAILED:
            return Response.text(412, "The file is not the one that the request is about.\n")
    length = content.length
    if request.method == "HEAD":
        response = Response(200, whole, EMPTY)
        response.declared_length = length
        return response
    wanted = asked.every(b"range")
    if len(wanted) == 1 and range_applies(conditions.if_range, validators, now):
        parts = ranges.wanted(wanted[0], length)
        if parts is not None:
            return _parts(parts, whole, content)
    return Response(200, whole, content.body(0, length - 1))


def _parts(parts: list[ranges.Range], fields: Fields, content: FileContent) -> Response:
    length = content.length
    if not parts:
        fields.lines = [line for line in fields.lines if line[0] not in _OF_CONTENT]
        fields.lines.append(field_line("Content-Range", ranges.unsatisfied_range(length)))
        return Response(416, fields)
    if len(parts) == 1:
        fields.lines.append(field_line("Content-Range", ranges.content_range(parts[0], length)))
        return Response(206, fields, content.body(*parts[0]))
    frame = ranges.multipart(parts, length, fields.first(b"content-type"), secrets.token_hex(16).encode("ascii"))
    pieces: list[bytes | Callable[[], Body]] = []
    for head, (first, last) in zip(frame.heads, parts, strict=True):
        pieces += (head, partial(content.body, first, last))
    pieces.append(frame.end)
    fields.set("Content-Type", frame.content_type)
    return Response(206, fields, Joined(pieces, frame.length).body)

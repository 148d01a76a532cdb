"""A record as rows of the database, and back.

Each row has a checksum over what never changes in it. SQLite notices pages that are not pages, but not an octet that
became another one; a row that is not what was written is treated as if it were not there.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from interpose.core.journal import Kept, Summary, Trait
from interpose.core.query.live import media_type
from interpose.core.record import Part, Passage, Record, field_pairs
from interpose.storage.journal import schema
from interpose.storage.journal.contents import INLINE_BYTES, Contents

FIXED = Summary.__struct_fields__[1:-2]
COLUMNS = ", ".join(("id", *FIXED, "mark", "comment", "checksum"))
INSERT_FLOW = f"INSERT INTO flow (id, {', '.join(FIXED)}, checksum, chunk) VALUES ({', '.join('?' * (len(FIXED) + 3))})"
INSERT_KEPT = "INSERT INTO kept (id, record, checksum) VALUES (?, ?, ?)"

SEEN = {column: FIXED.index(column) + 1 for column in ("host", "client", "status", "method")}
"""Columns whose values are noted, and where they stand in a row that is inserted."""

MOST_VALUES = 1000
"""How many values of a column are noted."""

_MOST = (1 << 63) - 1
_CONTENT_TYPE = b"\r\ncontent-type: "


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """What is in the row of `kept`. A digest stands for what is in a file; the messages there are MessagePack."""

    record: Record
    request_kept: int = 0
    response_kept: int = 0
    messages_kept: int = 0
    request: bytes = b""
    response: bytes = b""
    messages: bytes = b""
    request_redacted: tuple[str, ...] = ()
    response_redacted: tuple[str, ...] = ()


_STORED = msgspec.msgpack.Decoder(Stored)
_PASSAGES = msgspec.msgpack.Decoder(list[Passage])
_ENCODER = msgspec.msgpack.Encoder()
_encode = _ENCODER.encode

FlowRow = tuple[int | float | str, ...]
KeptRow = tuple[int, bytes, int]


class Rows(NamedTuple):
    """What one record is in the database. `blobs` are the digests and sizes of its files."""

    flow: FlowRow
    kept: KeptRow
    blobs: list[tuple[bytes, int]]


def rows_of(
    id: int, record: Record, redacted: tuple[tuple[str, ...], tuple[str, ...]], contents: Contents | None
) -> Rows:
    """The rows of `record`, which is changed: long contents are in files afterwards, or gone without `contents`.
    Raises OSError when a file cannot be written."""
    request, response = record.request, record.response
    fixed = (
        record.exchange, record.kind.value, record.started, record.duration_s, record.listener, record.route,
        record.client[0], record.client[1], record.user, record.method, record.scheme, record.host, record.port,
        record.target, record.status, _type(request.fields), _type(response.fields), request.size, response.size,
        record.messages_total, record.failure, traits(record),
    )  # fmt: skip
    kept = len(request.content), len(response.content), len(record.messages)
    blobs: list[tuple[bytes, int]] = []
    in_file = messages_in_file = b""
    of_request = of_response = in_file
    if kept[0] > INLINE_BYTES:
        of_request = _filed(request.content, contents, blobs)
        record.request = replace(request, content=b"")
    if kept[1] > INLINE_BYTES:
        of_response = _filed(response.content, contents, blobs)
        record.response = replace(response, content=b"")
    if kept[2]:
        messages = _encode(record.messages)
        if len(messages) > INLINE_BYTES:
            messages_in_file = _filed(messages, contents, blobs)
            record.messages = []
    data = _encode(Stored(record, *kept, of_request, of_response, messages_in_file, *redacted))
    checksum = zlib.crc32(_encode(fixed), id & 0xFFFFFFFF)
    return Rows((id, *fixed, checksum, id >> schema.CHUNK_BITS), (id, data, _sum(id, data)), blobs)


def _filed(data: bytes, contents: Contents | None, blobs: list[tuple[bytes, int]]) -> bytes:
    if contents is None:
        return b""
    digest = contents.put(data)
    blobs.append((digest, len(data)))
    return digest


def traits(record: Record) -> int:
    """What was done with the exchange, as a `Trait`."""
    found = 0
    if record.failure:
        found |= Trait.ERROR
    if record.held or "hold" in record.notes:
        found |= Trait.HELD
    if record.replay_of:
        found |= Trait.REPLAYED
    notes = record.notes
    if notes:
        if "edited" in notes:
            found |= Trait.EDITED
        if "filter" in notes:
            found |= Trait.BLOCKED
    if b"ache-" in record.response.fields and _is_hit(record.response.fields):
        found |= Trait.CACHED
    return int(found)


def _is_hit(fields: bytes) -> bool:
    """Whether Cache-Status says that a cache of ours answered (RFC 9211, 2.1): the last of its members is ours."""
    found = [value for name, value in field_pairs(fields) if name.lower() == b"cache-status"]
    return bool(found) and b"; hit" in found[-1].rsplit(b",", 1)[-1]


def _type(fields: bytes) -> str:
    """The media type that Content-Type tells, as `core.query` reads it."""
    folded = b"\r\n" + fields.lower()
    place = folded.find(_CONTENT_TYPE)
    if place < 0:
        return ""
    start = place + len(_CONTENT_TYPE) - 2  # `folded` is two octets ahead
    if folded.find(_CONTENT_TYPE, start) >= 0:
        values = [value for name, value in field_pairs(fields) if name.lower() == b"content-type"]
        return media_type(b", ".join(values).decode("latin-1"))
    return media_type(fields[start : fields.find(b"\r\n", start)].decode("latin-1"))


def summary_of(row: tuple[object, ...]) -> Summary | None:
    """The summary in a row of COLUMNS; None when the row is not what was written."""
    if zlib.crc32(_encode(row[1:-3]), row[0] & 0xFFFFFFFF) != row[-1]:  # type: ignore[operator]
        return None
    return Summary(*row[:-1])  # type: ignore[arg-type]


def stored_of(id: int, data: object, checksum: object) -> Stored | None:
    """What is in a row of `kept`; None when the row is not what was written."""
    if not isinstance(data, bytes) or _sum(id, data) != checksum:
        return None
    try:
        return _STORED.decode(data)
    except msgspec.MsgspecError:
        return None


def kept_of(summary: Summary, stored: Stored) -> Kept:
    """What `Journal.get` gives: everything but contents and messages."""
    record = stored.record
    record.request, record.response, record.messages = _bare(record.request), _bare(record.response), []
    return Kept(
        summary, record, stored.request_kept, stored.response_kept, stored.messages_kept,
        stored.request_redacted, stored.response_redacted,
    )  # fmt: skip


def whole(stored: Stored, contents: Contents) -> Record:
    """The record with all that is kept of its contents and messages."""
    record = stored.record
    if stored.request:
        record.request = replace(record.request, content=contents.get(stored.request) or b"")
    if stored.response:
        record.response = replace(record.response, content=contents.get(stored.response) or b"")
    if stored.messages:
        record.messages = passages(contents.get(stored.messages) or b"\x90")
    return record


def passages(data: bytes) -> list[Passage]:
    """Messages that were put into a file."""
    return _PASSAGES.decode(data)


def is_storable(record: Record) -> bool:
    """Whether all its numbers fit into a column. (Those of our own workers do.)"""
    numbers = (record.client[1], record.port, record.status, record.request.size, record.response.size,
               record.messages_total, record.replay_of)  # fmt: skip
    return all(-_MOST <= number <= _MOST for number in numbers)


def _bare(part: Part) -> Part:
    return replace(part, content=b"") if part.content else part


def _sum(id: int, data: bytes) -> int:
    return zlib.crc32(data, id & 0xFFFFFFFF)

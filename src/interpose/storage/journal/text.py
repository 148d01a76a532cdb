"""The text of a record: what queries search, and what the index knows of it.

Content is text when its coding can be undone within bounds and nothing in it says otherwise; what is undone is at most
MAX_TEXT_BYTES, from one coding (a bomb is seen after that much, and is no text). The octets are read as UTF-8, with a
replacement where they are none: then also a word of a binary format is found.
"""

from __future__ import annotations

from interpose.core.journal import Summary, states_of
from interpose.core.query.recorded import Recorded
from interpose.core.record import Part, Record, field_pairs
from interpose.protocol.content_coding import CodingError, Decoder, coding_of

MAX_TEXT_BYTES = 1 << 20


def text_of(part: Part) -> str:
    """The text of a content, its coding undone; as much of it as could be."""
    content = part.content
    if not content:
        return ""
    try:
        coding = coding_of([value for name, value in field_pairs(part.fields) if name.lower() == b"content-encoding"])
    except CodingError:
        return content[:MAX_TEXT_BYTES].decode("utf-8", "replace")
    if not coding:
        return content[:MAX_TEXT_BYTES].decode("utf-8", "replace")
    return _undone(content, coding).decode("utf-8", "replace")


def _undone(content: bytes, coding: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in Decoder(coding).decode(content):
            pieces.append(piece)
            size += len(piece)
            if size >= MAX_TEXT_BYTES:
                break
    except CodingError:
        pass  # what was kept is only the beginning, or it is not what it says; what came out so far is there
    return b"".join(pieces)[:MAX_TEXT_BYTES]


def texts_of(record: Record) -> tuple[str, str]:
    """The text of the request and of the response, or of what a conversation carried each way."""
    request, response = text_of(record.request), text_of(record.response)
    if record.messages:
        request += "".join(["\n" + _read(one.data) for one in record.messages if one.inbound])
        response += "".join(["\n" + _read(one.data) for one in record.messages if not one.inbound])
    return request, response


def _read(data: bytes) -> str:
    return data[:MAX_TEXT_BYTES].decode("utf-8", "replace")


def subject(record: Record, summary: Summary, now: float, *, with_texts: bool) -> Recorded:
    """The record as a query asks it. Without texts, every content is taken for empty."""
    request, response = texts_of(record) if with_texts else ("", "")
    return Recorded(
        record,
        now=now,
        number=summary.id,
        mark=summary.mark,
        comment=summary.comment,
        states=states_of(summary),
        request_text=request,
        response_text=response,
    )


def indexed_text(record: Record) -> str:
    """All text of a record in one: every text that a query can find in it is a part of this one."""
    servers = " ".join([attempt.peer[0] for attempt in record.attempts])
    heads = f"{record.method} {record.target}\n{record.host} {servers}"
    fields = (record.request.fields + record.response.fields).decode("latin-1")
    notes = "\n".join([f"{name}: {value}" for name, value in record.notes.items()])
    text = "\n".join((heads, fields, notes, *texts_of(record)))
    return text.replace("\0", " ")

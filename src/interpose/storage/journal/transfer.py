"""A journal as text, to be taken elsewhere: one JSON value a line.

    {"format": "interpose-journal", "version": 1}
    {"id": 17, "mark": "star", "comment": "", "record": […]}
    …

The first line says what it is. A record is what `core.record` says, octets in base64; what was redacted stays so. The
numbers are those of the journal it comes from, in their order; where it is taken in, records get new ones.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from interpose.core.query.tree import Query
from interpose.core.record import Record
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.rows import is_storable

FORMAT: Final = "interpose-journal"
VERSION: Final = 1
MAX_LINE_BYTES: Final = 32 << 20
"""The longest line that is taken in. One of a record with two contents of 1 MiB and as much in messages has 6 MiB."""

BATCH_RECORDS: Final = 200
BATCH_BYTES: Final = 8 << 20


class Heading(msgspec.Struct, forbid_unknown_fields=True):
    """The first line."""

    format: str
    version: int


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A line for one record."""

    record: Record
    id: int = 0
    mark: str = ""
    comment: str = ""


_HEADING = msgspec.json.Decoder(Heading)
_ENTRY = msgspec.json.Decoder(Entry)


class BadExport(ValueError):
    """What was to be taken in is no export of a journal, or not a whole one; one sentence, which names the line."""


def exported(reader: Reader, query: Query | None = None, *, after: int = 0) -> Iterator[bytes]:
    """The lines of an export of all records that match `query` and have numbers above `after`, each with its line
    feed."""
    yield msgspec.json.encode(Heading(FORMAT, VERSION)) + b"\n"
    for id in oldest_first(reader, query, after=after):
        kept = reader.get(id)
        record = reader.whole(id)
        if kept is not None and record is not None:
            summary = kept.summary
            yield msgspec.json.encode(Entry(record, id, summary.mark, summary.comment)) + b"\n"


def oldest_first(reader: Reader, query: Query | None = None, *, after: int = 0) -> Iterator[int]:
    """The numbers of the records that match, in their order: eight octets of memory for each."""
    return reversed(array("q", reader.numbers(query, after=after)))


def entries(lines: BinaryIO) -> Iterator[list[Entry]]:
    """The records of an export, in batches. Raises BadExport."""
    _check_heading(_line(lines, 1))
    batch: list[Entry] = []
    size = 0
    for number in itertools.count(2):
        line = _line(lines, number)
        if not line:
            break
        batch.append(entry_of(line, number))
        size += len(line)
        if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def take_in(writer: JournalWriter, batch: list[Entry]) -> int:
    """Write a batch of `entries`; how many records."""
    for entry in batch:
        entry.record.replay_of = 0  # a number of another journal
    rows = writer.add([entry.record for entry in batch])
    for entry, row in zip(batch, rows, strict=True):
        if entry.mark:
            writer.mark(row.id, entry.mark)
        if entry.comment:
            writer.comment(row.id, entry.comment)
    return len(rows)


def _line(lines: BinaryIO, number: int) -> bytes:
    line = lines.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise BadExport(f"line {number} is longer than {MAX_LINE_BYTES} octets; no export has such a line.")
    if line and not line.endswith(b"\n"):
        raise BadExport(f"line {number} is not whole: the file was cut off there.")
    return line


def _check_heading(line: bytes) -> None:
    try:
        heading = _HEADING.decode(line)
    except msgspec.MsgspecError:
        heading = Heading("", 0)
    if heading.format != FORMAT:
        raise BadExport("line 1 does not say that this is an export of a journal; `interpose flows export` makes one.")
    if heading.version != VERSION:
        raise BadExport(f"line 1 says version {heading.version}, and this program reads version {VERSION}.")


def entry_of(line: bytes, number: int) -> Entry:
    """The record in a line, which is the one with that number. Raises BadExport."""
    try:
        entry = _ENTRY.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadExport(f"line {number} is no record: {error}.") from None
    if not is_storable(entry.record):
        raise BadExport(f"line {number} has a number that is too large.")
    return entry

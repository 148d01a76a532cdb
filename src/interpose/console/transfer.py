"""Taking a journal elsewhere, and taking one in: as it is, as a capture (pcapng) or as an archive (HAR)."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response

from interpose.console.downloads import streamed
from interpose.console.resource import Parameter, Refusal, Resource, Role, number
from interpose.console.services import Records
from interpose.core.query import Query, parse
from interpose.core.record import Record
from interpose.storage.exports.capture import capture
from interpose.storage.exports.har import archive
from interpose.storage.exports.har_reading import MAX_FILE_BYTES, BadArchive, records_of
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.transfer import BATCH_RECORDS, BadExport, entries, exported, oldest_first, take_in

MAX_IMPORT_BYTES: Final = 8 << 30
_WRITE_BYTES: Final = 1 << 20
_SNIFFED_BYTES: Final = 4096
_ARCHIVE_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"log\"")


def _journal(reader: Reader, query: Query | None, after: int) -> Iterator[bytes]:
    return exported(reader, query, after=after)


def _pcapng(reader: Reader, query: Query | None, after: int) -> Iterator[bytes]:
    return capture(record for _, record in reader.wholes(oldest_first(reader, query, after=after)))


def _har(reader: Reader, query: Query | None, after: int) -> Iterator[bytes]:
    return archive(reader.wholes(oldest_first(reader, query, after=after)))


FORMATS: Final = {
    "journal": (_journal, "interpose-flows.ndjson", "application/x-ndjson"),
    "pcapng": (_pcapng, "interpose-flows.pcapng", "application/x-pcapng"),
    "har": (_har, "interpose-flows.har", "application/json"),
}


def transfer_resources(records: Records) -> list[Resource]:
    """Export and import."""

    async def export(request: Request) -> Response:
        text = request.query_params.get("q", "").strip()
        query = parse(text) if text else None
        wanted = request.query_params.get("format", "journal")
        if wanted not in FORMATS:
            raise Refusal(422, f"There is no format {wanted[:40]!r}; there are {', '.join(FORMATS)}.")
        pieces, name, media_type = FORMATS[wanted]
        return streamed(pieces(records.counting, query, number(request, "after")), name, media_type)

    async def take(request: Request) -> dict[str, int]:
        with tempfile.TemporaryFile(dir=records.thread.directory) as file:
            await _received(request, file)
            return {"imported": await asyncio.to_thread(_taken_in, records, file)}

    return [
        Resource(
            method="GET", path="/flows/export", handler=export, answer="application/x-ndjson",
            about="The flows that match a query, oldest first, with all that is kept of them.",
            query=(
                Parameter("q", "A query; without one, everything is meant."),
                Parameter("format", "journal (a line of JSON for each, when not given), pcapng or har."),
                Parameter("after", "Only flows with greater numbers.", "integer"),
            ),
            refusals={422: "There is no such format, or the query is none."},
        ),
        Resource(
            method="POST", path="/flows/import", handler=take, role=Role.EDITOR, content="application/x-ndjson",
            answer=dict[str, int], about="Take in what was exported, or a HAR file. They get new numbers.",
            refusals={422: "It is no export and no HAR file, or not a whole one; nothing was taken in."},
        ),
    ]  # fmt: skip


async def _received(request: Request, file: BinaryIO) -> None:
    size = 0
    waiting: list[bytes] = []
    waiting_bytes = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_IMPORT_BYTES:
            raise Refusal(413, f"The export is longer than {MAX_IMPORT_BYTES >> 30} GiB; take it in in parts.")
        waiting.append(piece)
        waiting_bytes += len(piece)
        if waiting_bytes >= _WRITE_BYTES:
            await asyncio.to_thread(file.writelines, waiting)
            waiting, waiting_bytes = [], 0
    await asyncio.to_thread(file.writelines, waiting)


def _taken_in(records: Records, file: BinaryIO) -> int:
    """How many records were taken in. All is read once before anything is written, so that half of it never is."""
    file.seek(0)
    if _ARCHIVE_BEGINS.match(file.read(_SNIFFED_BYTES)):
        return _taken_from_archive(records, file)
    try:
        file.seek(0)
        for _ in entries(file):
            pass
    except BadExport as error:
        raise Refusal(422, f"{str(error)[0].upper()}{str(error)[1:]} Nothing was taken in.") from None
    file.seek(0)
    count = 0
    for batch in entries(file):
        count += records.thread.call(lambda writer, batch=batch: take_in(writer, batch)).result()  # type: ignore[misc]
    return count


def _taken_from_archive(records: Records, file: BinaryIO) -> int:
    if file.seek(0, 2) > MAX_FILE_BYTES:
        raise Refusal(413, f"The HAR file is longer than {MAX_FILE_BYTES >> 20} MiB; take it in in parts.")
    file.seek(0)
    data = file.read()
    try:
        for _ in records_of(data):
            pass
    except BadArchive as error:
        raise Refusal(422, f"{str(error)[0].upper()}{str(error)[1:]} Nothing was taken in.") from None
    found = records_of(data)
    count = 0
    while batch := list(itertools.islice(found, BATCH_RECORDS)):
        count += records.thread.call(lambda writer, batch=batch: _added(writer, batch)).result()  # type: ignore[misc]
    return count


def _added(writer: JournalWriter, batch: list[Record]) -> int:
    return len(writer.add(batch))

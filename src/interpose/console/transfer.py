"""Taking a journal elsewhere, and taking one in."""

from __future__ import annotations

import asyncio
import tempfile
from typing import BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response

from interpose.console.downloads import streamed
from interpose.console.resource import Parameter, Refusal, Resource, Role
from interpose.console.services import Records
from interpose.core.query import parse
from interpose.storage.journal.transfer import BadExport, entries, exported, take_in

MAX_IMPORT_BYTES: Final = 8 << 30
_WRITE_BYTES: Final = 1 << 20


def transfer_resources(records: Records) -> list[Resource]:
    """Export and import."""

    async def export(request: Request) -> Response:
        text = request.query_params.get("q", "").strip()
        query = parse(text) if text else None
        return streamed(exported(records.counting, query), "interpose-flows.ndjson", "application/x-ndjson")

    async def take(request: Request) -> dict[str, int]:
        with tempfile.TemporaryFile(dir=records.thread.directory) as file:
            await _received(request, file)
            return {"imported": await asyncio.to_thread(_taken_in, records, file)}

    return [
        Resource(
            method="GET", path="/flows/export", handler=export, answer="application/x-ndjson",
            about="The flows that match a query, oldest first, one a line, with all that is kept of them.",
            query=(Parameter("q", "A query; without one, everything is meant."),),
        ),
        Resource(
            method="POST", path="/flows/import", handler=take, role=Role.EDITOR, content="application/x-ndjson",
            answer=dict[str, int], about="Take in what was exported. They get new numbers.",
            refusals={422: "It is no export, or not a whole one; nothing was taken in."},
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

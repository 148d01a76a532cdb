"""The journal in this process: a thread that writes, and a reader asked in other threads."""

from __future__ import annotations

import asyncio

from interpose.core.journal import Found, Kept
from interpose.core.query import parse
from interpose.core.record import Record, encode_records
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.thread import JournalThread


class LocalJournal:
    """A `core.journal.Journal`. Whoever made `thread` and `reader` closes them."""

    def __init__(self, thread: JournalThread, reader: Reader) -> None:
        self._thread = thread
        self._reader = reader

    async def add(self, records: list[Record]) -> None:
        """See `Journal.add`."""
        self._thread.offer(encode_records(records))

    async def find(self, query: str = "", *, before: int = 0, limit: int = 100) -> Found:
        """See `Journal.find`."""
        tree = parse(query) if query else None
        return await asyncio.to_thread(self._reader.find, tree, before=before, limit=limit)

    async def get(self, id: int) -> Kept | None:
        """See `Journal.get`."""
        return await asyncio.to_thread(self._reader.get, id)

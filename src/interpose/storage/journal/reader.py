"""Reading the journal, in any thread, while somebody writes to it.

A `Reader` has one connection and gives it to one caller at a time; who wants to read in parallel makes several. A
database that was put aside because it was damaged is noticed by its file, and the new one is opened.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from interpose.core.journal import Counted, Found, Kept, Summary
from interpose.core.query.tree import Query
from interpose.core.record import Passage, Record
from interpose.storage.journal import schema
from interpose.storage.journal.contents import Contents
from interpose.storage.journal.place import DATABASE
from interpose.storage.journal.rows import COLUMNS, Stored, kept_of, passages, stored_of, summary_of, whole
from interpose.storage.journal.search import Search

_BUSY_S = 1.0
_AT_ONCE = 100
_UNREADABLE = (
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
)  # fmt: skip

Answer = TypeVar("Answer")


class Reader:
    """Reads the journal in `directory`. Where there is none, or none that can be read, nothing is found."""

    def __init__(self, directory: str, wall: Callable[[], float] = time.time) -> None:
        self.contents = Contents(os.path.join(directory, "contents"))
        self._path = os.path.join(directory, DATABASE)
        self._wall = wall
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def find(self, query: Query | None = None, *, before: int = 0, after: int = 0, limit: int = 100) -> Found:
        """The newest records that match `query`, with numbers below `before` and above `after` (0: no bound)."""
        found = self._ask(lambda database: self._search(database, query).find(before, after, limit))
        return found or Found([])

    def count(self, query: Query | None = None) -> Counted:
        """How many records match `query`."""
        return self._ask(lambda database: self._search(database, query).count()) or Counted(0)

    def get(self, id: int) -> Kept | None:
        """The record with this number, without contents and messages."""
        found = self._ask(lambda database: _get(database, id))
        return kept_of(*found) if found else None

    def whole(self, id: int) -> Record | None:
        """The record with this number, with all that is kept of it."""
        found = self._ask(lambda database: _get(database, id))
        return whole(found[1], self.contents) if found else None

    def content(self, id: int, *, of_response: bool) -> bytes | None:
        """What is kept of the content of a request or response, as it was sent. None when there is no such record, or
        what was kept of it cannot be read any more."""
        found = self._ask(lambda database: _get(database, id))
        if not found:
            return None
        stored = found[1]
        digest = stored.response if of_response else stored.request
        part = stored.record.response if of_response else stored.record.request
        return self.contents.get(digest) if digest else part.content

    def messages(self, id: int, after: int = 0, limit: int = 200) -> list[Passage] | None:
        """Messages of a conversation from the one numbered `after` on (the first is 0); None as `content`."""
        found = self._ask(lambda database: _get(database, id))
        if not found:
            return None
        stored = found[1]
        messages = stored.record.messages
        if stored.messages:
            data = self.contents.get(stored.messages)
            if data is None:
                return None
            messages = passages(data)
        return messages[after : after + limit]

    def wholes(self, numbers: Iterable[int]) -> Iterator[tuple[int, Record]]:
        """Records as `whole` gives them, with their numbers, many at the cost of a few; those that are gone are left
        out. Contents in files are read one by one, as the records are taken."""
        rest = iter(numbers)
        while wanted := list(itertools.islice(rest, _AT_ONCE)):
            found = self._ask(lambda database, wanted=wanted: _stored(database, wanted))  # type: ignore[misc]
            for id, stored in found or ():
                yield id, whole(stored, self.contents)

    def numbers(self, query: Query | None = None, *, after: int = 0) -> Iterator[int]:
        """The numbers of all records that match and are above `after`, the newest first; asks again and again, so that
        writing goes on."""
        before = 0
        while True:
            found = self.find(query, before=before, after=after, limit=1000)
            yield from (row.id for row in found.rows)
            if not found.more:
                return
            before = found.before

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _search(self, database: sqlite3.Connection, query: Query | None) -> Search:
        return Search(database, self.contents, query, self._wall())

    def _ask(self, ask: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """What `ask` says of one moment of the database; None when it cannot be read. (Whoever writes will notice that
        it is damaged, too.)"""
        with self._lock:
            try:
                database = self._open()
                if database is None:
                    return None
                database.execute("BEGIN")
                try:
                    return ask(database)
                finally:
                    database.execute("ROLLBACK")
            except (sqlite3.Error, UnicodeDecodeError) as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                is_text = isinstance(error, sqlite3.OperationalError) and not code  # which is not UTF-8 any more
                if is_text and self._database is not None and self._database.text_factory is str:
                    self._database.text_factory = schema.tolerant
                    return self._ask(ask)
                self._close()
                if isinstance(error, sqlite3.Error) and not is_text and code not in _UNREADABLE:
                    raise
                return None

    def _open(self) -> sqlite3.Connection | None:
        try:
            inode = os.stat(self._path).st_ino
        except OSError:
            self._close()
            return None
        if self._database is not None and inode != self._inode:
            self._close()
        if self._database is None:
            self._database = schema.open_reader(self._path)
            self._database.execute(f"PRAGMA busy_timeout = {int(_BUSY_S * 1000)}")
            self._inode = inode
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None


def _get(database: sqlite3.Connection, id: int) -> tuple[Summary, Stored] | None:
    columns = database.execute(f"SELECT {COLUMNS} FROM flow WHERE id = ?", (id,)).fetchone()
    found = database.execute("SELECT record, checksum FROM kept WHERE id = ?", (id,)).fetchone()
    summary = summary_of(columns) if columns else None
    stored = stored_of(id, *found) if found else None
    return (summary, stored) if summary is not None and stored is not None else None


def _stored(database: sqlite3.Connection, numbers: list[int]) -> list[tuple[int, Stored]]:
    found: list[tuple[int, Stored]] = []
    for id in numbers:
        row = database.execute("SELECT record, checksum FROM kept WHERE id = ?", (id,)).fetchone()
        stored = stored_of(id, *row) if row else None
        if stored is not None:
            found.append((id, stored))
    return found

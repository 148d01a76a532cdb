"""The journal as its one writer has it: records in, marks and comments, indexing, retention. Synchronous.

Everything here belongs to one thread (`thread.JournalThread`), but for `Reader`s, which have connections of their own.
Each call is one transaction: it is done as a whole, or raises and has done nothing. What it raises is sqlite3.Error
and OSError; `place.is_damage` tells a damaged database from a disk that is full.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator

import msgspec

from interpose.core.journal import Summary
from interpose.core.record import Record
from interpose.storage.journal import retention, shelves
from interpose.storage.journal.contents import Contents
from interpose.storage.journal.place import DATABASE, is_damage, lock, open_database, prepare, set_aside
from interpose.storage.journal.redaction import Redaction
from interpose.storage.journal.rows import INSERT_FLOW, INSERT_KEPT, MOST_VALUES, SEEN, Rows, rows_of

_USE_BLOB = "INSERT INTO blob VALUES (?, ?, 1) ON CONFLICT (digest) DO UPDATE SET uses = uses + 1"
_SWEEP_S = 60.0


class Totals(msgspec.Struct, frozen=True):
    """How much there is. `bytes` are those of the database in use, without its log, and of all content files."""

    records: int
    bytes: int
    oldest: int
    newest: int
    indexed: int


class JournalWriter:
    """The journal in `directory`, which is made. Nobody else may write to it meanwhile.

    Raises ValueError, one sentence, when the directory must not be used; OSError and sqlite3.Error when it cannot be.
    """

    def __init__(self, directory: str, redaction: Redaction | None = None) -> None:
        prepare(directory)
        self.directory = directory
        self.contents = Contents(os.path.join(directory, "contents"))
        self._redaction = redaction or Redaction()
        self._lock = lock(directory)
        self._next = 1
        try:
            self._database = open_database(directory)
            try:
                self._begin()
            except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
                if isinstance(error, sqlite3.Error) and not is_damage(error):
                    raise
                self.begin_anew(str(error))
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self) -> None:
        last = self._number("SELECT max(value) FROM state WHERE name = 'last'")
        self._next = max(self._next, last + 1, self._number("SELECT max(id) FROM flow") + 1)
        self._blob_bytes = self._number("SELECT sum(size) FROM blob")
        self._next_sweep = time.monotonic() + _SWEEP_S
        self._seen: dict[str, set[object]] = {column: set() for column in SEEN}
        for column, value in self._database.execute("SELECT word, value FROM seen"):
            if column in self._seen:
                self._seen[column].add(value)

    def _number(self, query: str) -> int:
        return self._database.execute(query).fetchone()[0] or 0

    # --- records in --------------------------------------------------------------------------------------------------

    def add(self, records: list[Record]) -> list[Summary]:
        """Write `records`, which are changed; what they are in a table, numbers included. They are searched at once,
        and indexed later."""
        rows: list[Rows] = []
        try:
            self._add(records, rows)
        except BaseException:
            self._forget(rows)
            raise
        return [Summary(*row.flow[:-2]) for row in rows]  # type: ignore[arg-type]

    def _add(self, records: list[Record], rows: list[Rows]) -> None:
        redact = self._redaction.apply
        for id, record in enumerate(records, self._next):
            rows.append(rows_of(id, record, redact(record), self.contents))
        blobs = [blob for row in rows for blob in row.blobs]
        news = self._news(rows)
        with self._transaction() as database:
            database.executemany(INSERT_FLOW, [row.flow for row in rows])
            database.executemany(INSERT_KEPT, [row.kept for row in rows])
            if blobs:
                database.executemany(_USE_BLOB, blobs)
            if news:
                database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", news)
        self._next += len(rows)
        for column, value in news:
            self._seen[column].add(value)
        self._blob_bytes += sum(size for _, size in blobs)

    def _news(self, rows: list[Rows]) -> list[tuple[str, object]]:
        """Values that no record had before, of columns of which there are few. (One more than MOST_VALUES is noted: it
        says that there are too many.)"""
        news: list[tuple[str, object]] = []
        for column, place in SEEN.items():
            seen = self._seen[column]
            if len(seen) <= MOST_VALUES:
                found = {row.flow[place] for row in rows} - seen
                news += [(column, value) for value in list(found)[: MOST_VALUES + 1 - len(seen)]]
        return news

    def _forget(self, rows: list[Rows]) -> None:
        """Remove the files of records that were not written, but for those that others have too."""
        for row in rows:
            for digest, _ in row.blobs:
                with contextlib.suppress(sqlite3.Error):
                    if not self._knows(digest):
                        self.contents.remove(digest)

    def _knows(self, digest: bytes) -> bool:
        return self._database.execute("SELECT 1 FROM blob WHERE digest = ?", (digest,)).fetchone() is not None

    # --- what people add ---------------------------------------------------------------------------------------------

    def mark(self, id: int, mark: str) -> bool:
        """Give a record a mark, or none (""); whether there is such a record."""
        with self._transaction() as database:
            return database.execute("UPDATE flow SET mark = ? WHERE id = ?", (mark, id)).rowcount > 0

    def comment(self, id: int, comment: str) -> bool:
        """Give a record a comment; whether there is such a record."""
        with self._transaction() as database:
            return database.execute("UPDATE flow SET comment = ? WHERE id = ?", (comment, id)).rowcount > 0

    # --- what needs no hurry -----------------------------------------------------------------------------------------

    def index_some(self, records: int = 2000, octets: int = 8 << 20) -> int:
        """Index the text of the next records; how many there were."""
        return shelves.index_some(self._database, self.contents, records, octets)

    def retain(self, max_bytes: int, max_age_s: float, now: float | None = None) -> int:
        """One small step towards the limits, 0 for none: remove the oldest records, give free pages back. How many
        records were removed; call it again while that is not 0. Records with a mark go like all others."""
        since = (time.time() if now is None else now) - max_age_s if max_age_s else 0.0
        with self._transaction() as database:
            totals = self.totals
            step = retention.remove_some(database, totals.bytes, max_bytes, since, self._next)
            if step.records:
                database.execute("INSERT OR REPLACE INTO state VALUES ('last', ?)", (self._next - 1,))
        for digest, size in step.unused:
            self.contents.remove(digest)
            self._blob_bytes -= size
        retention.give_back(self._database)
        return step.records

    def sweep(self) -> int:
        """Look, once a minute at most, at some of the content files for such that no record has; how many went."""
        if time.monotonic() < self._next_sweep:
            return 0
        self._next_sweep = time.monotonic() + _SWEEP_S
        return self.contents.sweep(self._knows)

    @property
    def totals(self) -> Totals:
        """How much there is. (Numbers are given without gaps, so nothing has to be counted.)"""
        oldest = self._number("SELECT min(id) FROM flow")
        newest = self._number("SELECT max(id) FROM flow")
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return Totals(
            newest - oldest + 1 if newest else 0,
            pages * self._number("PRAGMA page_size") + self._blob_bytes,
            oldest,
            newest,
            shelves.indexed_up_to(self._database),
        )

    # --- the end, and other troubles ---------------------------------------------------------------------------------

    def begin_anew(self, why: str) -> None:
        """The database turned out to be damaged: put it aside and begin with an empty one."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        path = os.path.join(self.directory, DATABASE)
        if os.path.exists(path):
            set_aside(path, why)
        self._database = open_database(self.directory)
        self._begin()

    def close(self) -> None:
        """Write what the log of the database still has into it, and let others have the journal."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        os.close(self._lock)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            raise

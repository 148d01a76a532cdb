"""The text index, in shelves: each run of numbers has an index of its own.

A query wants text anywhere ("oken" finds "token"), so what is indexed are the trigrams of the text; SQLite's FTS5 makes
them. It keeps only which record has a trigram (`detail=none`), a little over an octet for each: about as much as the
text itself. What a query finds here is a *candidate*, which has the trigrams but perhaps not side by side, and is read
to make sure.

Nothing is ever taken out of an index. When the last record of a shelf is gone its index is dropped as a whole, so that
retention costs nothing for each record. A search goes from the newest shelf to the oldest and ends as soon as it has
enough; and a new shelf begins before the trees get deep.

Indexing is late: records are written first, and indexed when there is time (`JournalThread`). A record that is not
indexed yet is a candidate for every text, so lateness costs time, and nothing is ever missed.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from interpose.storage.journal.contents import Contents
from interpose.storage.journal.place import damaged
from interpose.storage.journal.rows import stored_of, whole
from interpose.storage.journal.text import indexed_text

SHELF_RECORDS = 65536
SHELF_OCTETS = 256 << 20
_HASH_BYTES = 4 << 20
_MOST_TRIGRAMS = 16

_UNREAD = (
    "SELECT id, started, record, kept.checksum FROM kept JOIN flow USING (id) "
    "WHERE kept.id > ? ORDER BY kept.id LIMIT ?"
)


class Shelf(NamedTuple):
    """A run of numbers. `oldest` and `newest` are the first and the last moment at which one of its records began."""

    number: int
    first: int
    last: int
    octets: int
    oldest: float
    newest: float
    is_full: int

    @property
    def table(self) -> str:
        """The name of its index."""
        return f"words_{self.number}"


def shelves(database: sqlite3.Connection) -> list[Shelf]:
    """All shelves, the newest first."""
    return [_shelf(row) for row in database.execute("SELECT * FROM shelf ORDER BY number DESC")]


def _shelf(row: tuple[Any, ...]) -> Shelf:
    if not all(isinstance(value, int | float) for value in row):
        raise damaged("a shelf has something else than numbers")
    return Shelf(*row)


def indexed_up_to(database: sqlite3.Connection) -> int:
    """The last number that is indexed. Numbers above it are not."""
    row = database.execute("SELECT value FROM state WHERE name = 'indexed'").fetchone()
    if row and not isinstance(row[0], int):
        raise damaged("how far it is indexed is no number")
    return row[0] if row else 0


def index_some(database: sqlite3.Connection, contents: Contents, records: int, octets: int) -> int:
    """Index the next `records`, or until that takes in `octets` of text; how many there were. In one transaction."""
    start = indexed_up_to(database)
    rows = _texts(database, contents, start, records, octets)
    first = next(rows, None)
    if first is None:
        return 0
    database.execute("BEGIN IMMEDIATE")
    try:
        shelf = _open_shelf(database, first[0])
        count = 0
        last, oldest, newest, size = first[0], shelf.oldest, shelf.newest, 0
        insert = f"INSERT INTO {shelf.table} (rowid, text) VALUES (?, ?)"
        for id, started, text in _with(first, rows):
            database.execute(insert, (id, text))
            last, size, count = id, size + len(text), count + 1
            oldest, newest = min(oldest, started), max(newest, started)
        size += shelf.octets
        is_full = last - shelf.first + 1 >= SHELF_RECORDS or size >= SHELF_OCTETS
        database.execute(
            "UPDATE shelf SET last = ?, octets = ?, oldest = ?, newest = ?, is_full = ? WHERE number = ?",
            (last, size, oldest, newest, is_full, shelf.number),
        )
        database.execute("INSERT OR REPLACE INTO state VALUES ('indexed', ?)", (last,))
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return count


def _with(first: tuple[int, float, str], rest: Iterator[tuple[int, float, str]]) -> Iterator[tuple[int, float, str]]:
    yield first
    yield from rest


def _texts(
    database: sqlite3.Connection, contents: Contents, start: int, records: int, octets: int
) -> Iterator[tuple[int, float, str]]:
    """Number, time and text of the next records. One that cannot be read has none."""
    size = 0
    for id, started, data, checksum in database.execute(_UNREAD, (start, records)):
        stored = stored_of(id, data, checksum)
        text = "" if stored is None else indexed_text(whole(stored, contents))
        size += len(text)
        yield id, started, text
        if size >= octets:
            break


def _open_shelf(database: sqlite3.Connection, first: int) -> Shelf:
    """The newest shelf, or a new one that begins with `first`."""
    row = database.execute("SELECT * FROM shelf ORDER BY number DESC LIMIT 1").fetchone()
    if row is not None and not row[-1]:
        return _shelf(row)
    shelf = Shelf(row[0] + 1 if row else 1, first, first, 0, 1e18, 0.0, 0)
    database.execute("INSERT INTO shelf VALUES (?, ?, ?, ?, ?, ?, ?)", shelf)
    database.execute(
        f"CREATE VIRTUAL TABLE {shelf.table} USING fts5"
        "(text, tokenize = 'trigram', content = '', columnsize = 0, detail = none)"
    )
    # Indexing comes in large transactions, and a merge in each of them would write everything several times.
    for option, value in (("automerge", 0), ("crisismerge", 16), ("hashsize", _HASH_BYTES)):
        database.execute(f"INSERT INTO {shelf.table} ({shelf.table}, rank) VALUES (?, ?)", (option, value))
    return shelf


def close_shelf(database: sqlite3.Connection) -> None:
    """Let the next record that is indexed begin a new shelf."""
    database.execute("UPDATE shelf SET is_full = 1 WHERE number = (SELECT max(number) FROM shelf)")


def drop_shelves(database: sqlite3.Connection, below: int) -> int:
    """Drop the indexes of shelves that have only numbers below `below`; how many."""
    old = [shelf for shelf in shelves(database) if shelf.is_full and shelf.last < below]
    for shelf in old:
        database.execute(f"DROP TABLE {shelf.table}")
        database.execute("DELETE FROM shelf WHERE number = ?", (shelf.number,))
    return len(old)


def match_expression(needle: str) -> str:
    """What FTS5 is to match for texts that have `needle` somewhere; "" when it is too short to say.

    Trigrams side by side first, and of a long needle those that cover it.
    """
    last = len(needle) - 3
    if last < 0 or "\0" in needle:
        return ""
    step = 1 if last < _MOST_TRIGRAMS else 3
    places = [*itertools.islice(range(0, last, step), _MOST_TRIGRAMS - 1), last]
    trigrams = dict.fromkeys(needle[place : place + 3].replace('"', '""') for place in places)
    return " AND ".join(f'"{trigram}"' for trigram in trigrams)

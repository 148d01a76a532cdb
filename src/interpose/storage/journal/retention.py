"""Removing what is too old or too much, the oldest first, in steps that nobody notices."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from interpose.storage.journal import shelves
from interpose.storage.journal.rows import stored_of

STEP_RECORDS = 500
STEP_PAGES = 256
SHELVES = 8
"""A shelf is closed, so that it can go, when it has this part of the limit: at worst so much more text is indexed than
there are records for."""


_RELEASE = "UPDATE blob SET uses = uses - 1 WHERE digest = ? RETURNING uses, size"


class Step(NamedTuple):
    """How many records went, and the files that no record has any more, with their sizes."""

    records: int
    unused: list[tuple[bytes, int]]


def remove_some(database: sqlite3.Connection, used: int, max_bytes: int, since: float, next_id: int) -> Step:
    """Remove up to STEP_RECORDS of the oldest records while the `used` octets are more than `max_bytes` (0: no limit),
    or those that began before `since`. Indexes go when their last record has gone. Inside a transaction; `next_id` is
    the number of the next record."""
    newest = _newest_to_go(database, since, bool(max_bytes) and used > max_bytes)
    step = _remove(database, newest) if newest else Step(0, [])
    current = next(iter(shelves.shelves(database)), None)
    if current is not None and max_bytes and current.octets > max_bytes // SHELVES:
        shelves.close_shelf(database)
    oldest = database.execute("SELECT min(id) FROM flow").fetchone()[0]
    shelves.drop_shelves(database, next_id if oldest is None else oldest)
    return step


def _newest_to_go(database: sqlite3.Connection, since: float, is_too_much: bool) -> int:
    """The last number of this step, 0 for no step at all."""
    step = database.execute("SELECT id, started FROM flow ORDER BY id LIMIT ?", (STEP_RECORDS,)).fetchall()
    if is_too_much:
        return step[-1][0] if step else 0
    newest = 0
    for id, started in step:
        if started >= since:
            break
        newest = id
    return newest


def _remove(database: sqlite3.Connection, newest: int) -> Step:
    unused: dict[bytes, int] = {}
    for id, data, checksum in database.execute("SELECT id, record, checksum FROM kept WHERE id <= ?", (newest,)):
        stored = stored_of(id, data, checksum)
        if stored is None:
            continue
        for digest in (stored.request, stored.response, stored.messages):
            if digest:
                left = database.execute(_RELEASE, (digest,)).fetchone()
                if left is not None and left[0] <= 0:
                    unused[digest] = left[1]
    database.executemany("DELETE FROM blob WHERE digest = ?", [(digest,) for digest in unused])
    database.execute("DELETE FROM kept WHERE id <= ?", (newest,))
    count = database.execute("DELETE FROM flow WHERE id <= ?", (newest,)).rowcount
    return Step(count, list(unused.items()))


def give_back(database: sqlite3.Connection) -> None:
    """Return some free pages to the file system."""
    if database.execute("PRAGMA freelist_count").fetchone()[0] > STEP_PAGES:
        database.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()

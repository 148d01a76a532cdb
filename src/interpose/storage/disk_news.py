"""What was changed in a disk store, for processes that keep copies of it in memory: rows in its index.

    serial -> the primary key of something that was replaced, refreshed or removed; empty for a very long one
    0      -> the serial of the last row that was given up, since only so many are kept

They are written in the transaction of the change itself, so whoever sees the new state sees the row. What is stored
for the first time under its key is no news.
"""

from __future__ import annotations

import struct

import lmdb

MOST_ROWS = 1024
MOST_KEY_BYTES = 2048
"""So that all rows together stay well below what the index has to spare."""

_SERIAL = struct.Struct("!Q")
_GIVEN_UP = _SERIAL.pack(0)
_FIRST = _SERIAL.pack(1)


def note(txn: lmdb.Transaction[bytes], news: lmdb._Database, serial: int, key: bytes) -> None:
    """Add a row, and give up the oldest one for it when there are many."""
    txn.put(_SERIAL.pack(serial), key if len(key) <= MOST_KEY_BYTES else b"", db=news)
    if txn.stat(news)["entries"] > MOST_ROWS:
        with txn.cursor(db=news) as cursor:
            if cursor.set_range(_FIRST):
                oldest = cursor.key()
                cursor.delete()
                txn.put(_GIVEN_UP, oldest, db=news)


def changed_since(txn: lmdb.Transaction[bytes], news: lmdb._Database, since: int) -> list[bytes] | None:
    """The keys in the rows after `since`; None when one of them has no key or was given up."""
    if (txn.get(_GIVEN_UP, db=news) or b"") > _SERIAL.pack(since):
        return None
    keys = []
    with txn.cursor(db=news) as cursor:
        more = cursor.set_range(_SERIAL.pack(since + 1))
        while more:
            keys.append(cursor.value())
            more = cursor.next()
    return keys if all(keys) else None

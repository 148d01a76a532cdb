"""The index of a disk store: an LMDB environment that all processes of the machine read and write.

    entries   key of the variant -> record           order   kind, stamp, ident -> key: who goes first
    files     ident -> key and size of its file      state   one row: serial, clock, octets in files
    news      serial -> primary key: what was changed (`disk_news`)

Reading takes no lock and sees the last commit of any process; writing is for one process at a time, in transactions of
a whole batch. Every commit is synced once, without the extra sync of the root page: a power cut may cost the last
commits, never the order of the pages. The map is never written through, so a wild pointer cannot damage it.

The use order needs no write for a use. The clock is the number of octets ever stored; an entry's stamp is the clock of
when it was stored. Only what is used when an eighth of the store's size was stored since its stamp gets a new one. So
eviction follows the order of use to within an eighth of a turnover, and a store into which nothing new comes is not
written to at all, however much it is read.

What the store takes is known without counting: LMDB knows its pages, and the row in `state` changes in the same
transactions as the files' rows. The database file does not shrink; what it has once taken stays its own, and files make
room.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import lmdb

from interpose.protocol.stored import key_in
from interpose.storage.crash_guard import CrashGuard
from interpose.storage.disk_news import changed_since, note
from interpose.storage.disk_record import (
    KEY_BYTES,
    PREFIX_BYTES,
    Fixed,
    decode_fixed,
    encode_record,
    primary_key,
    with_head,
    with_stamp,
)

MAX_VARIANTS = 64
MAX_READERS = 512
EVICT_AT_ONCE = 512
SLACK_BYTES = 4 << 20
LOOPING, WRITING = 0, 1
"""Which thread is inside of LMDB, for the guard."""

_STATE = struct.Struct("!QQQI")
_ORDER = struct.Struct("!BQ8s")
_FILE = struct.Struct(f"!{KEY_BYTES}sQ")
_STATE_KEY = b"state"
_FIRST_FILE = _ORDER.pack(1, 0, bytes(8))


class Totals(NamedTuple):
    """What is in the store: `pages` and `files` are octets."""

    objects: int
    pages: int
    files: int


class Index:
    """The environment in the directory `path`, for a store of at most `max_bytes`. Raises lmdb.Error and OSError."""

    __slots__ = (
        "_entries",
        "_env",
        "_files",
        "_guard",
        "_news",
        "_order",
        "_page_bytes",
        "_state",
        "max_bytes",
        "path",
    )

    def __init__(self, path: str, max_bytes: int, guard: CrashGuard) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._guard = guard
        with guard.inside(WRITING):
            self._env = lmdb.open(
                path,
                map_size=max_bytes + max_bytes // 8 + SLACK_BYTES,
                mode=0o600,
                metasync=False,
                readahead=False,
                max_readers=MAX_READERS,
                max_dbs=5,
            )
            self._env.reader_check()
            with self._env.begin(write=True) as txn:
                self._entries = self._env.open_db(b"entries", txn=txn)
                self._order = self._env.open_db(b"order", txn=txn)
                self._files = self._env.open_db(b"files", txn=txn)
                self._state = self._env.open_db(b"state", txn=txn)
                self._news = self._env.open_db(b"news", txn=txn)
        self._page_bytes = self._env.stat()["psize"]

    def look(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """(on the loop) Key and record of each variant."""
        found: list[tuple[bytes, bytes]] = []
        self._guard.enter(LOOPING)
        try:
            with self._env.begin(db=self._entries) as txn:
                cursor = txn.cursor()
                if cursor.set_range(prefix):
                    key = cursor.key()
                    while key.startswith(prefix) and len(key) == KEY_BYTES and len(found) < MAX_VARIANTS:
                        found.append((key, cursor.value()))
                        if not cursor.next():
                            break
                        key = cursor.key()
        finally:
            self._guard.leave(LOOPING)
        return found

    def totals(self, thread: int = LOOPING) -> Totals:
        """What is there now."""
        with self._guard.inside(thread), self._env.begin() as txn:
            pages = sum(self._pages_of(txn.stat(db)) for db in (self._entries, self._order, self._files))
            return Totals(txn.stat(self._entries)["entries"], pages, _state_of(txn.get(_STATE_KEY, db=self._state))[2])

    def news(self, since: int) -> tuple[int, list[bytes] | None]:
        """(on the loop) The serial of the last change, and the keys under which something was changed after the one
        with the serial `since`; None for those when it cannot be told."""
        with self._guard.inside(LOOPING), self._env.begin() as txn:
            serial = _state_of(txn.get(_STATE_KEY, db=self._state))[0]
            return serial, [] if serial == since else changed_since(txn, self._news, since)

    def clock(self) -> int:
        """(on the writing thread) The clock as of the last commit."""
        with self._guard.inside(WRITING), self._env.begin() as txn:
            return _state_of(txn.get(_STATE_KEY, db=self._state))[1]

    def walk(self, start: bytes, limit: int, see: Callable[[bytes, memoryview], None]) -> bytes | None:
        """(on the writing thread) Show up to `limit` records from the key `start` on to `see`, as views that end with
        the call; where to go on, None at the end."""
        with self._guard.inside(WRITING), self._env.begin(db=self._entries, buffers=True) as txn:
            cursor = txn.cursor()
            more = cursor.set_range(start) if start else cursor.first()
            last = start
            for _ in range(limit):
                if not more:
                    return None
                key = bytes(cursor.key())
                if key < last:
                    raise lmdb.CorruptedError("the keys of the cache's index are not in their order")
                last = key
                see(key, cursor.value())
                more = cursor.next()
            return bytes(cursor.key()) if more else None

    def knows_file(self, ident: bytes) -> bool:
        """(on the writing thread) Whether the file with this name belongs to an entry."""
        with self._guard.inside(WRITING), self._env.begin() as txn:
            return txn.get(ident, db=self._files) is not None

    @contextmanager
    def change(self) -> Iterator[Changes]:
        """(on the writing thread) One transaction, committed at the end unless something raises."""
        with self._guard.inside(WRITING), self._env.begin(write=True) as txn:
            changes = Changes(self, txn)
            yield changes
            changes.save()

    def check_readers(self) -> None:
        """(on the writing thread) Free what readers that were killed have left."""
        with self._guard.inside(WRITING):
            self._env.reader_check()

    def close(self) -> None:
        """Nobody uses it any more."""
        self._env.close()

    def _pages_of(self, stat: lmdb._StatDict) -> int:
        return (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * self._page_bytes


class Changes:
    """One write transaction. `unlinked` are the files that nothing refers to once it is committed."""

    __slots__ = ("_clock", "_file_bytes", "_index", "_serial", "_txn", "evicted", "stored", "unlinked")

    def __init__(self, index: Index, txn: lmdb.Transaction[bytes]) -> None:
        self._index = index
        self._txn = txn
        self._serial, self._clock, self._file_bytes = _state_of(txn.get(_STATE_KEY, db=index._state))
        self.unlinked: list[bytes] = []
        self.evicted = 0
        self.stored = 0

    @property
    def clock(self) -> int:
        """The clock as it will be."""
        return self._clock

    def save(self) -> None:
        """(for `Index.change`) Write the row of `state`."""
        state = (self._serial, self._clock, self._file_bytes)
        self._txn.put(_STATE_KEY, _STATE.pack(*state, _check_of(state)), db=self._index._state)

    def put(self, key: bytes, ident: bytes, head: bytes, content: bytes, digest: bytes, size: int) -> None:
        """Store a response; `head` is encoded, `size` is that of its file, 0 when `content` goes into the record."""
        if self._has_any(key[:PREFIX_BYTES]):
            self._note(key_in(head))
        self._forget(key, self._txn.get(key, db=self._index._entries))
        self._clock += len(head) + (size or len(content))
        fixed = Fixed(ident, self._next_serial(), self._clock, size, digest, 0)
        self._insert(key, fixed, encode_record(fixed, head, content))
        self.stored += 1

    def set_head(self, key: bytes, ident: bytes, head: bytes, new_key: bytes) -> None:
        """Give the entry `ident` another head, encoded, if it is still there."""
        raw = self._entry(key, ident)
        if raw is None:
            return
        self._note(key_in(head))
        changed = with_head(raw, head, self._next_serial())
        if new_key == key:
            self._txn.put(key, changed, db=self._index._entries)
            return
        self._forget(key, raw)
        self._forget(new_key, self._txn.get(new_key, db=self._index._entries))
        self._insert(new_key, decode_fixed(changed), changed)
        if ident in self.unlinked:
            self.unlinked.remove(ident)

    def remove(self, key: bytes, ident: bytes) -> bool:
        """Remove the entry `ident`; whether it was still there."""
        raw = self._entry(key, ident)
        if raw is not None:
            self._note(primary_key(raw))
        self._forget(key, raw)
        return raw is not None

    def remove_damaged(self, key: bytes, raw: bytes) -> None:
        """Remove the record `raw`, whose head or content cannot be used, if it is still there."""
        if self._txn.get(key, db=self._index._entries) == raw:
            self._forget(key, raw)

    def touch(self, key: bytes, ident: bytes) -> None:
        """It was used just now."""
        raw = self._entry(key, ident)
        if raw is not None:
            fixed = decode_fixed(raw)
            self._txn.delete(_order_key(fixed), db=self._index._order)
            self._txn.put(_order_key(fixed._replace(stamp=self._clock)), key, db=self._index._order)
            self._txn.put(key, with_stamp(raw, self._clock), db=self._index._entries)

    def evict(self, max_bytes: int) -> bool:
        """Make room: whether the store takes at most `max_bytes` now. At most EVICT_AT_ONCE entries go.
        lmdb.CorruptedError when nothing is left that could go, and it still takes too much."""
        index = self._index
        for _ in range(EVICT_AT_ONCE):
            pages = sum(index._pages_of(self._txn.stat(db)) for db in (index._entries, index._order, index._files))
            taken = (index._env.info()["last_pgno"] + 1) * index._page_bytes
            if pages + self._file_bytes > max_bytes:
                first, large = self._first(b""), self._first(_FIRST_FILE)
                if first is None or (large is not None and large[0][1:] < first[0][1:]):
                    first = large
            elif self._file_bytes and taken + self._file_bytes > index.max_bytes + SLACK_BYTES:
                first = self._first(_FIRST_FILE)
            else:
                return True
            if first is None:
                raise lmdb.CorruptedError("the cache's index says that it is full of nothing")
            self._evict(*first)
        return False

    def drop_file_row(self, ident: bytes) -> None:
        """Forget a file whose entry does not know it."""
        row = self._txn.pop(ident, db=self._index._files)
        if row is not None and len(row) == _FILE.size:
            self._file_bytes = max(0, self._file_bytes - _FILE.unpack(row)[1])

    def _first(self, start: bytes) -> tuple[bytes, bytes] | None:
        """Row of `order` that comes first from `start` on, among those of the same kind."""
        with self._txn.cursor(db=self._index._order) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return None
            row = cursor.item()
        return row if row[0][:1] == (start[:1] or b"\0") else None

    def _evict(self, order: bytes, key: bytes) -> None:
        raw = self._entry(key, order[-8:])
        self._txn.delete(order, db=self._index._order)  # also when no entry is there for it
        if raw is not None:
            self._forget(key, raw)
            self.evicted += 1
        elif order[:1] == b"\1":
            self.drop_file_row(order[-8:])
            self.unlinked.append(order[-8:])

    def _entry(self, key: bytes, ident: bytes) -> bytes | None:
        raw = self._txn.get(key, db=self._index._entries)
        return raw if raw is not None and fixed_of(raw).ident == ident else None

    def _insert(self, key: bytes, fixed: Fixed, raw: bytes) -> None:
        self._txn.put(key, raw, db=self._index._entries)
        self._txn.put(_order_key(fixed), key, db=self._index._order)
        if fixed.size:
            self._txn.put(fixed.ident, _FILE.pack(key, fixed.size), db=self._index._files)
            self._file_bytes += fixed.size

    def _forget(self, key: bytes, raw: bytes | None) -> None:
        """Remove what is under `key`."""
        if raw is None:
            return
        fixed = fixed_of(raw)
        self._txn.delete(key, db=self._index._entries)
        self._txn.delete(_order_key(fixed), db=self._index._order)
        if fixed.size:
            self.drop_file_row(fixed.ident)
            self.unlinked.append(fixed.ident)

    def _has_any(self, prefix: bytes) -> bool:
        with self._txn.cursor(db=self._index._entries) as cursor:
            return cursor.set_range(prefix) and cursor.key().startswith(prefix)

    def _note(self, primary_key: bytes) -> None:
        """Who has a copy of what is under this key has an old one."""
        note(self._txn, self._index._news, self._next_serial(), primary_key)

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


def fixed_of(raw: bytes | memoryview) -> Fixed:
    """The fixed part of a record. lmdb.CorruptedError when it is none: then the page it begins is not what it was, and
    LMDB, which believes what the same page says of its length, must not even be asked to remove it."""
    try:
        return decode_fixed(raw)
    except ValueError as error:
        raise lmdb.CorruptedError(f"in the cache's index {error}") from None


def _order_key(fixed: Fixed) -> bytes:
    return _ORDER.pack(1 if fixed.size else 0, fixed.stamp, fixed.ident)


def _state_of(row: bytes | None) -> tuple[int, int, int]:
    if row is None:
        return 0, 0, 0
    if len(row) == _STATE.size:
        serial, clock, file_bytes, check = _STATE.unpack(row)
        if check == _check_of((serial, clock, file_bytes)):
            return serial, clock, file_bytes
    raise lmdb.CorruptedError("the totals in the cache's index are damaged")


def _check_of(state: tuple[int, int, int]) -> int:
    return zlib.crc32(b"%d %d %d" % state)

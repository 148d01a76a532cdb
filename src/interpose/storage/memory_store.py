"""Responses in a worker's own memory, within a bound, kept while they are worth their room.

All variants of a key are on one *shelf*, which is used, valued and evicted as one. A look costs a look-up and two
numbers: no list is kept in order. When there is no room, some shelves are drawn by lot, and the one worth least goes.
What a shelf is worth is how often it was used for each of its octets, and how lately:

    (uses + 1/2) / (octets * sqrt(looks since the last use))

`uses` survive an eviction for a while, in a sketch, so what comes back often has a better start than what comes once.
They are halved every now and then, so that yesterday's fame ends. Of a small response and a large one that is used as
often the small one is worth more, since more of them fit.

Tried with objects of 1 to 64 KiB and room for a tenth of them (`tests/soak/test_soak_memory_store.py`; W-TinyLFU was a
prototype with a window of 1 %, segments and aggregated victims). Hits in percent:

                                       LRU    W-TinyLFU    this
    Zipf, for ever the same            56     69           65
    a third changes, twenty times      58     64           65
    three of ten are never repeated    34     47           43
    only what is recent is repeated    59     18           56

A window for newcomers and a contest for admission, tried with this worth, changed nothing in the first digit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from math import sqrt

from interpose.core.body import Body
from interpose.protocol.stored import StoredHead
from interpose.storage.reading import PIECE_BYTES, body_of
from interpose.storage.sketch import Sketch
from interpose.storage.store import Entry, Match, is_same_response

MAX_VARIANTS = 64
DRAWN = 12
LOOKS_PER_AGE = 20
"""Uses are halved after so many looks for each object in the store."""
COPIES_PER_ROOM = 8
_SHELF_BYTES = 600
_LINE_BYTES = 330
_VALUE_BYTES = 150
_TYPICAL_OBJECT_BYTES = 8192
_MOST_CHUNKS = 512
_AT_ONCE = 500


class _Shelf:
    """The variants of one key."""

    __slots__ = ("age", "entries", "key", "last", "place", "size", "uses")

    def __init__(self, key: bytes, uses: int, age: int, last: int) -> None:
        self.key = key
        self.entries: tuple[Entry, ...] = ()
        self.size = 0
        self.uses = uses
        self.age = age
        self.last = last
        self.place = 0
        """Where it is in the list that is drawn from."""


class _Pieces:
    """Content in pieces of PIECE_BYTES, the last one shorter."""

    __slots__ = ("_pieces", "length")

    def __init__(self, pieces: list[bytes], length: int) -> None:
        self._pieces = pieces
        self.length = length

    def body(self, first: int, last: int) -> Body:
        return body_of(self._read, first, last)

    def _read(self, place: int, limit: int) -> bytes:
        number, offset = divmod(place, PIECE_BYTES)
        piece = self._pieces[number]
        return piece if offset == 0 and limit >= len(piece) else piece[offset : offset + limit]


class _Writer:
    """Collects the content of one response."""

    __slots__ = ("_chunks", "_has_ended", "_held", "_length", "_pieces", "_store", "gave_up")

    def __init__(self, store: MemoryStore, expected: int) -> None:
        self._store = store
        self._chunks: list[bytes] = []
        self._held = 0
        self._pieces: list[bytes] = []
        self._length = 0
        self._has_ended = False
        self.gave_up = False
        if expected > store.max_object_bytes:
            self._give_up()

    def write(self, chunk: bytes) -> None:
        if self._has_ended or not chunk:
            return
        self._length += len(chunk)
        if self._length > self._store.max_object_bytes or not self._store.reserve(len(chunk)):
            self._length -= len(chunk)
            self._give_up()
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= PIECE_BYTES:
            self._cut()
        elif len(self._chunks) >= _MOST_CHUNKS:
            self._chunks = [b"".join(self._chunks)]  # many small objects cost more than their octets

    def commit(self, head: StoredHead) -> None:
        if self._has_ended:
            return
        pieces, chunks, length = self._pieces, self._chunks, self._length
        self.abort()
        if head.length != length:
            raise ValueError(f"the head says {head.length} bytes of content, {length} were written")
        if pieces and chunks:
            pieces.append(b"".join(chunks))
        if len(pieces) > 1:
            self._store.keep(Entry(head, _Pieces(pieces, length)))
        else:
            self._store.keep(Entry(head, pieces[0] if pieces else b"".join(chunks)))

    def abort(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._store.reserve(-self._length)
            self._chunks, self._pieces = [], []

    def _give_up(self) -> None:
        self.gave_up = True
        self._store.refused += 1
        self.abort()

    def _cut(self) -> None:
        held = b"".join(self._chunks)
        end = len(held) - len(held) % PIECE_BYTES
        self._pieces += [held[start : start + PIECE_BYTES] for start in range(0, end, PIECE_BYTES)]
        self._chunks = [held[end:]] if end < len(held) else []
        self._held = len(held) - end


class MemoryStore:
    """A `Store` of at most `max_bytes`, heads and what is being written counted; one object has at most
    `max_object_bytes` of content, an eighth of the whole unless said otherwise."""

    def __init__(
        self, max_bytes: int, max_object_bytes: int | None = None, *, lot: random.Random | None = None
    ) -> None:
        self.max_bytes = max_bytes
        self.max_object_bytes = max_bytes // 8 if max_object_bytes is None else max_object_bytes
        self.refused = 0
        self._nearly_full = max_bytes - max_bytes // 32
        self._shelves: dict[bytes, _Shelf] = {}
        self._places: list[_Shelf] = []
        self._objects = self._used = self._reserved = 0
        self._looks = self._misses = self._stored = self._evicted = 0
        self._age = 0
        self._next_age = 0
        self._sketch = Sketch(min(1 << 20, max_bytes // _TYPICAL_OBJECT_BYTES))
        self._draw = (lot or random.Random()).random

    # --- what is asked of it ---------------------------------------------------------------------------------------

    def look(self, key: bytes) -> Sequence[Entry]:
        """See `Store`."""
        self._looks = looks = self._looks + 1
        shelf = self._shelves.get(key)
        if shelf is None:
            self._misses += 1
            self._sketch.add(key)
            return ()
        shelf.uses += 1
        shelf.last = looks
        return shelf.entries

    async def find(self, key: bytes) -> Sequence[Entry]:
        """See `Store`."""
        return self.look(key)

    def writer(self, head: StoredHead) -> _Writer:
        """See `Store`."""
        return _Writer(self, head.length)

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """See `Store`."""
        stored = self._stored_as(entry)
        if stored is not None:
            self._put(self._shelves[entry.head.key], Entry(head, stored.content), instead_of=stored)
            self._make_room()

    def remove(self, entry: Entry) -> None:
        """See `Store`."""
        stored = self._stored_as(entry)
        if stored is not None:
            self._take_off(self._shelves[entry.head.key], stored)

    async def purge(self, match: Match, *, soft: bool) -> int:
        """See `Store`."""
        purged = 0
        for number, key in enumerate(tuple(self._shelves)):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # others have their turn
            shelf = self._shelves.get(key)
            if shelf is None:
                continue
            for entry in shelf.entries:
                if match(entry.head):
                    purged += 1
                    self._expire(shelf, entry) if soft else self._take_off(shelf, entry)
        return purged

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """See `Store`."""
        found: list[StoredHead] = []
        for number, shelf in enumerate(tuple(self._shelves.values())):
            if len(found) >= limit:
                break
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            found += [entry.head for entry in shelf.entries if match(entry.head)]
        return found[:limit]

    def holds(self, key: bytes) -> bool:
        """Whether there is something under `key`. That is no use of it."""
        return key in self._shelves

    def wants(self, key: bytes) -> bool:
        """Whether somebody has looked for `key` in vain more than once."""
        return self._sketch.count(key) > 1

    def welcomes(self, size: int) -> bool:
        """Whether a copy of `size` octets that are kept elsewhere should come in: while there is room, always; then one
        of COPIES_PER_ROOM. What is used often comes in soon all the same, and what is used once costs no eviction."""
        return self._used + self._reserved + size + _SHELF_BYTES < self._nearly_full or (
            self._draw() * COPIES_PER_ROOM < 1.0
        )

    def forget(self, key: bytes) -> None:
        """See `Store`."""
        shelf = self._shelves.get(key)
        if shelf is not None:
            self._drop(shelf)

    def clear(self) -> None:
        """Keep nothing any longer."""
        self._shelves.clear()
        self._places.clear()
        self._objects = self._used = 0

    def counters(self) -> dict[str, float]:
        """See `Store`; `looks` and `misses` count keys, not what became of the variants."""
        return {
            "objects": self._objects,
            "bytes": self._used,
            "stored": self._stored,
            "evicted": self._evicted,
            "refused": self.refused,
            "looks": self._looks,
            "misses": self._misses,
        }

    async def settle(self) -> None:
        """See `Store`: nothing here takes time."""

    async def close(self) -> None:
        """See `Store`."""
        self.clear()

    # --- what writers ask ------------------------------------------------------------------------------------------

    def reserve(self, size: int) -> bool:
        """Whether there is room for `size` more octets of what is being written; all of that is at most half the store.
        Less than none gives room back."""
        if size > 0 and self._reserved + size > max(self.max_bytes // 2, self.max_object_bytes):
            return False
        self._reserved += size
        if self._used + self._reserved > self.max_bytes:
            self._make_room()
        return True

    def keep(self, entry: Entry) -> None:
        """A response is complete."""
        key = entry.head.key
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = _Shelf(key, self._sketch.count(key), self._age, self._looks)
            self._shelves[key] = shelf
            shelf.place = len(self._places)
            self._places.append(shelf)
        self._stored += 1
        self._put(shelf, entry, instead_of=None)
        self._pass_time()
        self._make_room()

    # --- shelves ---------------------------------------------------------------------------------------------------

    def _stored_as(self, entry: Entry) -> Entry | None:
        """The entry that is stored now and is the same response."""
        shelf = self._shelves.get(entry.head.key)
        if shelf is not None:
            for stored in shelf.entries:
                if is_same_response(stored.head, entry.head):
                    return stored
        return None

    def _put(self, shelf: _Shelf, entry: Entry, instead_of: Entry | None) -> None:
        """Put `entry` first, in the place of the same variant and of `instead_of`."""
        others = [old for old in shelf.entries if old is not instead_of and old.head.vary != entry.head.vary]
        while others and (
            len(others) >= MAX_VARIANTS or _size_of([entry, *others]) > max(self.max_bytes // 8, _size_of([entry]))
        ):
            others.pop()
            self._evicted += 1
        self._set(shelf, (entry, *others))

    def _take_off(self, shelf: _Shelf, entry: Entry) -> None:
        left = tuple([old for old in shelf.entries if old is not entry])
        self._set(shelf, left)
        if not left:
            self._drop(shelf)

    def _expire(self, shelf: _Shelf, entry: Entry) -> None:
        expired = Entry(entry.head.replace(expired=True), entry.content)
        self._set(shelf, tuple([expired if old is entry else old for old in shelf.entries]))

    def _set(self, shelf: _Shelf, entries: tuple[Entry, ...]) -> None:
        size = _size_of(entries)
        self._objects += len(entries) - len(shelf.entries)
        self._used += size - shelf.size
        shelf.entries, shelf.size = entries, size

    def _drop(self, shelf: _Shelf) -> None:
        """Take a shelf away; how often it was used is remembered for a while."""
        self._sketch.raise_to(shelf.key, self._uses(shelf))
        self._set(shelf, ())
        del self._shelves[shelf.key]
        last = self._places.pop()
        if last is not shelf:
            self._places[shelf.place] = last
            last.place = shelf.place

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Bring the store within its bound again."""
        while self._used + self._reserved > self.max_bytes and self._places:
            shelf = self._worth_least()
            self._evicted += len(shelf.entries)
            self._drop(shelf)

    def _worth_least(self) -> _Shelf:
        """Of some shelves drawn by lot, the one that is worth least."""
        places, draw = self._places, self._draw
        count = len(places)
        found = places[int(draw() * count)]
        least = self._worth(found)
        for _ in range(DRAWN - 1):
            shelf = places[int(draw() * count)]
            worth = self._worth(shelf)
            if worth < least:
                found, least = shelf, worth
        return found

    def _worth(self, shelf: _Shelf) -> float:
        return (self._uses(shelf) + 0.5) / (shelf.size * sqrt(self._looks - shelf.last + 1))

    def _uses(self, shelf: _Shelf) -> int:
        """How often it was used, aged. (Ageing all shelves at once would stop the worker for a while.)"""
        if shelf.age != self._age:
            shelf.uses >>= self._age - shelf.age
            shelf.age = self._age
        return shelf.uses

    def _pass_time(self) -> None:
        if self._looks >= self._next_age:
            self._next_age = self._looks + LOOKS_PER_AGE * max(1000, len(self._shelves))
            self._age += 1


def _size_of(entries: Sequence[Entry]) -> int:
    """About how much memory the entries of one shelf take."""
    size = 0
    for entry in entries:
        head = entry.head
        size += _SHELF_BYTES + head.length + len(head.key)
        for line in head.lines:
            size += _LINE_BYTES + 2 * len(line.wire)
        for _, value in head.vary:
            size += _VALUE_BYTES + (len(value) if value is not None else 0)
        for tag in head.tags:
            size += _VALUE_BYTES + len(tag)
    return size

"""What every cache store does. A store's test module has

    class TestConformance(StoreConformance):
        @pytest.fixture
        async def store(self) -> AsyncIterator[Store]:
            ... yield a store without anything in it, which takes at least MAX_OBJECT_BYTES for one object and refuses
            one of TOO_LARGE_BYTES, and has room for some MiB; close it afterwards

and passes.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Sequence

import pytest

from interpose.core.failure import Failure
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.protocol.stored import StoredHead
from interpose.storage.store import Entry, Store

MAX_OBJECT_BYTES = 1 << 20
TOO_LARGE_BYTES = MAX_OBJECT_BYTES + 1
KEY = b"GET http://a.example/"
LINES = (field_line("Content-Type", "text/plain"), field_line("X-Odd", "a, \xe9 b"))

Vary = tuple[tuple[bytes, bytes | None], ...]


def head_for(
    content: bytes,
    key: bytes = KEY,
    *,
    vary: Vary = (),
    status: int = 200,
    lines: tuple[FieldLine, ...] = LINES,
    tags: tuple[bytes, ...] = (),
    time: float = 1000.0,
) -> StoredHead:
    """A head that fits `content`."""
    digest = hashlib.sha256(content).digest()
    return StoredHead(status, b"OK", lines, time, time + 0.5, vary, len(content), digest, tags, key)


def content_of(size: int, seed: int = 0) -> bytes:
    """Octets that are the same every time, and different for each seed and place."""
    block = b"".join(hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(64))
    whole = b"".join(b"%08d" % number + block for number in range(size // (len(block) + 8) + 1))
    return whole[:size]


def begin(store: Store, head: StoredHead, chunks: Iterable[bytes]):
    """A writer that has taken `chunks`; like the cache's, it does not know the length before the end."""
    writer = store.writer(head.replace(length=0, sha256=b""))
    for chunk in chunks:
        writer.write(chunk)
    return writer


async def put(
    store: Store, content: bytes, key: bytes = KEY, *, vary: Vary = (), time: float = 1000.0, **more
) -> StoredHead:
    """Store a response and wait for it."""
    head = head_for(content, key, vary=vary, time=time, **more)
    begin(store, head, [content] if content else []).commit(head)
    await store.settle()
    return head


async def found(store: Store, key: bytes = KEY) -> Sequence[Entry]:
    """The variants under `key`, whichever way this store tells."""
    entries = store.look(key)
    return list(await store.find(key) if entries is None else entries)


async def read(entry: Entry, first: int = 0, last: int | None = None) -> bytes:
    return await entry.body(first, last).read(TOO_LARGE_BYTES)


class Collect:
    """A sink that takes chunks until it is full, and asks for more when it is told to."""

    def __init__(self, room: int) -> None:
        self.on_drain = None
        self.room = room
        self.got = bytearray()
        self.end_comes = asyncio.get_running_loop().create_future()

    def write(self, chunk: bytes) -> bool:
        self.got += chunk
        return len(self.got) < self.room

    def end(self, trailers: Fields | None) -> None:
        self.end_comes.set_result(None)

    def abort(self, failure: Failure) -> None:
        self.end_comes.set_exception(failure)


class StoreConformance:
    """One test for each sentence of the interface."""

    async def test_what_was_committed_is_found_with_its_head_and_content(self, store: Store) -> None:
        head = await put(
            store, b"hello", tags=(b"one", b"two"), vary=((b"accept", None), (b"accept-encoding", b"gzip"))
        )
        [entry] = await found(store)
        assert entry.head == head
        assert await read(entry) == b"hello"

    async def test_what_was_never_stored_is_not_found(self, store: Store) -> None:
        await put(store, b"hello")
        assert await found(store, b"GET http://a.example/other") == []
        assert await found(store, b"") == []
        assert list(await store.find(b"GET http://a.example/other")) == []

    async def test_find_says_what_look_says(self, store: Store) -> None:
        await put(store, b"hello")
        [entry] = await store.find(KEY)
        assert entry.head == (await found(store))[0].head

    @pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, 300000, MAX_OBJECT_BYTES])
    async def test_content_of_every_size_comes_back(self, store: Store, size: int) -> None:
        content = content_of(size)
        await put(store, content)
        [entry] = await found(store)
        assert entry.head.length == size
        assert await read(entry) == content
        collect = Collect(room=1 << 30)
        entry.body().pipe(collect)
        await collect.end_comes
        assert collect.got == content

    async def test_it_does_not_matter_in_which_chunks_content_came(self, store: Store) -> None:
        content = content_of(200000)
        sizes = itertools.cycle([1, 2, 3, 700, 65536, 1, 20000])
        chunks, place = [], 0
        while place < len(content):
            size = next(sizes)
            chunks.append(content[place : place + size])
            place += size
        head = head_for(content)
        begin(store, head, [b"", *chunks]).commit(head)
        await store.settle()
        [entry] = await found(store)
        assert await read(entry) == content

    @pytest.mark.parametrize("size", [10, 400000])
    async def test_ranges_are_read(self, store: Store, size: int) -> None:
        content = content_of(size)
        await put(store, content)
        [entry] = await found(store)
        ends = sorted({0, 1, 5, size // 2, size - 2, size - 1, min(size - 1, 196607), min(size - 1, 196608)})
        for first, last in itertools.combinations_with_replacement(ends, 2):
            body = entry.body(first, last)
            assert body.length == last - first + 1
            assert await body.read(size) == content[first : last + 1]
        assert await read(entry, 3) == content[3:]

    @pytest.mark.parametrize("size", [5, 700000])
    async def test_a_body_says_how_long_it_is(self, store: Store, size: int) -> None:
        await put(store, content_of(size))
        [entry] = await found(store)
        body = entry.body()
        assert body.length == size
        body.close()

    async def test_readers_do_not_wait_for_each_other(self, store: Store) -> None:
        content = content_of(MAX_OBJECT_BYTES)
        await put(store, content)
        [entry] = await found(store)
        slow, quick = Collect(room=1), Collect(room=1 << 30)
        slow_body = entry.body()
        slow_body.pipe(slow)
        entry.body().pipe(quick)
        left = entry.body()
        left.pipe(Collect(room=1 << 30))
        left.close()
        await quick.end_comes
        assert quick.got == content
        slow.room = 1 << 30
        if slow.on_drain is not None:
            slow.on_drain()
        await slow.end_comes
        assert slow.got == content

    async def test_nothing_is_found_before_it_is_committed(self, store: Store) -> None:
        head = head_for(b"hello")
        writer = begin(store, head, [b"he", b"llo"])
        await store.settle()
        assert await found(store) == []
        writer.commit(head)
        await store.settle()
        assert len(await found(store)) == 1

    async def test_what_was_aborted_is_never_found(self, store: Store) -> None:
        head = head_for(b"hello")
        writer = begin(store, head, [b"hello"])
        writer.abort()
        writer.abort()
        writer.write(b"more")
        writer.commit(head)
        await store.settle()
        assert await found(store) == []
        assert store.counters()["objects"] == 0

    async def test_an_abort_after_the_commit_comes_too_late(self, store: Store) -> None:
        head = head_for(b"hello")
        writer = begin(store, head, [b"hello"])
        writer.commit(head)
        writer.commit(head)
        writer.abort()
        await store.settle()
        [entry] = await found(store)
        assert await read(entry) == b"hello"

    @pytest.mark.parametrize("length", [0, 4, 6])
    async def test_a17_a_wrong_length_is_an_error_and_nothing_is_kept(self, store: Store, length: int) -> None:
        head = head_for(b"hello").replace(length=length)
        writer = begin(store, head, [b"hello"])
        with pytest.raises(ValueError, match="5"):
            writer.commit(head)
        await store.settle()
        assert await found(store) == []

    async def test_what_is_too_large_is_given_up(self, store: Store) -> None:
        content = content_of(TOO_LARGE_BYTES)
        head = head_for(content)
        assert store.writer(head).gave_up
        assert not store.writer(head.replace(length=MAX_OBJECT_BYTES)).gave_up
        refused = store.counters()["refused"]
        writer = begin(store, head, [content[:-1]])
        assert not writer.gave_up
        writer.write(content[-1:])
        assert writer.gave_up
        writer.write(b"more")
        writer.commit(head)
        await store.settle()
        assert await found(store) == []
        assert store.counters()["refused"] > refused

    async def test_what_is_given_up_leaves_what_was_there(self, store: Store) -> None:
        old = await put(store, b"old", time=1000.0)
        content = content_of(TOO_LARGE_BYTES)
        head = head_for(content, time=1001.0)
        begin(store, head, [content]).commit(head)
        await store.settle()
        [entry] = await found(store)
        assert entry.head == old

    async def test_the_later_of_two_takes_the_place_of_the_earlier(self, store: Store) -> None:
        await put(store, b"old", time=1000.0)
        [old] = await found(store)
        head = await put(store, b"new one", time=1001.0)
        [entry] = await found(store)
        assert entry.head == head
        assert await read(entry) == b"new one"
        assert await read(old) == b"old"
        assert store.counters()["objects"] == 1

    async def test_a_large_one_that_was_replaced_is_read_to_its_end(self, store: Store) -> None:
        content = content_of(700000)
        await put(store, content)
        [old] = await found(store)
        collect = Collect(room=1)
        body = old.body()
        body.pipe(collect)
        await put(store, content_of(700000, seed=1), time=1001.0)
        collect.room = 1 << 30
        if collect.on_drain is not None:
            collect.on_drain()
        await collect.end_comes
        assert collect.got == content

    async def test_variants_live_beside_each_other_the_newest_first(self, store: Store) -> None:
        for number, coding in enumerate((b"gzip", b"br", None)):
            await put(store, b"%d" % number, vary=((b"accept-encoding", coding),), time=1000.0 + number)
        entries = await found(store)
        assert [await read(entry) for entry in entries] == [b"2", b"1", b"0"]
        await put(store, b"again", vary=((b"accept-encoding", b"gzip"),), time=1003.0)
        entries = await found(store)
        assert [await read(entry) for entry in entries] == [b"again", b"2", b"1"]

    async def test_keys_are_told_apart_whatever_is_in_them(self, store: Store) -> None:
        keys = [
            b"GET http://a/",
            b"GET http://a/\x00",
            b"GET http://a/?",
            b"GET http://a/ ",
            b"get http://a/",
            b"\xff" * 9000,
        ]
        for number, key in enumerate(keys):
            await put(store, b"%d" % number, key)
        for number, key in enumerate(keys):
            [entry] = await found(store, key)
            assert await read(entry) == b"%d" % number

    async def test_a_refreshed_entry_has_the_new_head_and_the_old_content(self, store: Store) -> None:
        head = await put(store, b"hello")
        await put(store, b"other", vary=((b"accept", b"x"),), time=1001.0)
        entry = next(entry for entry in await found(store) if not entry.head.vary)
        fresh = head.replace(response_time=2000.5, request_time=2000.0, lines=(field_line("ETag", '"n"'),))
        store.refresh(entry, fresh)
        await store.settle()
        first, second = await found(store)
        assert first.head == fresh
        assert await read(first) == b"hello"
        assert await read(second) == b"other"
        assert entry.head == head

    async def test_what_was_replaced_is_not_refreshed(self, store: Store) -> None:
        head = await put(store, b"hello", time=1000.0)
        [old] = await found(store)
        new = await put(store, b"newer", time=1001.0)
        store.refresh(old, head.replace(response_time=3000.0))
        await store.settle()
        [entry] = await found(store)
        assert entry.head == new

    async def test_what_was_removed_is_gone_and_is_not_refreshed(self, store: Store) -> None:
        head = await put(store, b"hello")
        await put(store, b"other", vary=((b"accept", b"x"),), time=1001.0)
        entry = next(entry for entry in await found(store) if not entry.head.vary)
        store.remove(entry)
        store.remove(entry)
        store.refresh(entry, head.replace(response_time=3000.0))
        await store.settle()
        [left] = await found(store)
        assert await read(left) == b"other"
        assert store.counters()["objects"] == 1
        assert await read(entry) == b"hello"

    async def test_what_was_replaced_cannot_be_removed(self, store: Store) -> None:
        await put(store, b"hello", time=1000.0)
        [old] = await found(store)
        await put(store, b"newer", time=1001.0)
        store.remove(old)
        await store.settle()
        [entry] = await found(store)
        assert await read(entry) == b"newer"

    async def test_what_is_forgotten_is_gone_with_all_its_variants_at_once(self, store: Store) -> None:
        await put(store, b"hello")
        await put(store, content_of(100000), vary=((b"accept", b"x"),), time=1001.0)
        await put(store, b"other", b"GET http://b.example/")
        await found(store)
        store.forget(KEY)
        store.forget(b"GET http://a.example/never")
        assert list(store.look(KEY) or ()) == []
        assert list(await store.find(KEY)) == []
        await store.settle()
        assert list(await found(store)) == []
        assert len(await found(store, b"GET http://b.example/")) == 1
        assert store.counters()["objects"] == 1
        new = await put(store, b"new", time=2000.0)
        assert [entry.head for entry in await found(store)] == [new]

    async def test_a_purge_removes_what_matches_and_counts_it(self, store: Store) -> None:
        for number in range(6):
            await put(store, b"x", b"GET http://a.example/%d" % number, tags=(b"even",) if number % 2 == 0 else ())
        await put(store, b"y", b"GET http://a.example/0", vary=((b"accept", b"x"),), tags=(b"even",))
        assert await store.purge(lambda head: b"even" in head.tags, soft=False) == 4
        await store.settle()
        left = [number for number in range(6) if await found(store, b"GET http://a.example/%d" % number)]
        assert left == [1, 3, 5]
        assert await store.purge(lambda head: False, soft=False) == 0
        assert await store.purge(lambda head: True, soft=False) == 3
        await store.settle()
        counters = store.counters()
        assert counters["objects"] == counters["bytes"] == 0

    async def test_a_soft_purge_expires_and_a_refresh_makes_that_good(self, store: Store) -> None:
        head = await put(store, b"hello")
        await put(store, b"other", b"GET http://b.example/")
        assert await store.purge(lambda head: head.key == KEY, soft=True) == 1
        await store.settle()
        [entry] = await found(store)
        assert entry.head == head.replace(expired=True)
        assert await read(entry) == b"hello"
        [other] = await found(store, b"GET http://b.example/")
        assert not other.head.expired
        store.refresh(entry, head.replace(response_time=2000.0))
        await store.settle()
        [entry] = await found(store)
        assert not entry.head.expired

    async def test_what_was_purged_softly_can_be_purged_again(self, store: Store) -> None:
        await put(store, b"hello")
        assert await store.purge(lambda head: True, soft=True) == 1
        await store.settle()
        assert await store.purge(lambda head: True, soft=False) == 1
        await store.settle()
        assert await found(store) == []

    async def test_entries_lists_heads_up_to_a_limit(self, store: Store) -> None:
        heads = [await put(store, b"x", b"GET http://a.example/%d" % number) for number in range(5)]
        assert sorted(await store.entries(lambda head: True, 100), key=lambda head: head.key) == heads
        assert len(await store.entries(lambda head: True, 3)) == 3
        assert await store.entries(lambda head: head.key == heads[2].key, 100) == [heads[2]]
        assert await store.entries(lambda head: False, 100) == []

    async def test_counters_count_what_is_there(self, store: Store) -> None:
        assert store.counters()["objects"] == 0
        for number in range(3):
            await put(store, b"x" * 1000, b"GET http://a.example/%d" % number)
        counters = store.counters()
        assert counters["objects"] == 3
        assert counters["stored"] == 3
        assert counters["bytes"] >= 3000
        assert {"evicted", "refused"} <= counters.keys()

    async def test_two_writers_of_one_key_do_not_meet(self, store: Store) -> None:
        one, two = head_for(b"one", time=1000.0), head_for(b"two!", time=1001.0)
        first, second = begin(store, one, [b"o"]), begin(store, two, [b"tw"])
        first.write(b"ne")
        second.write(b"o!")
        second.commit(two)
        first.abort()
        await store.settle()
        [entry] = await found(store)
        assert await read(entry) == b"two!"

    async def test_what_is_larger_than_the_store_pushes_out_what_was_there_not_the_bound(self, store: Store) -> None:
        for number in range(30):
            await put(store, content_of(MAX_OBJECT_BYTES, seed=number), b"GET http://a.example/%d" % number)
        counters = store.counters()
        listed = await store.entries(lambda head: True, 1000)
        assert counters["objects"] == len(listed)
        assert 0 < len(listed) <= 30
        for head in listed[:3]:
            [entry] = await found(store, head.key)
            assert await read(entry) == content_of(MAX_OBJECT_BYTES, seed=int(head.key.rpartition(b"/")[2]))

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import disk_worker
from tests.support.redis_server import RedisServer
from tests.support.store_conformance import (
    KEY,
    MAX_OBJECT_BYTES,
    StoreConformance,
    begin,
    content_of,
    found,
    head_for,
    put,
    read,
)

from interpose.filters.cache.pattern import matcher
from interpose.protocol.stored import StoredHead
from interpose.storage.disk_store import DiskStore
from interpose.storage.memory_store import MemoryStore
from interpose.storage.redis_link import LinkOptions
from interpose.storage.redis_store import RedisStore
from interpose.storage.store import Copies, Entry
from interpose.storage.tiers import Tiers

GZIP = ((b"accept-encoding", b"gzip"),)
PLAIN = ((b"accept-encoding", None),)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def memory(max_bytes: int = 16 * MAX_OBJECT_BYTES) -> MemoryStore:
    return MemoryStore(max_bytes, min(MAX_OBJECT_BYTES, max_bytes))


def over_disk(directory: Path) -> Tiers:
    return Tiers(memory(), DiskStore(str(directory), 64 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES))


def over_redis(server: RedisServer, timeout_s: float = 5.0) -> Tiers:
    options = LinkOptions(server.url, connect_timeout_s=5.0, timeout_s=timeout_s)
    return Tiers(memory(), RedisStore(options, b"secret", "test", matcher, lambda head: 600.0))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what a store does sets no event of ours
            await asyncio.sleep(0.005)


def memory_objects(tiers: Tiers) -> float:
    return tiers.counters()["memory_objects"]


class TestMemoryOverDisk(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Tiers]:
        store = over_disk(tmp_path / "cache")
        yield store
        await store.close()


class TestMemoryOverRedis(StoreConformance):
    @pytest.fixture
    async def store(self, server: RedisServer) -> AsyncIterator[Tiers]:
        with server.client() as client:
            client.flushall()
        store = over_redis(server)
        yield store
        await store.close()


class Below:
    """A shared store in memory. `gate` holds looks that take time, if there is one. (It has a memory store and is none:
    where that is compiled nothing can derive from it.)"""

    is_away = False

    def __init__(self, *, takes_time: bool = False, max_object_bytes: int = MAX_OBJECT_BYTES) -> None:
        self.store = MemoryStore(64 * MAX_OBJECT_BYTES, max_object_bytes)
        self.takes_time = takes_time
        self.looked = 0
        self.gate: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def listen(self, copies: Copies) -> None:
        pass

    def look(self, key: bytes) -> Sequence[Entry] | None:
        self.looked += 1
        return None if self.takes_time else self.store.look(key)

    async def find(self, key: bytes) -> Sequence[Entry]:
        found = self.store.look(key)
        if self.gate is not None:
            await self.gate.wait()
        return found


# --- from below to above --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes_time", [False, True])
async def test_what_is_found_below_is_served_from_memory_from_then_on(takes_time: bool) -> None:
    below = Below(takes_time=takes_time)
    head = await put(below, b"hello")
    tiers = Tiers(memory(), below)
    for _ in range(3):
        [entry] = await found(tiers)
        assert entry.head == head
        assert await read(entry) == b"hello"
    assert below.looked == 1
    assert tiers.counters()["memory_hits"] == 2


async def test_memory_that_is_full_takes_one_of_eight_and_soon_what_is_used_often() -> None:
    below = Below()
    keys = [b"GET http://a/%d" % number for number in range(400)]
    for key in keys:
        await put(below, b"x" * 1000, key)  # type: ignore[arg-type]
    above = MemoryStore(1 << 18, lot=random.Random(7))
    tiers = Tiers(above, below)  # type: ignore[arg-type]
    for key in keys:
        [entry] = await found(tiers, key)
        assert await read(entry) == b"x" * 1000
    fit = above.counters()["objects"]
    stored = above.counters()["stored"]
    assert stored - fit < (len(keys) - fit) / 4, "most of what comes once costs nobody its place"
    often = next(key for key in reversed(keys) if not above.holds(key))
    for _ in range(100):
        await found(tiers, often)
    assert above.holds(often)


async def test_all_variants_go_up_together_the_newest_first() -> None:
    below = Below()
    await put(below, b"plain", vary=PLAIN)
    await put(below, b"zip", vary=GZIP, time=2000.0)
    tiers = Tiers(memory(), below)
    for _ in range(2):
        assert [await read(entry) for entry in await found(tiers)] == [b"zip", b"plain"]
    assert below.looked == 1


@pytest.mark.parametrize("takes_time", [False, True])
async def test_a_variant_that_was_stored_here_hides_none_that_is_below(takes_time: bool) -> None:
    below = Below(takes_time=takes_time)
    await put(below, b"plain", vary=PLAIN)
    tiers = Tiers(memory(), below)
    await put(tiers, b"zip", vary=GZIP, time=2000.0)
    assert [await read(entry) for entry in await found(tiers)] == [b"zip", b"plain"]
    looked = below.looked
    assert [await read(entry) for entry in await found(tiers)] == [b"zip", b"plain"]
    assert below.looked == looked


async def test_what_memory_cannot_take_is_below_alone_and_the_old_is_not_served() -> None:
    tiers = Tiers(memory(1 << 20), Below())
    await put(tiers, b"small")
    large = content_of(1 << 20)
    await put(tiers, large, time=2000.0)
    [entry] = await found(tiers)
    assert await read(entry) == large
    assert memory_objects(tiers) == 0


async def test_what_the_store_below_cannot_take_is_in_memory_alone() -> None:
    tiers = Tiers(memory(), Below(max_object_bytes=1000))
    head = head_for(content_of(5000))
    writer = begin(tiers, head, [content_of(5000)])
    assert not writer.gave_up
    writer.commit(head)
    [entry] = await found(tiers)
    assert await read(entry) == content_of(5000)
    assert tiers.counters()["objects"] == 0
    assert [head.key for head in await tiers.entries(lambda head: True, 10)] == [KEY]
    await tiers.purge(lambda head: True, soft=False)
    assert list(await found(tiers)) == []


async def test_a_file_goes_up_once_it_was_asked_for_again(tmp_path: Path) -> None:
    content = content_of(500000)
    disk = DiskStore(str(tmp_path / "cache"), 64 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES)
    await put(disk, content)
    tiers = Tiers(memory(), disk)
    try:
        [entry] = await found(tiers)
        assert await read(entry) == content
        assert memory_objects(tiers) == 0
        [entry] = await found(tiers)
        await until(lambda: memory_objects(tiers) == 1)
        [entry] = await found(tiers)
        assert await read(entry) == content
        assert tiers.counters()["memory_hits"] == 1
    finally:
        await tiers.close()


# --- what changes ---------------------------------------------------------------------------------------------------


async def test_what_is_changed_while_it_is_read_does_not_go_up() -> None:
    below = Below(takes_time=True)
    head = await put(below, b"old")
    changes: list[Callable[[Tiers], None]] = [
        lambda tiers: tiers.changed(KEY),
        lambda tiers: tiers.purged(matcher("*"), soft=False),
        lambda tiers: tiers.forget_all(),
        lambda tiers: tiers.changed(KEY),
        lambda tiers: tiers.remove(Entry(head, b"old")),
        lambda tiers: tiers.refresh(Entry(head, b"old"), head.replace(response_time=5000.0)),
    ]
    for number, change in enumerate(changes):
        tiers = Tiers(memory(), below)
        below.gate = asyncio.Event()
        looking = asyncio.create_task(tiers.find(KEY))
        await asyncio.sleep(0)
        change(tiers)
        below.gate.set()
        assert len(await looking) == 1
        assert memory_objects(tiers) == 0, number
        below.gate = None
        await put(below, b"old")
        await tiers.find(KEY)
        assert memory_objects(tiers) == 1, number


async def test_what_is_stored_while_the_old_is_read_stays() -> None:
    below = Below(takes_time=True)
    await put(below, b"old")
    tiers = Tiers(memory(), below)
    below.gate = asyncio.Event()
    looking = asyncio.create_task(tiers.find(KEY))
    await asyncio.sleep(0)
    await put(tiers, b"new", time=2000.0)
    below.gate.set()
    for entries in (await looking, await found(tiers)):
        assert [await read(entry) for entry in entries] == [b"new"]


async def test_a_purge_meets_what_comes_up_while_it_runs() -> None:
    below = Below()
    for number in range(3):
        await put(below, b"x", b"GET http://a.example/%d" % number)
    tiers = Tiers(memory(), below)
    await found(tiers, b"GET http://a.example/0")
    assert await tiers.purge(matcher("host:a.example"), soft=False) == 3
    assert memory_objects(tiers) == 0
    assert [list(await found(tiers, b"GET http://a.example/%d" % number)) for number in range(3)] == [[], [], []]


# --- several machines -----------------------------------------------------------------------------------------------


async def test_a_purge_of_all_workers_counts_what_is_stored_once(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
    workers = [over_redis(server) for _ in range(3)]
    try:
        for soft in (True, False):
            for number in range(4):
                await put(workers[0], b"x", b"GET http://a.example/%d" % number, time=2000.0)
            for tiers in workers:
                for number in range(4):
                    assert len(await found(tiers, b"GET http://a.example/%d" % number)) == 1
            assert [await tiers.purge(matcher("host:a.example"), soft=soft) for tiers in workers] == [4, 0, 0]
    finally:
        for tiers in workers:
            await tiers.close()


async def test_what_one_machine_changes_goes_from_the_memory_of_the_other(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
    one, two = over_redis(server), over_redis(server)
    try:
        head = await put(one, b"first", tags=(b"news",))
        await put(one, b"x", b"GET http://b.example/")

        async def both_have_it() -> None:
            for tiers in (one, two):
                assert len(await found(tiers)) == 1
                assert len(await found(tiers, b"GET http://b.example/")) == 1
            assert memory_objects(two) == 2

        await both_have_it()
        await put(one, b"second", time=2000.0)
        await until(lambda: memory_objects(two) == 1)
        assert [await read(entry) for entry in await found(two)] == [b"second"]

        [entry] = await found(one)
        one.refresh(entry, head.replace(response_time=3000.0, length=6, sha256=entry.head.sha256))
        await until(lambda: memory_objects(two) == 1)
        assert [entry.head.response_time for entry in await found(two)] == [3000.0]

        assert await two.purge(matcher("host:a.example"), soft=True) == 1
        above = one._above
        await until(lambda: not above.holds(KEY) or above.look(KEY)[0].head.expired)
        assert (await found(one))[0].head.expired

        one.remove((await found(one))[0])
        await until(lambda: memory_objects(two) == 1)
        assert await found(two) == []
    finally:
        await one.close()
        await two.close()


async def test_f10_what_is_in_memory_is_served_and_kept_while_redis_is_away(server: RedisServer) -> None:
    tiers = over_redis(server)
    try:
        await put(tiers, b"before", b"GET http://a.example/before")
        below = tiers._below
        assert isinstance(below, RedisStore)
        below.link.lost(ConnectionError("cut"))
        below.link.is_away = True
        await put(tiers, b"meanwhile", vary=GZIP)
        assert [await read(entry) for entry in await found(tiers)] == [b"meanwhile"]
        assert [await read(entry) for entry in await found(tiers, b"GET http://a.example/before")] == [b"before"]
        assert await found(tiers, b"GET http://a.example/other") in ([], ())
    finally:
        await tiers.close()


# --- several workers on a machine -----------------------------------------------------------------------------------


@contextmanager
def another_process(directory: Path) -> Iterator[Callable[[str], str]]:
    process = subprocess.Popen(
        [sys.executable, disk_worker.__file__, "serve", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def say(line: str) -> str:
        if line:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        assert say("") == "ready"
        yield say
    finally:
        process.communicate(timeout=20)


async def test_what_one_worker_changes_goes_from_the_memory_of_the_others(tmp_path: Path) -> None:
    tiers = over_disk(tmp_path)
    keys = [disk_worker.key_of_number(number) for number in range(5)]

    async def contents() -> list[bytes | None]:
        return [await read(entries[0]) if (entries := await found(tiers, key)) else None for key in keys]

    try:
        with another_process(tmp_path) as say:
            for number in range(5):
                assert say(f"put {number} 100") == "ok"
            assert None not in await contents()
            assert memory_objects(tiers) == 5

            assert say("put 0 200") == "ok"
            assert say("remove 1") == "ok"
            await until(lambda: memory_objects(tiers) == 3)
            assert await contents() == [
                content_of(200, 0), None, *[content_of(100, number) for number in range(2, 5)]
            ]  # fmt: skip

            assert say("put 7 100") == "ok"  # what is new is no news
            assert say("soft") == "5"
            await until(lambda: memory_objects(tiers) == 0)
            assert [(await found(tiers, keys[number]))[0].head.expired for number in (0, 2, 3, 4)] == [True] * 4

            await until(lambda: memory_objects(tiers) == 4)
            assert say("purge") == "5"
            await until(lambda: memory_objects(tiers) == 0)
            assert await contents() == [None] * 5
    finally:
        await tiers.close()


async def test_a_worker_that_missed_too_much_forgets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interpose.storage.disk_news.MOST_ROWS", 4)
    tiers = over_disk(tmp_path)
    copies: list[StoredHead] = []
    try:
        await put(tiers, b"x", b"GET http://b.example/")
        copies += [entry.head for entry in await found(tiers, b"GET http://b.example/")]
        for number in range(12):
            begin(tiers, head_for(b"y", time=2000.0 + number), [b"y"]).commit(head_for(b"y", time=2000.0 + number))
        await until(lambda: memory_objects(tiers) == 0)
        assert [entry.head for entry in await found(tiers, b"GET http://b.example/")] == copies
    finally:
        await tiers.close()


async def test_a_very_long_key_has_everything_forgotten(tmp_path: Path) -> None:
    tiers = over_disk(tmp_path)
    long = b"GET http://a.example/" + b"x" * 5000
    try:
        await put(tiers, b"x")
        await put(tiers, b"1", long)
        await put(tiers, b"2", long, time=2000.0)
        await until(lambda: memory_objects(tiers) == 0)
        assert [await read(entry) for entry in await found(tiers, long)] == [b"2"]
    finally:
        await tiers.close()

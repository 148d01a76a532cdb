"""The memory store: what every store does, its bounds, and that it keeps what is used."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import cache_traces
from tests.support.cache_traces import Objects, hit_ratio_of, hit_ratio_of_lru
from tests.support.store_conformance import (
    MAX_OBJECT_BYTES,
    StoreConformance,
    begin,
    content_of,
    found,
    head_for,
    put,
    read,
)

from interpose.core.fields import field_line
from interpose.protocol.stored import StoredHead
from interpose.storage.memory_store import MAX_VARIANTS, MemoryStore
from interpose.storage.sketch import Sketch
from interpose.storage.store import Entry, Store, is_same_response

MIB = 1 << 20


class TestConformance(StoreConformance):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore(16 * MIB, MAX_OBJECT_BYTES)
        yield store
        await store.close()


def url(number: int) -> bytes:
    return b"GET http://a.example/%d" % number


async def test_the_bound_holds_whatever_is_stored() -> None:
    store = MemoryStore(MIB, 200_000, lot=random.Random(1))
    lot = random.Random(2)
    for number in range(500):
        await put(store, bytes(lot.choice([0, 100, 5000, 60000, 200000])), url(number))
        assert store.counters()["bytes"] <= MIB
    counters = store.counters()
    assert counters["stored"] == 500
    assert counters["objects"] + counters["evicted"] == 500
    assert len(await store.entries(lambda head: True, 1000)) == counters["objects"]


async def test_what_is_being_written_counts_and_pushes_out_what_is_stored() -> None:
    store = MemoryStore(MIB, 400_000)
    for number in range(100):
        await put(store, bytes(10000), url(number))
    before = store.counters()["bytes"]
    assert before > 900_000
    head = head_for(bytes(400_000), url(200))
    writer = begin(store, head, [bytes(100_000)] * 4)
    assert store.counters()["bytes"] <= MIB - 400_000
    writer.commit(head)
    assert store.counters()["bytes"] <= MIB


async def test_writers_take_half_the_store_at_most_and_give_it_back() -> None:
    store = MemoryStore(MIB, 400_000)
    heads = [head_for(bytes(300_000), url(number)) for number in range(5)]
    writers = [begin(store, head, [bytes(100_000)] * 3) for head in heads]
    assert [writer.gave_up for writer in writers] == [False, True, True, True, True]
    writers[0].abort()
    assert not begin(store, heads[0], [bytes(300_000)]).gave_up


@pytest.mark.parametrize(("size", "lines", "variants"), [(0, 30, 1), (0, 2, 10), (1000, 10, 1), (70000, 10, 1)])
async def test_what_is_counted_is_what_is_taken(size: int, lines: int, variants: int) -> None:
    store = MemoryStore(16 * MIB)
    objects = 2 * MIB // (size + 10000)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(objects):
            for variant in range(variants):
                text = f"{number} {variant} " + "x" * 40
                fields = tuple([field_line(f"X-Field-{line}", text) for line in range(lines)])
                vary = ((b"accept", text.encode() * 10),)
                await put(store, bytes(size), url(number), lines=fields, vary=vary)
        del fields
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert store.counters()["evicted"] == 0
    assert taken <= 1.05 * store.counters()["bytes"] + 100_000
    assert taken >= 0.5 * store.counters()["bytes"]


async def test_content_that_comes_octet_by_octet_takes_no_more_memory_than_its_size() -> None:
    store = MemoryStore(16 * MIB)
    tracemalloc.start()
    try:
        writer = store.writer(head_for(b""))
        for place in range(100_000):
            writer.write(b"%02d" % (place % 100))
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    content = b"".join(b"%02d" % number for number in range(100)) * 1000
    writer.commit(head_for(content))
    [entry] = await found(store)
    assert await read(entry) == content


async def test_variants_of_a_key_are_bounded_in_number_and_size() -> None:
    store = MemoryStore(16 * MIB)
    for number in range(MAX_VARIANTS + 10):
        await put(store, b"x", vary=((b"user-agent", b"%d" % number),))
    entries = await found(store)
    assert len(entries) == MAX_VARIANTS
    assert entries[0].head.vary == ((b"user-agent", b"%d" % (MAX_VARIANTS + 9)),)
    for number in range(10):
        await put(store, bytes(MIB), url(1), vary=((b"user-agent", b"%d" % number),))
    assert len(await found(store, url(1))) == 1
    await put(store, bytes(1000), url(1), vary=((b"user-agent", b"other"),))
    assert len(await found(store, url(1))) == 2


async def test_what_is_used_stays_when_much_that_is_not_passes() -> None:
    store = MemoryStore(MIB, lot=random.Random(1))
    for number in range(20):
        store.look(url(number))
        await put(store, bytes(10000), url(number))
    for number in range(1000, 6000):
        for used in range(20):
            if number % 10 == 0:
                store.look(url(used))
        store.look(url(number))
        await put(store, bytes(10000), url(number))
    assert all(store.look(url(number)) for number in range(20))


def fill(store: MemoryStore, numbers: range, size: int = 10000) -> None:
    for number in numbers:
        head = head_for(b"").replace(key=url(number), length=size)
        begin(store, head, [bytes(size)]).commit(head)


def kept(store: MemoryStore, numbers: range) -> int:
    return sum(url(number) in store._shelves for number in numbers)


def test_what_was_evicted_is_remembered_for_how_often_it_was_used() -> None:
    store = MemoryStore(MIB, MIB, lot=random.Random(1))
    fill(store, range(1000, 1050))
    for number in range(1000, 1050):
        for _ in range(20):
            store.look(url(number))
    begin(store, head_for(b""), [bytes(MIB)]).abort()
    assert kept(store, range(1000, 1050)) == 0
    fill(store, range(1000, 1050))
    fill(store, range(3000, 3300))
    assert kept(store, range(1000, 1050)) > 40


def test_of_two_that_are_used_as_often_the_small_one_stays() -> None:
    store = MemoryStore(8 * MIB, lot=random.Random(1))
    for number in range(0, 400, 2):
        fill(store, range(number, number + 1), size=1000)
        fill(store, range(number + 1, number + 2), size=100_000)
    assert kept(store, range(0, 400, 2)) >= 195
    assert kept(store, range(1, 400, 2)) < 90


def test_what_is_used_stays_and_what_was_used_long_ago_goes() -> None:
    store = MemoryStore(MIB, lot=random.Random(1))
    fill(store, range(90))
    for _ in range(3):
        for number in range(90):
            store.look(url(number))
    for _ in range(30):
        for number in range(45):
            store.look(url(number))
    fill(store, range(1000, 1100))
    assert kept(store, range(45)) > 40
    assert kept(store, range(45, 90)) < 10


def test_fame_ends() -> None:
    store = MemoryStore(MIB, lot=random.Random(1))
    fill(store, range(50))
    for _ in range(400):
        for number in range(50):
            store.look(url(number))
    for _ in range(200):
        for number in range(1000, 1100):
            if not store.look(url(number)):
                fill(store, range(number, number + 1))
    assert kept(store, range(50)) == 0
    assert kept(store, range(1000, 1100)) > 90


def test_uses_are_halved_every_now_and_then() -> None:
    store = MemoryStore(MIB)
    fill(store, range(2))
    for _ in range(1000):
        store.look(url(0))
    for number in range(50_000):
        store.look(url(1))
        if number % 1000 == 0:
            fill(store, range(1, 2))
    assert store._uses(store._shelves[url(0)]) in (1000 >> 2, 1000 >> 3)


def test_a_newcomer_is_not_taken_for_famous_after_many_others_came() -> None:
    store = MemoryStore(MIB, lot=random.Random(1))
    for number in range(100_000):
        store.look(url(number))
        if number % 100 == 0:
            fill(store, range(number, number + 1))
    assert sum(store._sketch.count(url(number)) for number in range(200_000, 200_100)) < 300


@pytest.mark.parametrize(("name", "margin"), [("zipf", 3), ("shifting", 3), ("scanned", 3), ("lately", -6)])
async def test_more_is_hit_than_with_lru(name: str, margin: int) -> None:
    objects = Objects()
    trace = getattr(cache_traces, name)(60000, 5000, seed=7)
    room = sum(objects.size(number) for number in range(5000)) // 10
    ratio = hit_ratio_of(MemoryStore(room, lot=random.Random(3)), trace, objects)
    assert ratio >= hit_ratio_of_lru(trace, objects, room) + margin


async def test_a_long_purge_lets_others_have_their_turn() -> None:
    store = MemoryStore(16 * MIB)
    for number in range(3000):
        await put(store, b"x", url(number))
    task = asyncio.create_task(store.purge(lambda head: True, soft=False))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < store.counters()["objects"] < 3000
    await put(store, b"new", url(9999))
    assert await task == 3000
    [entry] = await found(store, url(9999))
    assert await read(entry) == b"new"


async def test_a_whole_piece_is_not_copied_for_each_reader() -> None:
    store = MemoryStore(16 * MIB)
    await put(store, content_of(MIB))
    [entry] = await found(store)
    gc.collect()
    tracemalloc.start()
    try:
        bodies = [entry.body() for _ in range(100)]
        chunks = [await body.next_chunk() for body in bodies]
        assert tracemalloc.get_traced_memory()[0] < 400_000
        assert len(chunks[0]) == 196608
    finally:
        tracemalloc.stop()
        for body in bodies:
            body.close()


async def test_a_small_body_is_there_at_once() -> None:
    store = MemoryStore(16 * MIB)
    await put(store, b"hello")
    [entry] = store.look(head_for(b"").key)
    assert entry.body().is_complete


async def test_a_refresh_that_varies_otherwise_leaves_nothing_of_the_old_head() -> None:
    store = MemoryStore(MIB)
    head = await put(store, b"hello", vary=((b"accept", b"x"),))
    store.refresh(store.look(head.key)[0], head.replace(vary=((b"accept", b"y"),), response_time=2000.0))
    [entry] = store.look(head.key)
    assert entry.head.vary == ((b"accept", b"y"),)


def test_the_same_response_is_known_by_when_it_came_not_by_whether_it_is_expired() -> None:
    head = head_for(b"x")
    assert is_same_response(head, head.replace(expired=True, lines=()))
    for change in ({"key": b"k"}, {"vary": ((b"a", None),)}, {"response_time": 1.0}, {"sha256": b""}):
        assert not is_same_response(head, head.replace(**change))


def test_the_sketch_counts_never_too_little_seldom_too_much_and_forgets() -> None:
    sketch = Sketch(1000)
    lot = random.Random(4)
    truth = Counter(b"%d" % int(lot.paretovariate(1)) for _ in range(3000))
    for key, count in truth.items():
        for _ in range(count):
            sketch.add(key)
    assert all(sketch.count(key) >= min(count, 255) for key, count in truth.items())
    assert sum(sketch.count(key) - min(count, 255) > 1 for key, count in truth.items()) < len(truth) // 20
    before = {key: sketch.count(key) for key in truth}
    sketch.age()
    assert all(sketch.count(key) == before[key] // 2 for key in truth)
    sketch.raise_to(b"famous", 1000)
    assert sketch.count(b"famous") == 255


STEPS = st.tuples(
    st.sampled_from(["put"] * 4 + ["look", "look", "refresh", "remove", "purge", "soft", "write", "abort"]),
    st.integers(0, 5),
    st.integers(0, 2),
    st.integers(0, 3000),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_random_steps_agree_with_a_model(steps: list[tuple[str, int, int, int]]) -> None:
    """The model keeps everything, so what the store has must be a part of it, in the same order, exactly right."""

    async def run() -> None:
        store = MemoryStore(12000, 4000, lot=random.Random(1))
        model: dict[bytes, list[tuple[StoredHead, bytes]]] = {}
        time = 0.0
        seen: list[Entry] = []
        writers = []
        for name, number, variant, size in steps:
            time += 1
            key, vary = url(number), ((b"accept", b"%d" % variant),)
            if name == "put":
                content = content_of(size, number)
                head = head_for(content, key, vary=vary, time=time)
                writer = begin(store, head, [content])
                writer.commit(head)
                if not writer.gave_up:
                    others = [pair for pair in model.get(key, []) if pair[0].vary != vary]
                    model[key] = [(head, content), *others]
            elif name == "look":
                seen += store.look(key)
            elif name in ("refresh", "remove") and seen:
                entry = seen[number % len(seen)]
                held = model.get(entry.head.key, [])
                is_stored = any(is_same_response(entry.head, e.head) for e in store.look(entry.head.key))
                match = [pair for pair in held if is_same_response(pair[0], entry.head)]
                assert not is_stored or match
                for pair in match:
                    held.remove(pair)
                    if name == "refresh":
                        head = entry.head.replace(response_time=time, expired=False)
                        held.insert(0, (head, pair[1]))
                if name == "refresh":
                    store.refresh(entry, entry.head.replace(response_time=time, expired=False))
                else:
                    store.remove(entry)
            elif name in ("purge", "soft"):
                there = [head for head in await store.entries(lambda head: True, 1000) if head.vary == vary]
                assert await store.purge(lambda head, vary=vary: head.vary == vary, soft=name == "soft") == len(there)
                for held in model.values():
                    held[:] = [
                        (head.replace(expired=True) if head.vary == vary else head, content)
                        for head, content in held
                        if name == "soft" or head.vary != vary
                    ]
            elif name == "write":
                writers.append(begin(store, head_for(b""), [bytes(size)]))
            elif name == "abort" and writers:
                writers.pop().abort()
            for key, held in model.items():
                place = 0
                for entry in store.look(key):
                    while held[place][0] != entry.head:
                        place += 1
                    assert await read(entry) == held[place][1]
            assert store.counters()["bytes"] <= 12000
            assert store.counters()["objects"] == len(await store.entries(lambda head: True, 1000))
        for writer in writers:
            writer.abort()
        await store.purge(lambda head: True, soft=False)
        assert store.counters()["bytes"] == store.counters()["objects"] == 0
        assert store._reserved == 0
        assert not store._places

    asyncio.run(run())

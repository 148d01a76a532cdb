"""Growing content: every reader gets all of it in order, at its own pace, whatever the others do."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.core.body import Body
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.storage.growing import Growing
from interpose.storage.reading import PIECE_BYTES
from interpose.storage.spill import SpillSpace

BROKEN = Failure("http_response_incomplete", Side.UPSTREAM, "it broke off")


def octets(start: int, size: int) -> bytes:
    """What every test's content has from `start` on: no two places near each other look alike."""
    numbers = range(start // 4, (start + size) // 4 + 1)
    whole = b"".join(number.to_bytes(4, "big") for number in numbers)
    return whole[start % 4 : start % 4 + size]


class Sink:
    """Takes as many octets as it has room for; `more` gives it room."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.on_drain = None
        self.room = room
        self.got = bytearray()
        self.most = 0
        self.ended: object = None
        self.trailers: Fields | None = None

    def write(self, chunk: bytes) -> bool:
        assert self.ended is None
        self.got += chunk
        self.room -= len(chunk)
        self.most = max(self.most, len(chunk))
        return self.room > 0

    def end(self, trailers: Fields | None) -> None:
        assert self.ended is None
        self.ended = "end"
        self.trailers = trailers

    def abort(self, failure: Failure) -> None:
        assert self.ended is None
        self.ended = failure

    def more(self, room: int) -> None:
        was_full = self.room <= 0
        self.room = max(self.room, 0) + room
        if was_full and self.on_drain is not None and self.ended is None:
            self.on_drain()


def reader(growing: Growing, room: int = 1 << 40, first: int = 0, last: int | None = None) -> Sink:
    sink = Sink(room)
    growing.body(first, last).pipe(sink)
    return sink


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_readers_that_keep_up_get_each_chunk_as_it_comes() -> None:
    growing = Growing()
    one, two = reader(growing), reader(growing)
    chunk = octets(0, 1000)
    assert growing.write(chunk)
    assert one.got == two.got == chunk
    growing.end(None)
    assert (one.ended, two.ended) == ("end", "end")
    assert not growing.has_readers


async def test_who_comes_later_begins_at_the_first_octet() -> None:
    growing = Growing()
    growing.write(b"ab")
    late = reader(growing)
    growing.write(b"cd")
    assert late.got == b"abcd"
    trailers = Fields([("X", "y")])
    growing.end(trailers)
    assert late.trailers is trailers
    body = growing.body()
    assert body.is_complete
    assert body.trailers is trailers
    assert await body.read(10) == b"abcd"


async def test_bodies_are_as_long_as_the_content_where_that_is_known() -> None:
    growing = Growing(10)
    assert growing.body().length == 10
    assert growing.body(4).length == 6
    assert growing.body(2, 3).length == 2
    assert Growing().body().length is None
    assert Growing().body(2, 3).length == 2


async def test_a_slow_reader_holds_up_neither_the_fetch_nor_another_reader() -> None:
    space = SpillSpace()
    growing = Growing(space=space, memory_bytes=10000)
    slow, quick = reader(growing, room=1), reader(growing)
    whole = octets(0, 1 << 20)
    for start in range(0, len(whole), 5000):
        assert growing.write(whole[start : start + 5000])
    growing.end(None)
    assert quick.got == whole
    assert quick.ended == "end"
    assert slow.got == whole[:5000]
    assert slow.ended is None
    growing.seal()
    for _ in range(1000):
        slow.more(10000)
        if slow.ended:
            break
    assert slow.ended == "end"
    assert slow.got == whole
    assert slow.most <= PIECE_BYTES
    assert space.used == 0


async def test_a_range_waits_for_its_octets_and_ends_with_them() -> None:
    growing = Growing(100)
    middle, tail = reader(growing, first=10, last=19), reader(growing, first=95)
    growing.write(octets(0, 5))
    assert middle.got == b""
    growing.write(octets(5, 10))
    assert middle.got == octets(10, 5)
    growing.write(octets(15, 50))
    assert middle.got == octets(10, 10)
    assert middle.ended == "end"
    growing.write(octets(65, 35))
    assert tail.got == octets(95, 5)
    growing.end(Fields([("X", "y")]))
    assert tail.ended == "end"
    assert reader(growing, first=3, last=5).got == octets(3, 3)


@pytest.mark.parametrize(("first", "last"), [(5, 20), (30, None), (30, 40)])
async def test_a_range_beyond_the_end_fails(first: int, last: int | None) -> None:
    growing = Growing()
    early = reader(growing, first=first, last=last)
    growing.write(octets(0, 10))
    growing.end(None)
    late = reader(growing, first=first, last=last)
    for sink in (early, late):
        assert isinstance(sink.ended, Failure)
        assert sink.ended.kind == "http_response_incomplete"


async def test_a_failure_reaches_everybody_after_what_came_before() -> None:
    growing = Growing()
    quick, slow, unread = reader(growing), reader(growing, room=1), growing.body()
    growing.write(b"abc")
    growing.write(b"def")
    growing.abort(BROKEN)
    growing.end(None)
    growing.write(b"late")
    late = reader(growing)
    await turns()
    assert quick.ended is late.ended is BROKEN
    assert quick.got == late.got == b"abcdef"
    assert slow.got == b"abc"
    slow.more(100)
    assert slow.got == b"abcdef"
    assert slow.ended is BROKEN
    with pytest.raises(Failure, match="it broke off"):
        await unread.read(100)
    assert not growing.has_readers


async def test_a_reader_that_leaves_changes_nothing_for_the_others() -> None:
    growing = Growing()
    left: list[bool] = []
    growing.on_left = lambda: left.append(growing.has_readers)
    bodies = [growing.body() for _ in range(3)]
    sinks = [Sink() for _ in bodies]
    for body, sink in zip(bodies, sinks, strict=True):
        body.pipe(sink)
    growing.write(b"abc")
    bodies[1].close()
    growing.write(b"def")
    assert [bytes(sink.got) for sink in sinks] == [b"abcdef", b"abc", b"abcdef"]
    bodies[0].close()
    assert growing.has_readers
    assert left == []
    bodies[2].close()
    assert left == [False]
    assert growing.write(b"ghi")
    assert reader(growing).got == b"abcdefghi"


async def test_a_reader_may_leave_while_the_others_are_fed() -> None:
    growing = Growing()
    bodies: list[Body] = []

    class Leaver(Sink):
        def write(self, chunk: bytes) -> bool:
            super().write(chunk)
            for body in bodies:
                body.close()
            return True

    first, others = Leaver(), [Sink() for _ in range(3)]
    growing.body().pipe(first)
    for sink in others:
        bodies.append(growing.body())
        bodies[-1].pipe(sink)
    growing.write(b"abc")
    growing.write(b"def")
    growing.end(None)
    assert first.got == b"abcdef"
    assert all(isinstance(sink.ended, Failure) for sink in others)


async def test_what_is_sealed_takes_nobody_more_and_keeps_what_is_not_passed() -> None:
    growing = Growing()
    slow = reader(growing, room=1)
    growing.write(octets(0, 10))
    growing.write(octets(10, 10))
    growing.seal()
    growing.write(octets(20, 10))
    assert not growing.is_open
    with pytest.raises(ValueError, match="not kept any more"):
        growing.body()
    slow.more(100)
    growing.write(octets(30, 10))
    growing.end(None)
    assert slow.got == octets(0, 40)
    assert slow.ended == "end"


async def test_what_is_sealed_and_not_read_is_not_kept() -> None:
    growing = Growing()
    growing.write(b"x" * 1000)
    growing.seal()
    growing.write(b"y" * 1000)
    assert len(growing._memory) == 0
    assert growing.received == 2000


async def test_content_that_is_too_long_to_be_shared_is_sealed_and_goes_on() -> None:
    growing = Growing(space=SpillSpace(), memory_bytes=1000, max_bytes=10000)
    quick = reader(growing)
    for place in range(0, 20000, 500):
        assert growing.write(octets(place, 500))
    assert not growing.is_open
    growing.end(None)
    assert quick.got == octets(0, 20000)


async def test_a_range_that_begins_later_waits_also_when_nobody_else_reads() -> None:
    growing = Growing()
    ahead = reader(growing, first=25)
    growing.seal()
    for place in range(0, 60, 10):
        growing.write(octets(place, 10))
    growing.end(None)
    assert ahead.got == octets(25, 35)
    assert ahead.ended == "end"


async def test_a_reader_may_be_resumed_while_another_is_fed() -> None:
    growing = Growing()
    resumed = Sink()

    class Resumer(Sink):
        def write(self, chunk: bytes) -> bool:
            assert resumed.on_drain is not None
            resumed.on_drain()
            return super().write(chunk)

    first = Resumer()
    bodies = [growing.body(), growing.body()]
    bodies[1].pipe(resumed)
    bodies[0].pipe(first)
    growing.seal()
    for place in range(0, 30, 10):
        growing.write(octets(place, 10))
    growing.end(None)
    assert first.got == resumed.got == octets(0, 30)


@pytest.mark.parametrize("size", [10, 3 * PIECE_BYTES])
async def test_a_reader_may_ask_for_more_from_within_its_own_feeding(size: int) -> None:
    growing = Growing(memory_bytes=1 << 20)
    depths: list[int] = []

    class Eager(Sink):
        depth = 0

        def write(self, chunk: bytes) -> bool:
            self.depth += 1
            depths.append(self.depth)
            super().write(chunk)
            assert self.on_drain is not None
            self.on_drain()
            self.depth -= 1
            return True

    early = Eager()
    growing.body().pipe(early)
    growing.write(octets(0, 5))
    growing.write(octets(5, size))
    late = Eager()
    growing.body().pipe(late)
    await turns()
    growing.end(None)
    assert early.got == late.got == octets(0, size + 5)
    assert max(depths) == 1


@contextmanager
def files_are_full() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("why", ["no file", "bound", "disk", "directory", "max_bytes"])
async def test_f6_without_room_the_fetch_goes_at_the_pace_of_the_slowest_reader(why: str, tmp_path: Path) -> None:
    space = {
        "no file": None,
        "bound": SpillSpace(max_bytes=100),
        "directory": SpillSpace(str(tmp_path / "none")),
    }.get(why, SpillSpace())
    growing = Growing(space=space, memory_bytes=1000, max_bytes=2000 if why == "max_bytes" else 1 << 20)
    drained: list[int] = []
    growing.on_drain = lambda: drained.append(growing.received)
    slow, quick = reader(growing, room=1), reader(growing)
    place, may_go_on = 0, True
    with files_are_full() if why == "disk" else contextmanager(lambda: iter([None]))():
        while may_go_on:
            assert place < 4000
            may_go_on = growing.write(octets(place, 300))
            place += 300
    assert quick.got == octets(0, place)
    assert drained == []
    assert not growing.is_open
    slow.more(1 << 40)
    await turns()
    assert slow.got == octets(0, place)
    assert drained == [place]
    assert growing.write(octets(place, 300))
    growing.end(None)
    assert slow.got == quick.got == octets(0, place + 300)
    assert slow.ended == quick.ended == "end"
    if space is not None:
        assert space.used == 0
        assert space.refused == (0 if why == "max_bytes" else 1)


async def test_f6_the_slowest_reader_leaves_and_the_fetch_goes_on() -> None:
    growing = Growing(memory_bytes=1000)
    drained: list[bool] = []
    growing.on_drain = lambda: drained.append(True)
    slow = growing.body()
    slow.pipe(Sink(room=1))
    while growing.write(b"x" * 300):
        pass
    slow.close()
    assert drained == [True]


async def test_a_file_that_cannot_be_read_back_fails_its_reader_alone() -> None:
    growing = Growing(space=SpillSpace(), memory_bytes=1000)
    slow, quick = reader(growing, room=1), reader(growing)
    for place in range(0, 10000, 500):
        growing.write(octets(place, 500))
    assert growing._spill is not None
    for file in growing._spill._files.values():
        os.ftruncate(file.fileno(), 600)
    slow.more(1 << 40)
    await turns()
    growing.end(None)
    growing.seal()
    assert isinstance(slow.ended, Failure)
    assert slow.ended.kind == "proxy_internal_error"
    assert slow.got == octets(0, 600)
    assert quick.got == octets(0, 10000)
    assert quick.ended == "end"


async def test_memory_and_files_are_bounded_for_an_endless_content_with_a_reader_that_is_always_behind() -> None:
    space = SpillSpace(segment_bytes=100000)
    growing = Growing(space=space, memory_bytes=50000, max_bytes=200000)
    slow = reader(growing, room=1)
    chunk = bytes(20000)
    most_memory = most_space = 0
    for _ in range(500):
        growing.write(chunk)
        slow.more(20000)
        slow.got.clear()
        most_memory = max(most_memory, len(growing._memory))
        most_space = max(most_space, space.used)
        assert growing._spill is None or len(growing._spill._files) <= 4
        await turns(2)
    assert most_memory <= 50000
    assert most_space <= 400000
    growing.abort(BROKEN)
    slow.more(1 << 40)
    await turns()
    assert space.used == 0


async def test_who_pulls_gets_everything_too() -> None:
    growing = Growing(space=SpillSpace(), memory_bytes=1000)
    body = growing.body()
    task = asyncio.create_task(body.read(1 << 20))
    for place in range(0, 300000, 10000):
        growing.write(octets(place, 10000))
        await turns(1)
    growing.end(None)
    growing.seal()
    assert await task == octets(0, 300000)


async def test_a_long_way_behind_others_have_their_turns() -> None:
    growing = Growing(space=SpillSpace())
    for place in range(0, 4 * PIECE_BYTES, PIECE_BYTES):
        growing.write(octets(place, PIECE_BYTES))
    sink = reader(growing)
    assert len(sink.got) == PIECE_BYTES
    await turns(1)
    assert len(sink.got) < 4 * PIECE_BYTES
    await turns()
    assert len(sink.got) == 4 * PIECE_BYTES
    growing.seal()


async def test_no_descriptor_is_left() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for how in ("end", "abort", "close"):
        growing = Growing(space=SpillSpace(), memory_bytes=1000)
        body = growing.body()
        body.pipe(Sink(room=1))
        growing.write(octets(0, 10000))
        assert len(os.listdir("/proc/self/fd")) == before + 1
        growing.end(None) if how == "end" else growing.abort(BROKEN)
        growing.seal()
        body.close()
        assert len(os.listdir("/proc/self/fd")) == before


class Model:
    """One run of random steps, and what must be true of it."""

    def __init__(self, memory_bytes: int, max_bytes: int, space: SpillSpace | None) -> None:
        self.memory_bytes = memory_bytes
        self.growing = Growing(space=space, memory_bytes=memory_bytes, max_bytes=max_bytes)
        self.space = space
        self.size = 0
        self.largest = 0
        self.end: object = None
        self.may_write = True
        self.growing.on_drain = self.drained
        self.readers: list[tuple[Body, Sink, int, int | None]] = []
        self.closed: set[int] = set()

    def drained(self) -> None:
        assert not self.may_write
        self.may_write = True

    def step(self, name: str, one: int, two: int) -> None:
        if name == "write" and self.end is None and self.may_write:
            self.largest = max(self.largest, one)
            place, self.size = self.size, self.size + one
            if not self.growing.write(octets(place, one)):
                self.may_write = False
        elif name == "join" and self.growing.is_open:
            last = None if two % 3 else one % 500 + two
            first = one % 500 if two % 2 else 0
            sink = Sink(room=two)
            body = self.growing.body(first, last)
            if two % 5:
                body.pipe(sink)
                self.readers.append((body, sink, first, last))
            else:
                body.close()
        elif name == "more" and self.readers:
            self.readers[one % len(self.readers)][1].more(two)
        elif name == "close" and self.readers:
            number = one % len(self.readers)
            if self.readers[number][1].ended is None:
                self.closed.add(number)
            self.readers[number][0].close()
        elif name == "seal":
            self.growing.seal()
        elif name == "end" and self.end is None:
            self.end = "end"
            self.growing.end(None)
        elif name == "abort" and self.end is None:
            self.end = BROKEN
            self.growing.abort(BROKEN)

    def check(self) -> None:
        for _, sink, first, last in self.readers:
            whole = octets(0, self.size)[first : None if last is None else last + 1]
            assert whole.startswith(bytes(sink.got))
        if self.space is not None:
            assert len(self.growing._memory) <= self.memory_bytes
        assert self.growing.received == self.size

    def finish(self) -> None:
        self.growing.seal()
        for number, (_, sink, first, last) in enumerate(self.readers):
            if number in self.closed:
                continue
            whole = octets(0, self.size)[first : None if last is None else last + 1]
            assert bytes(sink.got) == whole
            is_all_there = first <= self.size if last is None else last < self.size
            if last is not None and is_all_there:
                assert sink.ended == "end"
            elif self.end is BROKEN:
                assert sink.ended is BROKEN
            elif is_all_there:
                assert sink.ended == "end"
            else:
                assert isinstance(sink.ended, Failure)
        assert not self.growing.has_readers
        assert self.space is None or self.space.used == 0
        assert not self.growing._memory


STEPS = st.tuples(
    st.sampled_from(["write"] * 8 + ["join"] * 3 + ["more"] * 6 + ["turns"] * 3 + ["close", "seal", "end", "abort"]),
    st.integers(1, 700),
    st.integers(0, 900),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STEPS, max_size=60),
    st.sampled_from([(100, 1 << 20), (1000, 3000), (50, 50)]),
    st.sampled_from(["files", "no files", "little"]),
)
def test_random_readers_agree_with_the_model(
    steps: list[tuple[str, int, int]], bounds: tuple[int, int], where: str
) -> None:
    async def run() -> None:
        space = {"files": SpillSpace(segment_bytes=256), "no files": None, "little": SpillSpace(max_bytes=500)}[where]
        model = Model(bounds[0], bounds[1], space)
        if where == "little":
            model.memory_bytes = 1 << 40
        for name, one, two in steps:
            if name == "turns":
                await turns(one % 3 + 1)
            else:
                model.step(name, one, two)
            model.check()
        model.step("end", 0, 0)
        for _, sink, _, _ in model.readers:
            sink.more(1 << 40)
        for _ in range(100):
            await turns(5)
            if not model.growing.has_readers:
                break
        model.finish()

    asyncio.run(run())

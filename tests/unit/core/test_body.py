"""Bodies: fed by one side, consumed by the other, in any order, ended once."""

from __future__ import annotations

import asyncio

import pytest

from interpose.core.body import EMPTY, HIGH_WATER, Body
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields

BROKEN = Failure("http_response_incomplete", Side.UPSTREAM, "it broke off")


class Source:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def cancel(self) -> None:
        self.said.append("cancel")


class Sink:
    """Takes `room` chunks, then wants to be asked again."""

    def __init__(self, room: int = 1000) -> None:
        self.on_drain = None
        self.room = room
        self.got: list[object] = []

    def write(self, chunk: bytes) -> bool:
        self.got.append(chunk)
        self.room -= 1
        return self.room > 0

    def end(self, trailers: Fields | None) -> None:
        self.got.append(("end", trailers))

    def abort(self, failure: Failure) -> None:
        self.got.append(("abort", failure.kind))


@pytest.fixture
def source() -> Source:
    return Source()


async def test_what_is_complete_is_read_whole() -> None:
    body = Body(b"abc")
    assert (body.length, body.ended, body.is_complete) == (3, True, True)
    assert await body.read(3) == b"abc"
    assert await Body().read(0) == b""
    assert await EMPTY.read(0) == b""


async def test_what_is_too_long_is_refused_before_it_is_read_where_that_is_known() -> None:
    with pytest.raises(Failure) as raised:
        await Body(b"abc").read(2)
    assert raised.value.status == 413


async def test_what_turns_out_too_long_is_given_up(source: Source) -> None:
    body = Body.streaming(source, None)
    body.feed(b"abc")
    with pytest.raises(Failure) as raised:
        await body.read(2)
    assert raised.value.status == 413
    assert source.said == ["cancel"]


async def test_chunks_are_pulled_as_they_come(source: Source) -> None:
    body = Body.streaming(source, None)
    pulled: list[bytes] = []

    async def pull() -> None:
        async for chunk in body:
            pulled.append(chunk)

    task = asyncio.create_task(pull())
    await asyncio.sleep(0)
    assert source.said == ["resume"]
    for chunk in (b"a", b"b"):
        body.feed(chunk)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    body.feed(b"c")
    body.feed(b"d")
    body.finish(Fields([("X", "y")]))
    await task
    assert pulled == [b"a", b"b", b"cd"]
    assert body.trailers is not None
    assert list(body.trailers) == [("X", "y")]


async def test_who_pulls_learns_of_the_break_after_what_came_before(source: Source) -> None:
    body = Body.streaming(source, 10)
    body.feed(b"abc")
    body.fail(BROKEN)
    pulling = aiter(body)
    assert await anext(pulling) == b"abc"
    with pytest.raises(Failure, match="it broke off"):
        await anext(pulling)
    assert not body.is_complete


def test_the_source_is_paused_at_the_high_water_mark(source: Source) -> None:
    body = Body.streaming(source, None)
    body.feed(b"x" * (HIGH_WATER - 1))
    assert source.said == []
    body.feed(b"x")
    assert source.said == ["pause"]


def test_what_was_collected_is_piped_first_and_then_every_chunk(source: Source) -> None:
    body = Body.streaming(source, None)
    sink = Sink()
    body.feed(b"a")
    body.feed(b"b")
    body.pipe(sink)
    body.feed(b"c")
    trailers = Fields([("X", "y")])
    body.finish(trailers)
    assert sink.got == [b"ab", b"c", ("end", trailers)]
    assert source.said == ["resume"]


def test_a_sink_that_is_full_pauses_the_source_and_its_drain_resumes_it(source: Source) -> None:
    body = Body.streaming(source, None)
    sink = Sink(room=2)
    body.feed(b"a")
    body.pipe(sink)
    body.feed(b"b")
    assert source.said == ["resume", "pause"]
    assert sink.on_drain is not None
    sink.on_drain()
    assert source.said == ["resume", "pause", "resume"]


@pytest.mark.parametrize("first", [True, False])
def test_a_break_reaches_the_sink_whether_it_was_there_before_or_came_after(first: bool, source: Source) -> None:
    body = Body.streaming(source, None)
    sink = Sink()
    body.feed(b"a")
    if first:
        body.pipe(sink)
    body.fail(BROKEN)
    if not first:
        body.pipe(sink)
    assert sink.got == [b"a", ("abort", "http_response_incomplete")]


def test_a_complete_body_is_piped_at_once() -> None:
    sink = Sink()
    Body(b"abc").pipe(sink)
    assert sink.got == [b"abc", ("end", None)]


@pytest.mark.parametrize("end", ["finish", "fail", "close"])
def test_exactly_one_end_counts(end: str, source: Source) -> None:
    body = Body.streaming(source, None)
    {"finish": body.finish, "fail": lambda: body.fail(BROKEN), "close": body.close}[end]()
    failure = body.failure
    sink = Sink()
    body.feed(b"late")
    body.finish()
    body.fail(BROKEN)
    body.close()
    assert body.ended
    assert body.failure is failure
    assert source.said == (["cancel"] if end == "close" else [])
    body.pipe(sink)
    assert b"late" not in sink.got
    assert len(sink.got) == 1


async def test_closing_wakes_who_waits(source: Source) -> None:
    body = Body.streaming(source, None)
    task = asyncio.create_task(body.read(10))
    await asyncio.sleep(0)
    body.close()
    with pytest.raises(Failure, match="closed before its end"):
        await task


def test_what_was_taken_can_be_put_back(source: Source) -> None:
    body = Body.streaming(source, None)
    body.feed(b"b")
    body.put_back(b"a")
    body.put_back(b"")
    assert body.take() == b"ab"
    assert body.take() == b""


@pytest.mark.parametrize("how", ["pull", "pipe"])
async def test_a_mapped_body_is_changed_as_it_flows(how: str, source: Source) -> None:
    inner = Body.streaming(source, 6)
    body = inner.map(lambda chunk: b"<end>" if chunk is None else chunk.upper() if chunk != b"gone" else b"")
    assert body.length is None
    inner.feed(b"ab")
    sink = Sink()
    if how == "pipe":
        body.pipe(sink)
    else:
        task = asyncio.create_task(body.read(100))
        await asyncio.sleep(0)
    inner.feed(b"gone")
    inner.feed(b"cd")
    inner.finish(Fields([("X", "y")]))
    if how == "pipe":
        assert [chunk for chunk in sink.got if isinstance(chunk, bytes)] == [b"AB", b"CD", b"<end>"]
    else:
        assert await task == b"ABCD<end>"
    assert body.trailers is not None


async def test_closing_a_mapped_body_closes_the_one_inside(source: Source) -> None:
    inner = Body.streaming(source, None)
    body = inner.map(lambda chunk: chunk or b"")
    body.close()
    assert inner.ended
    assert "cancel" in source.said


async def test_a_break_goes_through_a_mapped_body(source: Source) -> None:
    inner = Body.streaming(source, None)
    body = inner.map(lambda chunk: chunk or b"")
    task = asyncio.create_task(body.read(100))
    await asyncio.sleep(0)
    inner.feed(b"abc")
    inner.fail(BROKEN)
    with pytest.raises(Failure, match="it broke off"):
        await task


async def test_a_transform_that_raises_breaks_the_body_off_and_nothing_else(source: Source) -> None:
    def broken(chunk: bytes | None) -> bytes:
        raise ZeroDivisionError

    inner = Body.streaming(source, None)
    body = inner.map(broken)
    task = asyncio.create_task(body.read(100))
    await asyncio.sleep(0)
    inner.feed(b"abc")  # the feeding side sees nothing of it
    with pytest.raises(Failure):
        await task
    assert inner.ended
    assert "cancel" in source.said


async def test_no_content_is_not_passed_on_since_it_would_end_a_chunked_body(source: Source) -> None:
    body, sink = Body.streaming(source, None), Sink()
    body.pipe(sink)
    body.feed(b"")
    body.feed(b"a")
    assert sink.got == [b"a"]


async def test_a_sink_learns_that_what_flows_into_it_was_given_up(source: Source) -> None:
    body, sink = Body.streaming(source, 3), Sink()
    body.pipe(sink)
    body.feed(b"a")
    body.close()
    body.close()
    assert sink.got == [b"a", ("abort", "http_request_error")]
    assert source.said[-1] == "cancel"

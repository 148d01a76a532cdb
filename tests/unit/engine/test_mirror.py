"""Copies of requests: of which there are some, what is in them, and that nobody waits for them."""

import asyncio

import pytest
from tests.support.origins_in_memory import Paused, exchange, request, settle

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.engine import mirror
from interpose.engine.mirror import MARK, Copies, Mirror


class Ends:
    """The main end, which reads the content, and the one for copies, which waits until `go_on`."""

    def __init__(self) -> None:
        self.copies: list[tuple[str, bytes, str | None]] = []
        self.go_on = asyncio.Event()
        self.failure: Failure | None = None
        self.copied = Copies()

    async def main(self, exchange: Exchange, request: Request) -> Response:
        assert request.fields.get(MARK) is None
        return Response(200, body=Body(await request.body.read(1 << 20)))

    async def other(self, exchange: Exchange, request: Request) -> Response:
        content = await request.body.read(1 << 20)
        self.copies.append((request.method, content, request.fields.get(MARK)))
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return Response(500, body=Body(b"whatever"))

    def mirror(self, *, share: float = 1.0, lot: float = 0.0) -> Mirror:
        return Mirror(self.main, self.other, self.copied, share=share, max_body_bytes=5, random=lambda: lot)


async def test_a_copy_is_made_and_nobody_waits_for_its_answer() -> None:
    ends = Ends()
    response = await ends.mirror()(exchange(), request("POST", Body(b"12345")))
    assert (response.status, await response.body.read(9)) == (200, b"12345")
    await settle(lambda: ends.copies)
    assert ends.copies == [("POST", b"12345", "1")]
    ends.go_on.set()


async def test_content_that_streams_is_copied_when_it_has_passed() -> None:
    ends = Ends()
    about, body = exchange(), Body.streaming(Paused(), None)
    answering = asyncio.ensure_future(ends.mirror()(about, request("POST", body)))
    body.feed(b"123")
    await asyncio.sleep(0)
    assert ends.copies == []
    body.finish()
    assert (await (await answering).body.read(9)) == b"123"
    about.finish(Outcome(200, 3, None, 0.0))
    await settle(lambda: ends.copies)
    assert ends.copies == [("POST", b"123", "1")]
    ends.go_on.set()


@pytest.mark.parametrize("streams", [False, True])
async def test_what_is_too_long_is_not_copied(streams: bool) -> None:
    ends = Ends()
    about, body = exchange(), Body.streaming(Paused(), None) if streams else Body(b"123456")
    answering = asyncio.ensure_future(ends.mirror()(about, request("POST", body)))
    if streams:
        body.feed(b"123456")
        body.finish()
    assert (await (await answering).body.read(9)) == b"123456"
    about.finish(Outcome(200, 6, None, 0.0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert ends.copies == []


async def test_the_lot_decides_which() -> None:
    ends = Ends()
    await ends.mirror(share=0.5, lot=0.5)(exchange(), request())
    await ends.mirror(share=0.5, lot=0.49)(exchange(), request())
    await settle(lambda: ends.copies)
    assert len(ends.copies) == 1
    ends.go_on.set()


async def test_copies_that_nobody_answers_are_bounded_and_their_failures_are_nobodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "MOST_RUNNING", 2)
    ends = Ends()
    ends.failure = Failure("connection_refused", Side.UPSTREAM, "nobody")
    copying = ends.mirror()
    for _ in range(5):
        assert (await copying(exchange(), request())).status == 200
    await settle(lambda: ends.copies)
    assert len(ends.copies) == 2
    ends.go_on.set()
    await settle(lambda: not ends.copied._running)
    assert (await copying(exchange(), request())).status == 200
    await settle(lambda: len(ends.copies) == 3)


async def test_a17_content_that_broke_off_is_not_copied_as_if_it_were_whole() -> None:
    ends = Ends()
    about, body = exchange(), Body.streaming(Paused(), 5)
    answering = asyncio.ensure_future(ends.mirror()(about, request("POST", body)))
    body.feed(b"123")
    await asyncio.sleep(0)
    body.fail(Failure("http_request_error", Side.DOWNSTREAM, "The client left."))
    with pytest.raises(Failure):
        await answering
    about.finish(Outcome(0, 0, None, 0.0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert ends.copies == []
    assert ends.copied.has_room
    assert ends.copied._writing == 0


async def test_what_is_being_written_down_counts_and_all_routes_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MOST_RUNNING", 2)
    ends = Ends()
    bodies = [Body.streaming(Paused(), None) for _ in range(3)]
    abouts = [exchange() for _ in bodies]
    answering = [
        asyncio.ensure_future(ends.mirror()(about, request("POST", body)))
        for about, body in zip(abouts, bodies, strict=True)
    ]
    await asyncio.sleep(0)
    assert not ends.copied.has_room
    for about, body, answer in zip(abouts, bodies, answering, strict=True):
        body.feed(b"1")
        body.finish()
        assert (await answer).status == 200
        about.finish(Outcome(200, 1, None, 0.0))
    await settle(lambda: len(ends.copies) == 2)
    ends.go_on.set()
    await settle(lambda: ends.copied.has_room)
    assert len(ends.copies) == 2


async def test_an_answer_to_a_copy_that_never_ends_is_listened_to_for_so_long_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "LONGEST_S", 0.01)
    ends, source = Ends(), Cancelled()

    async def endless(exchange: Exchange, request: Request) -> Response:
        return Response(200, body=Body.streaming(source, None))

    await Mirror(ends.main, endless, ends.copied, share=1.0, max_body_bytes=5, random=lambda: 0.0)(
        exchange(), request()
    )
    await asyncio.wait_for(source.cancelled.wait(), 5)
    await settle(lambda: not ends.copied._running)


async def test_copies_end_with_their_worker() -> None:
    ends = Ends()
    await ends.mirror()(exchange(), request())
    await settle(lambda: ends.copies)
    await asyncio.wait_for(ends.copied.close(), 5)
    assert not ends.copied._running


class Cancelled(Paused):
    """A source that remembers that nobody wants more of it."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    def cancel(self) -> None:
        self.cancelled.set()

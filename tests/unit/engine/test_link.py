import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from interpose.engine import link as link_module
from interpose.engine.link import Link
from interpose.engine.messages import Counters, Drain, Ready, Record

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Scene = Callable[[], Awaitable[None]]


class End:
    """One end of a link, with what it heard."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.news = asyncio.Event()
        self.ended = asyncio.Event()

    def hear(self, message: Any) -> None:
        self.heard.append(message)
        self.news.set()

    async def open(self, sock: socket.socket) -> Link:
        self.link = await Link.over(sock, self.hear, self.ended.set)
        return self.link

    async def heard_as_many_as(self, count: int) -> None:
        while len(self.heard) < count:
            self.news.clear()
            await self.news.wait()


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        async def guarded() -> None:
            async with asyncio.timeout(20):
                await scene()

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(guarded())

    return run


def test_messages_arrive_in_order_both_ways(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        here, there = End(), End()
        a, b = socket.socketpair()
        await here.open(a)
        await there.open(b)
        for seconds in range(100):
            here.link.send(Drain(seconds))
        there.link.send(Ready())
        await there.heard_as_many_as(100)
        await here.heard_as_many_as(1)
        assert there.heard == [Drain(seconds) for seconds in range(100)]
        assert here.heard == [Ready()]
        await here.link.close()
        await there.ended.wait()
        assert here.ended.is_set()

    on_loop(scene)


def test_the_other_side_hears_what_was_said_before_the_end(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        here, there = End(), End()
        a, b = socket.socketpair()
        await here.open(a)
        here.link.send(Record(b"last words"))
        await here.link.close()
        await there.open(b)
        await there.ended.wait()
        assert there.heard == [Record(b"last words")]
        there.link.send(Ready())  # nobody hears it, and nothing breaks
        assert not there.link.offer(Ready())

    on_loop(scene)


def test_offers_are_dropped_and_counted_when_nobody_reads_but_orders_never_are(
    on_loop: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_WAITING_BYTES", 1000)

    async def scene() -> None:
        here, there = End(), End()
        a, b = socket.socketpair()
        await here.open(a)
        taken = 0
        while here.link.dropped < 10:
            taken += here.link.offer(Record(bytes(500)))
        for seconds in range(50):
            here.link.send(Drain(seconds))
        await there.open(b)
        await there.heard_as_many_as(taken + 50)
        assert there.heard[taken:] == [Drain(seconds) for seconds in range(50)]
        assert here.link.dropped == 10
        assert here.link.offer(Counters({}))
        await here.link.close()
        await there.ended.wait()

    on_loop(scene)


def test_a_side_that_speaks_nonsense_is_cut_off(
    on_loop: Callable[[Scene], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        here = End()
        a, b = socket.socketpair()
        await here.open(a)
        b.sendall(b"GET / HTTP/1.1\r\n\r\n")
        await here.ended.wait()
        assert here.heard == []
        b.close()

    on_loop(scene)
    assert "the link between supervisor and worker broke" in caplog.text

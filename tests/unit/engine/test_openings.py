"""One port for several protocols: what the first byte of a connection decides."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.memory_stream import MemoryStream

from interpose.core.stream import Stream
from interpose.engine.openings import Openings


class Handlers:
    """Notes who was given a stream, with what was still in it."""

    def __init__(self, *, with_tls: bool, timeout_s: float = 10.0) -> None:
        self.given: list[tuple[str, Stream]] = []
        tls = self.named("tls") if with_tls else None
        self.openings = Openings(self.named("http"), self.named("socks"), timeout_s=timeout_s, tls=tls)

    def named(self, name: str) -> object:
        return lambda stream: self.given.append((name, stream))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("with_tls", [True, False])
@pytest.mark.parametrize("first", range(256))
async def test_one_byte_decides_and_stays_in_the_stream(first: int, with_tls: bool) -> None:
    handlers = Handlers(with_tls=with_tls)
    stream = MemoryStream()
    handlers.openings(stream)
    await turns()
    assert handlers.given == []
    stream.receive(bytes((first,)))
    await turns()
    [(name, given)] = handlers.given
    assert name == ("socks" if first in (4, 5) else "tls" if first == 22 and with_tls else "http")
    assert given is stream
    assert await stream.peek(1) == bytes((first,))


async def test_who_leaves_without_a_byte_is_nobodys() -> None:
    handlers = Handlers(with_tls=True)
    stream = MemoryStream()
    handlers.openings(stream)
    stream.receive_end()
    await turns()
    assert handlers.given == []
    assert stream._task is not None
    assert stream._task.done()  # which closes the stream


async def test_who_says_nothing_is_waited_for_no_longer_than_for_a_head() -> None:
    handlers = Handlers(with_tls=True, timeout_s=0.01)
    stream = MemoryStream()
    handlers.openings(stream)
    assert stream._task is not None
    async with asyncio.timeout(5):
        await stream._task
    assert handlers.given == []

"""Asking by datagram: answers, silence, refusals, and asking again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from interpose.core.failure import Failure, Side
from interpose.engine.ask_datagrams import Asking, Insistence

UNREACHABLE = Failure("connection_refused", Side.UPSTREAM, "nobody there (ICMP port unreachable).")


class Wire:
    """One side of a flow; `reply(number of the datagram)` says what follows a datagram at once."""

    def __init__(self, reply: Callable[[int], bytes | Failure | None]) -> None:
        self.sent: list[bytes] = []
        self._reply = reply
        self._coming: asyncio.Queue[bytes | Failure] = asyncio.Queue()
        self.fails_next = False

    def send(self, data: bytes) -> None:
        if self.fails_next:
            self.fails_next = False
            raise UNREACHABLE
        self.sent.append(data)
        if (reply := self._reply(len(self.sent))) is not None:
            self._coming.put_nowait(reply)

    async def receive(self, timeout_s: float | None) -> bytes | None:
        coming = await self._coming.get()
        if isinstance(coming, Failure):
            raise coming
        return coming


class Scene:
    def __init__(self, reply: Callable[[int], bytes | Failure | None], retry: int = 0) -> None:
        self.wire = Wire(reply)
        self.heard: list[bytes] = []
        self.told: list[str] = []

        async def heard(answer: bytes) -> None:
            self.heard.append(answer)

        self.asking = Asking(self.wire, Insistence(timeout_s=0.03, retry=retry), heard, self.told.append)

    async def __aenter__(self) -> Scene:
        self._listening = asyncio.ensure_future(self.asking.listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


async def test_an_answer() -> None:
    async with Scene(lambda n: b"answer", retry=3) as scene:
        assert await scene.asking.ask(b"?")
        await scene.asking.silence()
    assert (scene.wire.sent, scene.heard, scene.told) == ([b"?"], [b"answer"], [])


async def test_an_empty_answer_is_an_answer() -> None:
    async with Scene(lambda n: b"") as scene:
        assert await scene.asking.ask(b"")
    assert scene.heard == [b""]


async def test_silence_is_asked_again_as_often_as_told() -> None:
    async with Scene(lambda n: None, retry=2) as scene:
        assert not await scene.asking.ask(b"?")
    assert scene.wire.sent == [b"?"] * 3
    assert scene.told == [f"No answer for 0.03 s; sending it again ({n} of 2)." for n in (1, 2)]


async def test_an_answer_to_the_last_try() -> None:
    async with Scene(lambda n: b"late" if n == 3 else None, retry=2) as scene:
        assert await scene.asking.ask(b"?")
    assert scene.heard == [b"late"]


async def test_a_refusal_is_raised_when_no_try_is_left() -> None:
    async with Scene(lambda n: UNREACHABLE, retry=1) as scene:
        with pytest.raises(Failure, match="ICMP"):
            await scene.asking.ask(b"?")
    assert scene.told == ["nobody there (ICMP port unreachable); sending it again (1 of 1)."]


async def test_a_refusal_and_then_an_answer() -> None:
    async with Scene(lambda n: UNREACHABLE if n == 1 else b"here", retry=1) as scene:
        assert await scene.asking.ask(b"?")
    assert scene.heard == [b"here"]


async def test_what_the_kernel_says_of_an_earlier_datagram_does_not_cost_this_one() -> None:
    async with Scene(lambda n: b"answer") as scene:
        scene.wire.fails_next = True
        assert await scene.asking.ask(b"?")
    assert scene.wire.sent == [b"?"]


async def test_a_person_is_told_of_each_line_without_an_answer() -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.1)
        yield b"two"
        await asyncio.sleep(0.1)
        yield b"three"

    async with Scene(lambda n: b"!" if n == 2 else None) as scene:
        async with asyncio.timeout(5):
            await scene.asking.converse(lines())
    assert scene.wire.sent == [b"one", b"two", b"three"]
    assert scene.told == ["No answer for 0.03 s."] * 2
    assert scene.heard == [b"!"]

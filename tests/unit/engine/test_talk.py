"""Conversations over a stream in memory: what ends them, who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.support.memory_stream import CLIENT, RESET, SERVER, MemoryStream

from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.stream import TlsInfo
from interpose.engine.talk import Patience, Talk

TLS = TlsInfo("TLSv1.3", "any")


class Heard:
    """A sink that is full when it is told to be."""

    def __init__(self) -> None:
        self.content = b""
        self.is_full = False
        self.on_drain: Callable[[], None] | None = None

    def write(self, chunk: bytes) -> bool:
        self.content += chunk
        return not self.is_full

    def end(self, trailers: Fields | None) -> None: ...

    def abort(self, failure: Failure) -> None: ...


class Said:
    """What is said here, piece by piece; None is the end."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        for piece in pieces:
            self.say(piece)

    def say(self, piece: bytes | None) -> None:
        self._pieces.put_nowait(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def talking(
    stream: MemoryStream, said: Said, patience: Patience | None = None
) -> tuple[Talk, Heard, asyncio.Task[None]]:
    heard = Heard()
    talk = Talk(stream, heard, patience or Patience())
    return talk, heard, asyncio.ensure_future(talk.run(said.__aiter__()))


async def test_input_is_sent_its_end_is_passed_on_and_the_other_end_is_awaited() -> None:
    stream = MemoryStream(SERVER, CLIENT)
    talk, heard, running = talking(stream, Said(b"a", b"b", None))
    await until(lambda: stream.has_ended)
    assert stream.sent == b"ab"
    stream.receive(b"answer")
    assert not stream.is_closed
    stream.receive_end()
    await until(lambda: stream.is_closed)
    async with asyncio.timeout(5):
        await running
    assert (heard.content, talk.sent_bytes, talk.received_bytes, talk.gave_up) == (b"answer", 2, 6, "")


async def test_the_other_end_first() -> None:
    stream, said = MemoryStream(SERVER, CLIENT), Said()
    _, _, running = talking(stream, said)
    await asyncio.sleep(0)
    stream.receive_end()
    said.say(b"more")
    await until(lambda: stream.sent == b"more")
    assert not stream.is_closed
    said.say(None)
    async with asyncio.timeout(5):
        await running
    assert stream.is_closed


async def test_a_person_need_not_end_what_has_ended() -> None:
    stream = MemoryStream(SERVER, CLIENT)
    _, _, running = talking(stream, Said(), Patience(hang_up=True))
    await asyncio.sleep(0)
    stream.receive_end()
    async with asyncio.timeout(5):
        await running


async def test_input_that_does_not_go_on_is_given_up() -> None:
    stream = MemoryStream(SERVER, CLIENT)
    talk, _, running = talking(stream, Said(), Patience(input_s=0.05))
    await asyncio.sleep(0)
    stream.receive_end()
    async with asyncio.timeout(5):
        await running
    assert talk.gave_up == "the other side ended, and nothing more was said here for 0.05 s"


async def test_in_tls_the_end_is_not_said_and_silence_ends_it() -> None:
    stream = MemoryStream(SERVER, CLIENT, tls=TLS)
    talk, _, running = talking(stream, Said(b"x", None), Patience(end_s=0.05))
    async with asyncio.timeout(5):
        await running
    assert not stream.has_ended
    assert "in TLS the other side cannot be told" in talk.gave_up


async def test_silence_is_a_failure_where_it_was_bounded() -> None:
    stream = MemoryStream(SERVER, CLIENT)
    _, _, running = talking(stream, Said(None), Patience(answer_s=0.05))
    with pytest.raises(Failure) as caught:
        async with asyncio.timeout(5):
            await running
    assert caught.value.kind == "connection_read_timeout"


@pytest.mark.parametrize("tls", [None, TLS])
async def test_a_connection_that_breaks_is_a_failure(tls: TlsInfo | None) -> None:
    stream = MemoryStream(SERVER, CLIENT, tls=tls)
    _, heard, running = talking(stream, Said())
    await asyncio.sleep(0)
    stream.receive(b"half")
    stream.lose(RESET)
    with pytest.raises(Failure):
        await running
    assert heard.content == b"half"


async def test_an_end_without_a_word_is_a_failure() -> None:
    """TLS that ends without saying so may have been cut by somebody on the way."""
    stream = MemoryStream(SERVER, CLIENT, tls=TLS)
    _, _, running = talking(stream, Said())
    await asyncio.sleep(0)
    stream.lose(None)
    with pytest.raises(Failure, match="something may be missing"):
        await running


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_reset_after_both_ends_matters_when_something_was_not_taken(is_taken: bool) -> None:
    stream = MemoryStream(SERVER, CLIENT, window=10)
    _, _, running = talking(stream, Said(b"x" * 9, b"x" * 9, None))
    await until(lambda: stream.sent == b"x" * 18)
    if is_taken:
        stream.take()
        await until(lambda: stream.has_ended)
        stream.receive_end()
    else:
        stream.receive_end()
        stream.lose(RESET)
    if is_taken:
        stream.lose(RESET)
        async with asyncio.timeout(5):
            await running
    else:
        with pytest.raises(Failure):
            async with asyncio.timeout(5):
                await running


async def test_what_is_still_to_be_taken_is_not_given_up_for_silence() -> None:
    stream = MemoryStream(SERVER, CLIENT, window=10)
    talk, _, running = talking(stream, Said(b"x" * 100), Patience(input_s=0.05))
    await until(lambda: len(stream.sent) == 100)
    stream.receive_end()
    await asyncio.sleep(0.3)
    assert not stream.is_closed
    stream.take()
    async with asyncio.timeout(5):
        await running
    assert talk.gave_up


async def test_who_does_not_read_stops_the_input_and_who_does_not_print_stops_the_stream() -> None:
    stream, said = MemoryStream(SERVER, CLIENT, window=10), Said(b"x" * 100, b"y")
    _, heard, running = talking(stream, said)
    await until(lambda: stream.sent == b"x" * 100)
    heard.is_full = True
    stream.receive(b"answer")
    assert not stream.is_reading
    await asyncio.sleep(0.01)
    assert stream.sent == b"x" * 100
    heard.is_full = False
    assert heard.on_drain is not None
    heard.on_drain()
    assert stream.is_reading
    stream.take()
    await until(lambda: stream.sent == b"x" * 100 + b"y")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_input_that_fails_is_told() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("the disk")

    stream = MemoryStream(SERVER, CLIENT)
    talk = Talk(stream, Heard(), Patience())
    with pytest.raises(OSError, match="the disk"):
        await talk.run(broken())
    assert stream.is_closed

"""A SocketStream keeps the promises of `Stream`, in plain and in TLS, on both event loops; so does one with faults."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.event_loops import LOOPS, Scene, run_scene, settle

from interpose.core.failure import Failure
from interpose.core.fault import Chances, Fault
from interpose.core.stream import Stream
from interpose.core.target import Origin
from interpose.engine.faults import FaultyStream
from interpose.net.address import ip_address
from interpose.net.dial import Dialler, DialOptions
from interpose.net.listen import Listening, bind
from interpose.net.stream import SocketStream
from interpose.net.tls import server_context

Pair = tuple[SocketStream, SocketStream]

FAULTS = {
    "sliced": [Fault(kind="slicer", average_bytes=1000, variation_bytes=500)],
    "late": [Fault(kind="latency", latency_s=0.05, jitter_s=0.05), Fault(kind="slow_close", delay_s=0.05)],
}


class Hurry:
    """The loop's time, a thousand times as quick."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.loop.time() * 1000

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        return self.loop.call_later(delay / 1000, callback, *args)


def faulty(stream: SocketStream, kind: str) -> SocketStream:
    """The stream with faults around it, or as it is."""
    if kind not in FAULTS:
        return stream
    return FaultyStream(stream, Chances(FAULTS[kind]).draw(), Hurry())  # type: ignore[return-value]


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


@pytest.fixture(params=["http", "https", *FAULTS])
def connected(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], "contextlib.AbstractAsyncContextManager[Pair]"]:
    """Makes a pair of streams: the dialled one and the accepted one."""
    authority = CertificateAuthority(tmp_path)
    identity = authority.issue("localhost")

    async def resolve(host: str) -> list[object]:
        return [ip_address("127.0.0.1")]

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Pair]:
        accepted: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        listening = Listening([bind("127.0.0.1:0")], accepted.set_result)
        await listening.start()
        port = listening.sockets[0].getsockname()[1]
        dial = Dialler(resolve, DialOptions(ca_file=authority.file))  # type: ignore[arg-type]
        scheme = "https" if request.param == "https" else "http"
        dialling = asyncio.create_task(dial(Origin(scheme, "localhost", port)))
        server = await accepted
        assert isinstance(server, SocketStream)
        if request.param == "https":
            await server.start_tls(server_context(*identity))
        client = await dialling
        assert isinstance(client, SocketStream)
        listening.close()
        client, server = faulty(client, request.param), faulty(server, request.param)
        yield client, server
        client.abort()
        server.abort()
        await settle(lambda: client.is_lost and server.is_lost)

    return connect


class Ear:
    """A receiver that remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.said: list[str] = []
        self.failure: Failure | None = None

    def bytes_received(self, data: bytes) -> None:
        assert data
        self.data += data

    def end_received(self) -> None:
        self.said.append("end")

    def writable(self) -> None:
        self.said.append("writable")

    def connection_lost(self, failure: Failure | None) -> None:
        self.said.append("lost")
        self.failure = failure


Connected = Callable[[], "contextlib.AbstractAsyncContextManager[Pair]"]


def test_more_can_be_peeked_at_than_is_received_unasked(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            client.write(b"x" * 65536)
            assert len(await server.peek(65536)) == 65536
            client.write(b"y" * 100_000)
            async with asyncio.timeout(10):
                assert (await server.peek(150_000)).startswith(b"x" * 65536 + b"y")

    on_loop(scene)


def test_one_may_read_while_others_wait_until_they_may_write(
    on_loop: Callable[[Scene], None], connected: Connected
) -> None:
    """Conversations whose messages are asked about do: each direction has a task of its own."""

    async def scene() -> None:
        async with connected() as (client, server):
            reading = asyncio.ensure_future(client.read())
            while client.write(b"x" * 65536):
                pass
            writing = [asyncio.ensure_future(client.drain()) for _ in range(2)]
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                server.write(b"hello")
                assert await reading == b"hello"
                writing.pop().cancel()
                taking = asyncio.ensure_future(_all_of(server))
                await writing[0]
            taking.cancel()

    on_loop(scene)


async def _all_of(stream: Stream) -> None:
    while await stream.read():
        pass


def test_what_was_peeked_at_is_read_and_then_pushed(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            client.write(b"hello")
            assert (await server.peek(5)) == b"hello"
            assert await server.read(2) == b"he"
            assert await server.peek(1) == b"llo"
            ear = Ear()
            server.attach(ear)
            assert ear.data == b"llo"
            client.write(b" again")
            await settle(lambda: ear.data == b"llo again")
            assert ear.data == b"llo again"

    on_loop(scene)


def test_an_orderly_end_is_told_from_a_loss(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            ear = Ear()
            server.attach(ear)
            client.write(b"all")
            client.end()
            await settle(lambda: "end" in ear.said)
            assert (ear.data, ear.said[:1]) == (b"all", ["end"])
            server.close()
            await settle(lambda: client.is_lost and server.is_lost)
            assert ear.said == ["end", "lost"]

    on_loop(scene)


def test_f13_ending_towards_a_peer_that_has_reset_is_no_error(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(SocketStream, *listening.getsockname())
            peer, _ = listening.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            ear = Ear()
            stream.attach(ear)
            stream.end()
            await settle(lambda: stream.is_lost)
            assert ear.said == ["lost"]

    on_loop(scene)


def test_f1_a_reset_is_no_orderly_end(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            ear = Ear()
            server.attach(ear)
            client.write(b"part")
            await settle(lambda: bool(ear.data))
            client.abort()
            await settle(lambda: server.is_lost)
            assert ear.said == ["lost"]

    on_loop(scene)


def test_f1_tls_that_is_cut_below_is_no_orderly_end(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    """Without close_notify somebody on the way may have cut the end off."""

    async def scene() -> None:
        async with connected() as (client, server):
            if client.info.tls is None:
                return
            ear = Ear()
            server.attach(ear)
            client.write(b"part")
            await settle(lambda: bool(ear.data))
            assert client._transport is not None
            sock = client._transport.get_extra_info("socket")
            with socket.socket(fileno=socket.dup(sock.fileno())) as below:
                below.shutdown(socket.SHUT_WR)
            await settle(lambda: server.is_lost)
            assert ear.said == ["lost"]

    on_loop(scene)


def test_writing_to_what_is_gone_raises_nothing(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            for gone in (client, server):
                if gone is client:
                    client.abort()
                for _ in range(50):
                    gone.write(b"x")
                    gone.write(b"")
                    gone.pause()
                    gone.resume()
                    gone.end()
                    assert gone.unsent_bytes >= 0
                    await asyncio.sleep(0)
                gone.close()
                gone.abort()
                gone.write(b"x")
                await settle(lambda stream=gone: stream.is_lost)  # type: ignore[misc]
                gone.write(b"x")
                gone.close()
                gone.abort()
                assert await gone.read() == b""

    on_loop(scene)


def test_f14_a_slow_reader_stops_the_writer(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            ear = Ear()
            client.attach(ear)
            server.pause()
            written = 0
            while client.write(b"x" * 65536):
                written += 65536
                assert written < 64 << 20
                await asyncio.sleep(0)
            ears = Ear()
            server.attach(ears)
            server.resume()
            await settle(lambda: "writable" in ear.said, 20_000)
            assert ear.said == ["writable"]
            client.end()
            await settle(lambda: "end" in ears.said, 20_000)
            assert len(ears.data) == written + 65536

    on_loop(scene)


def test_a_task_ends_with_its_stream_and_a_stream_with_its_task(
    on_loop: Callable[[Scene], None], connected: Connected
) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            ended = asyncio.Event()

            async def forever() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            server.run(forever())
            await asyncio.sleep(0)
            client.abort()
            await ended.wait()
            await settle(lambda: server.is_lost)
            assert server.is_lost
        async with connected() as (client, server):

            async def short() -> None:
                server.write(b"bye")

            server.run(short())
            assert await client.read() == b"bye"
            assert await client.read() == b""

    on_loop(scene)


def test_a_task_may_give_the_stream_to_another(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):

            async def second() -> None:
                server.write(await server.read())

            async def first() -> None:
                server.run(second())

            server.run(first())
            await settle(lambda: False, 20)
            client.write(b"ping")
            assert await client.read() == b"ping"
            assert await client.read() == b""

    on_loop(scene)


def test_tls_on_a_stream_that_is_gone_is_a_failure(on_loop: Callable[[Scene], None], connected: Connected) -> None:
    async def scene() -> None:
        async with connected() as (client, server):
            server.abort()
            client.abort()
            await settle(lambda: server.is_lost and client.is_lost)
            with pytest.raises(Failure, match="gone before TLS"):
                await client.start_tls(ssl.create_default_context(), server_name="x")

    on_loop(scene)

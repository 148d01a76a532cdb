"""Messages that wait: through the real relay and the real gateway, with a desk whose decisions the test makes."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.fake_desk import FakeDesk
from tests.support.raw_client import RawClient
from tests.support.websocket import (
    BINARY,
    CLOSE,
    KEY,
    PING,
    PONG,
    TEXT,
    Frame,
    acceptance,
    client_frame,
    frames,
    handshake,
    server_frame,
)

from interpose import serve
from interpose.config.load import config_of
from interpose.core.hold import Content, Held, Settled, Verdict, What
from interpose.engine.calls import NoOffice
from interpose.engine.linked_desk import answered
from interpose.protocol.websocket import Messages
from interpose.protocol.websocket_frames import Deflate, Frames


class Office(NoOffice):
    """An office with nothing but a fake desk."""

    def __init__(self) -> None:
        self.desk = FakeDesk()

    async def answer(self, topic: str, question: bytes) -> bytes:
        return await answered(self.desk, topic, question)


async def soon(waiting: Awaitable[Any]) -> Any:
    async with asyncio.timeout(10):
        return await waiting


@asynccontextmanager
async def running(
    tmp_path: Path, listener: dict[str, Any], server: str, **hold: Any
) -> AsyncIterator[tuple[str, FakeDesk]]:
    """A listener called `main` before `server`, the address of the listener, and the desk."""
    (tmp_path / "state" / "test" / "desk" / "incoming").mkdir(parents=True)
    config = config_of(
        {
            "process": {"name": "test", "state_dir": str(tmp_path / "state")},
            "log": {"access": "off"},
            "listener": [{"name": "main", "address": "127.0.0.1:0", "upstream": "servers", **listener}],
            "upstream": [{"name": "servers", "servers": [server]}],
            "hold": [{"listeners": ["main"], **hold}],
        }
    )
    office = Office()
    async with serve(config, office=office) as instance:
        yield instance.addresses["main"], office.desk


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """A server that answers each connection, once its client has ended, with the number of octets that came."""
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            data = await reader.read()
        except ConnectionError:
            return
        came.put_nowait(data)
        writer.write(b"%d octets" % len(data))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", came


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    """A plain close would be an end of sending, after which a client may well wait for its answer."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def client_of(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_a_piece_of_a_stream_waits_and_what_comes_after_it_too(tmp_path: Path) -> None:
    async with (
        collecting() as (server, came),
        running(tmp_path, {"role": "relay"}, server, when="request.body:order") as (
            address,
            desk,
        ),
    ):
        reader, writer = await client_of(address)
        writer.write(b"an order of 3")
        held: Held = await soon(desk.one())
        assert (held.message.what, held.message.content.data, held.message.target) == (
            What.CHUNK,
            b"an order of 3",
            server,
        )
        writer.write(b", and more")
        writer.write_eof()
        desk.decide(held, Verdict.RELEASE, replace(held.message, content=Content.of(b"an order of 300")))
        assert await soon(came.get()) == b"an order of 300, and more"
        assert await soon(reader.read()) == b"25 octets"
        assert desk.told == [(held.id, Settled())]
        writer.close()


async def test_a_dropped_piece_is_left_out_and_the_rest_passes(tmp_path: Path) -> None:
    async with (
        collecting() as (server, came),
        running(tmp_path, {"role": "relay"}, server, when="request.size:3") as (
            address,
            desk,
        ),
    ):
        _, writer = await client_of(address)
        writer.write(b"bad")
        desk.decide(await soon(desk.one()), Verdict.DROP)
        await asyncio.sleep(0)
        writer.write(b"good")
        writer.write_eof()
        assert await soon(came.get()) == b"good"
        writer.close()


async def test_the_answer_is_held_by_a_rule_for_that_side(tmp_path: Path) -> None:
    async with (
        collecting() as (server, _),
        running(tmp_path, {"role": "relay"}, server, when="*", side="outbound") as (address, desk),
    ):
        reader, writer = await client_of(address)
        writer.write(b"12345")
        writer.write_eof()
        held = await soon(desk.one())
        assert held.message.content.data == b"5 octets"
        desk.decide(held, Verdict.RELEASE, replace(held.message, content=Content.of(b"five")))
        assert await soon(reader.read()) == b"five"
        writer.close()


async def test_a_client_that_leaves_meanwhile_withdraws_it(tmp_path: Path) -> None:
    async with (
        collecting() as (server, _),
        running(tmp_path, {"role": "relay"}, server, when="*") as (address, desk),
    ):
        _, writer = await client_of(address)
        writer.write(b"wait for me")
        held = await soon(desk.one())
        reset_on_close(writer)
        writer.transport.abort()
        assert await soon(desk.leaving.get()) == held.id


class Datagrams(asyncio.DatagramProtocol):
    """Datagrams that came, and a way to send some."""

    def __init__(self, answers: bool = False) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self._answers = answers

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.came.put_nowait(data)
        if self._answers:
            self.transport.sendto(data.upper(), address)


@pytest.mark.parametrize("side", ["inbound", "outbound"])
async def test_a_datagram_waits_and_others_pass_it(tmp_path: Path, side: str) -> None:
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: Datagrams(answers=True), ("127.0.0.1", 0))
    host, port = server.transport.get_extra_info("sockname")
    listener = {"role": "relay", "udp": True}
    message = "request" if side == "inbound" else "response"
    async with running(tmp_path, listener, f"{host}:{port}", when=f"{message}.size:>4", side=side) as (address, desk):
        there = (host, int(address.rpartition(":")[2]))
        _, client = await loop.create_datagram_endpoint(Datagrams, remote_addr=there)
        client.transport.sendto(b"longer")
        held = await soon(desk.one())
        assert (held.message.what, held.message.content.data) == (
            What.DATAGRAM,
            b"longer" if side == "inbound" else b"LONGER",
        )
        client.transport.sendto(b"tiny")
        assert await soon(client.came.get()) == b"TINY"
        desk.decide(held, Verdict.RELEASE, replace(held.message, content=Content.of(b"Edited")))
        assert await soon(client.came.get()) == (b"EDITED" if side == "inbound" else b"Edited")
        client.transport.close()
    server.transport.close()


async def test_an_edited_request_has_the_right_length_and_its_connection_lives_on(tmp_path: Path) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length: "):
                        length = int(line.removeprefix(b"content-length: "))
                seen.put_nowait(head + await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    origin = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = origin.sockets[0].getsockname()
    async with origin, running(tmp_path, {"role": "gateway"}, f"{host}:{port}", when="method:POST") as (address, desk):
        reader, writer = await client_of(address)
        writer.write(b"POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\namount=10")
        held = await soon(desk.one())
        edited = replace(held.message, content=Content.of(b"amount=1"))
        desk.decide(held, Verdict.RELEASE, edited, version=2)
        assert (await soon(reader.readuntil(b"ok"))).startswith(b"HTTP/1.1 200 OK\r\n")
        came = await soon(seen.get())
        assert came.startswith(b"POST /pay HTTP/1.1\r\n")
        assert b"\r\nContent-Length: 8\r\n" in came
        assert came.endswith(b"\r\n\r\namount=1")
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert await soon(reader.readuntil(b"ok"))
        writer.write(b"POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\n\r\nx")
        desk.decide(await soon(desk.one(1)), Verdict.DROP)
        assert (await soon(reader.readuntil(b"\r\n"))) == b"HTTP/1.1 403 Forbidden\r\n"
        writer.close()


SOCKET = {"role": "gateway"}


@asynccontextmanager
async def web_socket(
    tmp_path: Path, extension: str = "", **hold: Any
) -> AsyncIterator[tuple[RawClient, FakeDesk, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket through a gateway that is open at both ends: the client, the desk, and the server's side."""
    served: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        more = f"Sec-WebSocket-Extensions: {extension}\r\n".encode() if extension else b""
        writer.write(acceptance(KEY).removesuffix(b"\r\n") + more + b"\r\n")
        served.put_nowait((reader, writer))

    origin = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = origin.sockets[0].getsockname()
    hold = {"messages": True, **hold}
    async with (
        origin,
        running(tmp_path, SOCKET, f"{host}:{port}", **hold) as (address, desk),
        RawClient(address) as client,
    ):
        client.send(handshake("/chat", "shop"))
        await client.until(b"\r\n\r\n")
        reader, writer = await soon(served.get())
        yield client, desk, reader, writer
        writer.close()


async def frame_from(reader: asyncio.StreamReader) -> Frame:
    """The next frame that a side gets."""
    received = b""
    while not (found := frames(received)[0]):
        received += await soon(reader.read(1))
    return found[0]


async def test_a_message_of_a_web_socket_waits_is_edited_and_pings_pass_it(tmp_path: Path) -> None:
    async with web_socket(tmp_path, when="host:shop path:/chat request.body:order") as (client, desk, reader, writer):
        client.send(client_frame(TEXT, b"an order of 3"))
        held = await soon(desk.one())
        assert (held.message.what, held.message.target) == (What.WEBSOCKET, "http://shop/chat")
        assert held.message.content.data == b"an order of 3"
        client.send(client_frame(TEXT, b"and more") + client_frame(PING, b"there?"))
        assert await frame_from(reader) == Frame(PING, b"there?", True)
        writer.write(server_frame(PONG, b"there?") + server_frame(TEXT, b"news"))
        await client.until(b"news")
        desk.decide(held, Verdict.RELEASE, replace(held.message, content=Content.of(b"an order of 30")))
        assert await frame_from(reader) == Frame(TEXT, b"an order of 30", True)
        assert await frame_from(reader) == Frame(TEXT, b"and more", True)
        client.send(client_frame(CLOSE, b"\x03\xe8"))
        assert await frame_from(reader) == Frame(CLOSE, b"\x03\xe8", True)


async def test_a_compressed_message_is_read_and_compressed_anew(tmp_path: Path) -> None:
    text = b"hello " * 100
    async with web_socket(tmp_path, "permessage-deflate", when="response.body:hello", side="outbound") as (
        client,
        desk,
        _,
        writer,
    ):
        writer.write(Frames(masks=False, deflate=Deflate()).write("text", text, compressed=True))
        held = await soon(desk.one())
        assert held.message.content.data == text
        client.received = b""
        desk.decide(held, Verdict.RELEASE, replace(held.message, content=Content.of(text + b"!")))
        await client.until(b"\xc1")
        [message] = Messages(10_000).feed(bytes(client.received))
        assert (message.data, message.is_compressed) == (text + b"!", True)
        assert len(client.received) < 50


async def test_a_dropped_message_is_left_out(tmp_path: Path) -> None:
    async with web_socket(tmp_path, when="request.body:bad") as (client, desk, reader, _):
        client.send(client_frame(TEXT, b"bad"))
        desk.decide(await soon(desk.one()), Verdict.DROP)
        client.send(client_frame(BINARY, b"good"))
        assert await frame_from(reader) == Frame(BINARY, b"good", True)


async def test_what_is_no_web_socket_ends_it_and_both_sides_are_told(tmp_path: Path) -> None:
    async with web_socket(tmp_path, when="*") as (client, _, reader, _):
        client.send(b"\x93\x00")
        assert (await frame_from(reader)).payload[:2] == (1002).to_bytes(2, "big")
        await client.until(b"\x88")

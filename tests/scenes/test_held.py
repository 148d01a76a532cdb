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

from interpose import serve
from interpose.config.load import config_of
from interpose.core.hold import Content, Held, Settled, Verdict, What
from interpose.engine.calls import NoOffice
from interpose.engine.linked_desk import answered


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

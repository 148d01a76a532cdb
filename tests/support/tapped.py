"""A wire with a tap: what passes between a client and a server, whole, as packets of a capture that no journal made.

async with Tapped(origin.address) as wire:      # or in_background(lambda: Tapped(...))
    ...connect to wire.address...
    wire.write(file)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from interpose.storage.exports import pcapng
from interpose.storage.exports.packets import Way
from interpose.storage.exports.tcp_stream import TcpStream


class Passed(NamedTuple):
    """Octets that passed, or (none) an end."""

    at_us: int
    inbound: bool
    data: bytes


class Connection:
    """What passed on one connection, from and to `client`."""

    def __init__(self, client: tuple[str, int], server: tuple[str, int]) -> None:
        self.client, self.server = client, server
        self.passed: list[Passed] = []

    def packets(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Each packet with its time."""
        ends = [(ip_address(host).packed, port) for host, port in (self.client, self.server)]
        stream = TcpStream(Way(*ends[0], *ends[1]), Way(*ends[1], *ends[0]), number)
        for at_us, inbound, data in self.passed:
            for packet in stream.say(inbound, data) if data else stream.fin(inbound):
                yield at_us, packet


class Tapped:
    """See the module."""

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self.connections: list[Connection] = []

    async def __aenter__(self) -> Tapped:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._listening.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listening.close()
        await self._listening.wait_closed()

    def packets(self) -> list[tuple[int, bytes]]:
        """All that passed, in order of time."""
        each = [packet for number, one in enumerate(self.connections) for packet in one.packets(number)]
        return sorted(each, key=lambda timed: timed[0])

    def write(self, file: Path) -> None:
        """A capture of all that passed."""
        head = pcapng.section("", "") + pcapng.interface("tap", "")
        file.write_bytes(head + b"".join(pcapng.packet(0, at_us, data) for at_us, data in self.packets()))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        made = Connection(writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        self.connections.append(made)
        try:
            await asyncio.gather(
                _copy(reader, server_writer, made.passed, inbound=True),
                _copy(server_reader, writer, made.passed, inbound=False),
            )
        finally:
            server_writer.close()
            writer.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: list[Passed], *, inbound: bool
) -> None:
    data = b"-"
    while data:
        try:
            data = await reader.read(65536)
        except ConnectionError:
            data = b""
        passed.append(Passed(time.time_ns() // 1000, inbound, data))
        with contextlib.suppress(OSError):  # the other side has gone
            if data:
                writer.write(data)
            else:
                writer.write_eof()

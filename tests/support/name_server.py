"""A name server for tests, on loopback: UDP and TCP on one port, answering what the test says."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

A, AAAA, SRV = 1, 28, 33
SERVFAIL, NXDOMAIN = 2, 3


class Reply(NamedTuple):
    """What is answered to one question."""

    addresses: tuple[str, ...] = ()
    ttl: int = 60
    services: tuple[tuple[int, int, int, str], ...] = ()
    """(SRV) Priority, weight, port and host of each."""
    status: int = 0
    truncated: bool = False
    """(UDP) Say that the answer did not fit."""
    wrong_id: bool = False
    silent: bool = False


Answer = Callable[[str, int], Reply]
"""The reply to a question for a name and a type (A, AAAA or SRV)."""


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on one port. (The port of either may be taken for the other one; then the next is tried.
    The event loop must not be the one to find out: uvloop's hangs when it is closed after that.)"""
    error: OSError | None = None
    for _ in range(100):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
        except OSError as failed:
            udp.close()
            tcp.close()
            error = failed
        else:
            return tcp, udp
    raise AssertionError("no port is free for both UDP and TCP") from error


class NameServer:
    """Answers questions with `answer`; `questions` are (name, type) in the order they came."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.questions: list[tuple[str, int]] = []
        self.tcp_questions = 0
        self.address = ""

    async def __aenter__(self) -> NameServer:
        loop = asyncio.get_running_loop()
        tcp, udp = _sockets()
        self._tcp = await asyncio.start_server(self._serve_tcp, sock=tcp)
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        self.address = f"127.0.0.1:{udp.getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def asked(self, name: str) -> int:
        """How often the addresses of `name` were asked for."""
        return sum(1 for asked, kind in self.questions if asked == name and kind == A)

    def reply(self, query: bytes, *, udp: bool) -> bytes | None:
        """The packet that answers `query`; None to stay silent."""
        labels = []
        place = 12
        while query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii").lower())
            place += 1 + query[place]
        name = ".".join(labels)
        kind = struct.unpack("!H", query[place + 1 : place + 3])[0]
        question = query[12 : place + 5]
        self.questions.append((name, kind))
        reply = self.answer(name, kind)
        if reply.silent:
            return None
        packed = [ipaddress.ip_address(address).packed for address in reply.addresses]
        packed = [address for address in packed if len(address) == (4 if kind == A else 16)]
        if kind == SRV:
            packed = [struct.pack("!HHH", *one[:3]) + _packed_name(one[3]) for one in reply.services]
        cut = reply.truncated and udp
        flags = 0x8180 | reply.status | (0x0200 if cut else 0)
        answers = [] if cut else [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, reply.ttl, len(a)) + a for a in packed]
        number = struct.unpack("!H", query[:2])[0] ^ (0x5555 if reply.wrong_id else 0)
        return struct.pack("!HHHHHH", number, flags, 1, len(answers), 0, 0) + question + b"".join(answers)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                self.tcp_questions += 1
                packet = self.reply(await reader.readexactly(size), udp=False)
                if packet is not None:
                    writer.write(struct.pack("!H", len(packet)) + packet)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _packed_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = self._server.reply(data, udp=True)
        if packet is not None:
            self._transport.sendto(packet, addr)

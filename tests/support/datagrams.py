"""Datagrams in memory, and small servers and clients of them on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from interpose.core.stream import Address

DEADLINE_S = 10.0


class MemoryWay:
    """The way back of a datagram, which keeps what is sent. Senders are (host, port)."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.takes = True

    def send(self, data: Any, to: Any) -> bool:
        if self.takes:
            self.sent.append((bytes(data), to))
        return self.takes

    def address_of(self, sender: Any) -> Address:
        return Address(*sender)


class Target:
    """A server on loopback that keeps what it gets, and answers with what `answer` makes of it (None: nothing).

    (asyncio's own transports send no empty datagrams.)
    """

    def __init__(self, answer: Callable[[bytes], bytes | None], address: tuple[str, int]) -> None:
        self.answer = answer
        self.got: list[tuple[bytes, Any]] = []
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(address)
        asyncio.get_running_loop().add_reader(self.sock, self._read)

    @property
    def address(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def clients(self) -> list[Any]:
        """Who has sent something, each once, in order."""
        return list(dict.fromkeys(sender for _, sender in self.got))

    def send(self, data: bytes, to: Any) -> None:
        self.sock.sendto(data, to)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing more, or ICMP of a client that is gone
            while True:
                data, sender = self.sock.recvfrom(65536)
                self.got.append((data, sender))
                answer = self.answer(data)
                if answer is not None:
                    self.send(answer, sender)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()


@contextlib.asynccontextmanager
async def target(
    answer: Callable[[bytes], bytes | None] = bytes, address: tuple[str, int] = ("127.0.0.1", 0)
) -> AsyncIterator[Target]:
    """A `Target` while inside."""
    some = Target(answer, address)
    try:
        yield some
    finally:
        some.close()


class Client:
    """A connected UDP socket: `send`, `receive` (b"" is an empty datagram), all within a deadline."""

    def __init__(self, address: str, local: tuple[str, int] | None = None) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if local is not None:
            self.sock.bind(local)
        self.sock.connect((host, int(port)))

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()[:2]
        return host, port

    def send(self, data: bytes) -> None:
        self.sock.send(data)

    async def receive(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    async def ask(self, data: bytes) -> bytes:
        self.send(data)
        return await self.receive()

    @property
    def has_more(self) -> bool:
        """Whether something came that was not received yet."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def client(address: str, local: tuple[str, int] | None = None) -> Iterator[Client]:
    """A `Client` while inside."""
    some = Client(address, local)
    try:
        yield some
    finally:
        some.close()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody is, over UDP and TCP, and that the kernel gives to nobody by itself."""
    chance = random.Random()
    while True:
        port = chance.randrange(10_000, 20_000)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as streams,
            contextlib.suppress(OSError),
        ):
            datagrams.bind(("127.0.0.1", port))
            streams.bind(("127.0.0.1", port))
            return port

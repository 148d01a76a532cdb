"""SOCKS as bytes, written down by hand: what a test sends, and what it reads of an answer. Nothing of the product's."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.raw_client import RawClient

CONNECT, BIND, ASSOCIATE = 1, 2, 3
HELLO = b"\x05\x01\x00"


def place(host: str, port: int, *, as_name: bool = False) -> bytes:
    """An address and a port; a text that is no address, or `as_name`, goes as a name."""
    bare = host.strip("[]")
    try:
        address = None if as_name else ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is None:
        name = bare.encode("latin-1")
        return b"\x03" + bytes((len(name),)) + name + struct.pack("!H", port)
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed + struct.pack("!H", port)


def request(host: str, port: int, command: int = CONNECT, *, as_name: bool = False) -> bytes:
    """A request of version 5."""
    return bytes((5, command, 0)) + place(host, port, as_name=as_name)


def request_4(host: str, port: int, user: bytes = b"") -> bytes:
    """A request of version 4, or of 4a when the host is no IPv4 address in its usual form (or one that means 4a)."""
    head = b"\x04\x01" + struct.pack("!H", port)
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        address = ipaddress.IPv4Address("0.0.0.7")
    if not 0 < int(address) < 256:
        return head + address.packed + user + b"\0"
    return head + b"\0\0\0\x07" + user + b"\0" + host.strip("[]").encode("latin-1") + b"\0"


def login(user: bytes, password: bytes) -> bytes:
    """User and password."""
    return b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password


def datagram(host: str, port: int, content: bytes, *, as_name: bool = False) -> bytes:
    """A datagram for the server of an association."""
    return b"\0\0\0" + place(host, port, as_name=as_name) + content


async def came(client: RawClient, size: int) -> bytes:
    """What a client has received, once there are so many bytes or there will be no more."""
    await client.wait_for(lambda: len(client.received) >= size or client.has_ended)
    return client.received


async def code_of(address: str, asked: bytes, *, source: str | None = None) -> int:
    """The code of the reply to a request of version 5, 90 or 91 of version 4; -1 when there was none."""
    async with RawClient(address, source=source) as client:
        if asked[0] == 4:
            client.send(asked)
            await came(client, 8)
            return client.received[1] if client.received else -1
        client.send(HELLO + asked)
        await came(client, 2 + 10)
        return client.received[3] if len(client.received) > 3 else -1


def bound(reply: bytes) -> tuple[str, int]:
    """The address in a reply of version 5."""
    assert reply[:3] == b"\x05\x00\x00", reply
    size = {1: 4, 4: 16}[reply[3]]
    [port] = struct.unpack("!H", reply[4 + size : 6 + size])
    return str(ipaddress.ip_address(reply[4 : 4 + size])), port


class Datagrams:
    """A UDP socket of a test: `async with Datagrams() as one`, then `send` and `receive`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind((host, port))
        self.host, self.port = self.sock.getsockname()[:2]

    async def __aenter__(self) -> Datagrams:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, content: bytes, to: tuple[str, int]) -> None:
        """One datagram."""
        self.sock.sendto(content, to)

    async def receive(self, deadline_s: float = 5.0) -> tuple[bytes, tuple[str, int]]:
        """The next datagram and who sent it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    content, sender = self.sock.recvfrom(70_000)
                except BlockingIOError:
                    ready = loop.create_future()
                    loop.add_reader(self.sock.fileno(), lambda ready=ready: ready.done() or ready.set_result(None))
                    try:
                        await ready
                    finally:
                        loop.remove_reader(self.sock.fileno())
                else:
                    return content, sender[:2]

    def is_empty(self) -> bool:
        """Whether nothing has come that was not received."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


@asynccontextmanager
async def association(address: str, source: str | None = None) -> AsyncIterator[tuple[RawClient, tuple[str, int]]]:
    """The connection of an association, and where its datagrams go."""
    async with RawClient(address, source=source) as client:
        client.send(HELLO + b"\x05\x03\x00\x01" + bytes(6))
        reply = (await came(client, 2 + 10 if address[0] != "[" else 2 + 22))[2:]
        yield client, bound(reply)

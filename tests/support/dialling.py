"""Origins on loopback, good and unhelpful, and what dials them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address

import pytest

from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.net.address import IPAddress
from interpose.net.dial import Dialler
from interpose.net.stream import SocketStream


def resolves_to(*addresses: str) -> Callable[[str], asyncio.Future[tuple[IPAddress, ...]]]:
    """A resolver that gives every name these addresses."""

    def resolve(host: str) -> asyncio.Future[tuple[IPAddress, ...]]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(tuple(ip_address(address) for address in addresses))
        return future

    return resolve


class Origins:
    """Servers on loopback that echo, and how many connections each got."""

    def __init__(self) -> None:
        self.connections: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def listen(self, host: str, port: int = 0, context: ssl.SSLContext | None = None) -> int:
        self.connections[host] = 0

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections[host] += 1
            self._writers.append(writer)
            with contextlib.suppress(OSError):
                while data := await reader.read(1000):
                    writer.write(data)

        server = await asyncio.start_server(echo, host, port, ssl=context)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def origins() -> AsyncIterator[Origins]:
    some = Origins()
    try:
        yield some
    finally:
        some.close()
        await asyncio.sleep(0)


@contextlib.contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """A port on which connections are neither accepted nor refused: its queue is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield port


async def echoed(stream: SocketStream, data: bytes = b"hello") -> bytes:
    stream.write(data)
    back = b""
    while len(back) < len(data):
        back += await stream.read()
    stream.close()
    return back


async def failed(dial: Dialler, origin: Origin) -> Failure:
    with pytest.raises(Failure) as caught:
        await dial(origin)
    return caught.value

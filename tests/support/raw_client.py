"""A client that sends exactly the bytes it is given and keeps exactly what it gets.

`async with RawClient(address) as client` is a connection: `client.send(data)`, then `[answer] = await
client.answers("GET")`, judged strictly, and `await client.rest()` for what comes after it until the end, which must
come. `await ask(address, request)` is one request, one answer, and the connection closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable

from tests.scenes import judge

DEADLINE_S = 10.0


class RawClient:
    """One connection to `address` ("host:port", "[v6]:port" or "unix:path")."""

    def __init__(self, address: str, *, source: str | None = None, deadline_s: float = DEADLINE_S) -> None:
        self._address = address
        self._source = source
        self._deadline_s = deadline_s
        self.received = b""
        self.has_ended = False
        """Nothing more comes: the other side has ended (or reset) the connection."""
        self.was_reset = False
        self._taken = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> RawClient:
        if self._address.startswith("unix:"):
            reader, self._writer = await asyncio.open_unix_connection(self._address.removeprefix("unix:"))
        else:
            host, _, port = self._address.rpartition(":")
            local = None if self._source is None else (self._source, 0)
            reader, self._writer = await asyncio.open_connection(host.strip("[]"), int(port), local_addr=local)
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(OSError):  # that TLS failed was said by who began it
            await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                self.received += data
                self._changed.set()
        except ConnectionError:
            self.was_reset = True
        finally:
            self.has_ended = True
            self._changed.set()

    def send(self, data: bytes) -> None:
        """Write; the kernel takes it as soon as it can."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the kernel has what was sent."""
        await self._writer.drain()

    async def tunnel(
        self, authority: str, context: ssl.SSLContext, name: str | None = None, *, field: str = "X-Nothing: 1"
    ) -> None:
        """Ask for a tunnel, and speak TLS in it: with `name`, or else the host of `authority`."""
        self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n\r\n".encode())
        [answer] = await self.answers("CONNECT")
        assert answer.status == 200, answer
        await self.start_tls(context, name or authority.rpartition(":")[0].strip("[]"))

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Continue in TLS with `name`."""
        self.received, self._taken = b"", 0
        async with asyncio.timeout(self._deadline_s):
            await self._writer.start_tls(context, server_hostname=name)

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS that is spoken, None without any."""
        found: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return found

    def end(self) -> None:
        """Half-close: send no more, read on."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; AssertionError when the connection ended before, TimeoutError in the end."""
        async with asyncio.timeout(self._deadline_s):
            while not condition():
                assert not self.has_ended, f"the connection ended with {self.received[-500:]!r}"
                self._changed.clear()
                await self._changed.wait()

    async def until(self, needle: bytes, times: int = 1) -> bytes:
        """What was received, once `needle` is in it so many times."""
        await self.wait_for(lambda: self.received.count(needle) >= times)
        return self.received

    async def answers(self, *methods: str, upgrade: str | None = None) -> list[judge.Response]:
        """The next answers, to requests of these methods, each judged; bytes beyond them stay for the next call."""
        found: list[judge.Response] = []
        rest = b""

        def are_there() -> bool:
            nonlocal rest
            try:
                answers, rest = judge.split_responses(self.received[self._taken :], methods, upgrade)
            except judge.Off:
                if self.has_ended:
                    raise
                return False
            found[:] = answers
            return not any(answer.framing == "close" for answer in answers) or self.has_ended

        await self.wait_for(are_there)
        self._taken = len(self.received) - len(rest)
        return found

    async def rest(self) -> bytes:
        """What comes after what was taken as answers, up to the end of the connection, which is waited for."""
        async with asyncio.timeout(self._deadline_s):
            while not self.has_ended:
                self._changed.clear()
                await self._changed.wait()
        return self.received[self._taken :]


async def ask(
    address: str, request: bytes, method: str = "GET", *, source: str | None = None, deadline_s: float = DEADLINE_S
) -> judge.Response:
    """The answer to one request on a connection of its own."""
    async with RawClient(address, source=source, deadline_s=deadline_s) as client:
        client.send(request)
        [answer] = await client.answers(method)
        return answer

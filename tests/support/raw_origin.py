"""An origin on loopback that records the exact bytes of each connection and answers with the bytes it is told to.

It knows no HTTP: a script (a coroutine for each connection) says what happens. Scripts are made of `until`, `send`,
`end`, `reset` and `gone`; the usual ones are functions here. `RawOrigin(answering(OK))` gives the same answer to every
request, `RawOrigin(saying(b"HTTP/1.1 2"))` those bytes to the first one, `RawOrigin(my_script)` what a coroutine
function of a `Connection` does. `origin.address` is where it listens, `origin.connections[0].received` what came on a
connection, octet for octet; with `tls` it speaks that, and they are what was inside.

Where a script has to know where a request ends, the judge says so, not the product.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from tests.scenes import judge

DEADLINE_S = 10.0

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Gone(Exception):
    """The other side has ended or reset the connection before what was waited for came."""


class Connection:
    """One accepted connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.received = b""
        self.has_ended = False
        """The other side sends no more."""
        self.was_reset = False
        self.error: BaseException | None = None
        """What the script failed with; the origin raises it when it is left."""
        self._unread = 0
        self._changed = asyncio.Event()
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))

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

    async def wait_for(self, condition: Callable[[], bool], deadline_s: float | None = DEADLINE_S) -> None:
        """Wait until `condition` holds, which must depend on what was received. Raises Gone, TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while not condition():
                if self.has_ended:
                    raise Gone
                self._changed.clear()
                await self._changed.wait()

    async def until(self, needle: bytes, times: int = 1) -> bytes:
        """What was received, once `needle` is in it so many times."""
        await self.wait_for(lambda: self.received.count(needle) >= times)
        return self.received

    async def request(self, deadline_s: float | None = DEADLINE_S) -> judge.Request:
        """The next whole request; what is not one is waited for until the other side gives up."""
        found: judge.Request | None = None

        def is_there() -> bool:
            nonlocal found
            with contextlib.suppress(judge.Off):
                found, rest = judge.take_request(self.received[self._unread :])
                self._unread = len(self.received) - len(rest)
            return found is not None

        await self.wait_for(is_there, deadline_s)
        assert found is not None
        return found

    async def gone(self) -> None:
        """Wait until the other side has ended."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.has_ended:
                self._changed.clear()
                await self._changed.wait()

    async def send(self, data: bytes) -> None:
        """Write, and wait until the kernel has it."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Half-close: send no more, read on."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close in order."""
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


Script = Callable[[Connection], Awaitable[None]]


def answering(*answers: bytes) -> Script:
    """Answer every request: the first with the first of `answers`, and so on, the last of them over and over.

    To HEAD only the head of an answer is sent.
    """

    async def script(connection: Connection) -> None:
        number = 0
        while True:
            request = await connection.request(None)  # a kept connection may be idle for as long as it likes
            answer = answers[min(number, len(answers) - 1)]
            await connection.send(answer[: answer.index(b"\r\n\r\n") + 4] if request.method == "HEAD" else answer)
            number += 1

    return script


def saying(data: bytes, *, then_close: bool = False) -> Script:
    """Send `data` after the first head, whatever it is; then close, or be silent."""

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(data)
        if not then_close:
            await connection.gone()

    return script


async def silent(connection: Connection) -> None:
    """Read and say nothing."""
    await connection.gone()


class RawOrigin:
    """`async with RawOrigin(script) as origin`. A script that ends closes its connection.

    Gone, and a connection that broke, end it quietly; any other error of a script is raised when the origin is left.
    """

    def __init__(
        self, script: Script, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.connections: list[Connection] = []
        self.port = port
        self._host = host
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._came = asyncio.Event()

    @property
    def address(self) -> str:
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def received(self) -> bytes:
        return b"".join(connection.received for connection in self.connections)

    def requests(self) -> list[judge.Request]:
        """Every request of every connection, each judged to its last octet; raises `judge.Off`."""
        return [request for connection in self.connections for request in judge.read_requests(connection.received)]

    async def connected(self, times: int = 1) -> None:
        """Wait until so many connections have come."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.connections) < times:
                self._came.clear()
                await self._came.wait()

    async def __aenter__(self) -> RawOrigin:
        self._server = await asyncio.start_server(self._accept, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        errors = [connection.error for connection in self.connections if connection.error is not None]
        if errors and exc[0] is None:
            raise errors[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(len(self.connections), reader, writer)
        self.connections.append(connection)
        self._came.set()
        try:
            await self.script(connection)
        except (Gone, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            connection.error = error
        finally:
            await connection.close()
            self._tasks.discard(task)

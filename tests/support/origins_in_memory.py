"""Origins that are dialled in memory: which streams were made, in which order, and what was sent on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.client import UpstreamClient
from interpose.engine.connections import Connections
from interpose.engine.tunnel import Tunnels
from interpose.protocol.head import HeadParser

A = Origin("http", "a.example", 80)
B = Origin("http", "b.example", 8080)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = Failure("connection_refused", Side.UPSTREAM, "nobody there")


class Paused:
    """A body's source that does nothing."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class Dialling:
    """Gives each origin's next stream, when it is let go."""

    def __init__(self) -> None:
        self.streams: list[MemoryStream] = []
        self.origins: list[Origin] = []
        self.refuses: set[Origin] = set()
        self.closes: set[Origin] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    def sent(self) -> int:
        """How many requests went out."""
        return sum(stream.sent.count(b"GET /") for stream in self.streams)

    async def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False
    ) -> MemoryStream:
        self.origins.append(origin)
        await self.gate.wait()
        if origin in self.refuses:
            raise REFUSED
        stream = MemoryStream(SERVER)
        if origin in self.closes:
            stream.receive_end()
        self.streams.append(stream)
        return stream


def client_of(dial: Dialling) -> UpstreamClient:
    """A client that dials so."""
    return UpstreamClient(dial, HeadParser(), Tunnels(60.0), Connections(), answer_timeout_s=10.0, configured=True)


def exchange() -> Exchange:
    return Exchange(1, 0, "listener", CLIENT, 0.0)


def request(method: str = "GET", body: Body | None = None, host: str = "h.example") -> Request:
    message = Request(method, Target(Form.ORIGIN, "http", Authority(host), "/x"), Fields())
    if body is not None:
        message.body = body
    return message


async def settle(condition: Callable[[], object]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happens")


async def answered(task: asyncio.Task[Response], stream: MemoryStream, answer: bytes = OK) -> bytes:
    """The content of the answer that `stream` gives to what was sent on it last."""
    stream.receive(answer)
    response = await asyncio.wait_for(task, 5)
    return await response.body.read(1000)

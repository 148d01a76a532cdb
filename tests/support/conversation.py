"""A conversation with the server over a stream in memory: what its handler saw, what the client was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.scenes import judge
from tests.support.memory_stream import MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser

MOST = 1 << 62
ANSWER = ErrorAnswer(ErrorAnswerOptions())
"""Keeps nothing of an exchange, so one will do: making it reads its page from a file."""


@dataclass
class Seen:
    """One request as the handler got it."""

    request: Request
    authority: str
    method: str
    body: bytes | None = None
    """None until it has been read to its end."""
    failure: Failure | None = None


@dataclass
class Conversation:
    """One connection of the server and what came of it."""

    server: HttpServer
    stream: MemoryStream
    seen: list[Seen] = field(default_factory=list)
    tunnel: Stream | None = None

    async def handle(self, exchange: Exchange, request: Request) -> Response:
        seen = Seen(request, str(request.target.authority), request.method)
        self.seen.append(seen)
        if request.method == "CONNECT" or request.upgrade:
            seen.body = b""
            response = Response(200 if request.method == "CONNECT" else 101)
            response.upgrade = request.upgrade
            response.then = self.join
            return response
        try:
            seen.body = await request.body.read(MOST)
        except Failure as failure:
            seen.failure = failure
            raise
        return Response(200, body=Body(b"ok"))

    def join(self, stream: Stream) -> None:
        self.tunnel = stream


def conversation(parser: HeadParser) -> Conversation:
    """A server's connection with nothing said yet."""
    stream = MemoryStream()
    server = HttpServer("listener", None, ANSWER, parser, Timeouts(), 0)  # type: ignore[arg-type]
    talk = Conversation(server, stream)
    server.handler = talk.handle
    server(stream)
    return talk


async def settle(state: Callable[[], Any]) -> None:
    """Let the loop go round until nothing has changed for a while."""
    same = 0
    before = state()
    for _ in range(1000):
        await asyncio.sleep(0)
        now = state()
        same = same + 1 if now == before else 0
        if same == 5:
            return
        before = now
    raise AssertionError("it never comes to rest")


def statuses(talk: Conversation) -> list[tuple[int, bool]]:
    """Status of each answer, and whether it says that the connection closes; judged, interim ones left out."""
    found: list[tuple[int, bool]] = []
    rest = talk.stream.sent
    methods = [seen.method for seen in talk.seen]
    while rest:
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        [answer], rest = judge.split_responses(rest, [method], "websocket")
        found.append((200 if answer.status == 101 else answer.status, "close" in answer.options("connection")))
    return found

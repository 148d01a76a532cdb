"""One client, the server, the upstream client and any number of origins, all in memory: for laws about what may happen.

A `World` is moved by small steps in any order (`STEPS`): the client says some more, an origin says some more, somebody
takes bytes, ends, breaks off, a connection is made or refused, the loop goes round, time passes. `settle` then lets
everybody finish in peace, and `end` breaks off what is left. What happened is kept to be judged: octets by the judge,
exchanges and bodies by what the outermost filter saw of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.scenes import judge
from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler, chain
from interpose.core.message import Request, Response
from interpose.core.target import Origin
from interpose.engine.client import UpstreamClient
from interpose.engine.connections import Connections
from interpose.engine.group_client import ServerClient
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.engine.tunnel import Tunnels
from interpose.filters.access_log import AccessLog
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser

ORIGIN = Origin("http", "origin.example", 80)
HEAD = re.compile(rb"([A-Z]+) /([0-9]+) HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n")


def content(number: int, size: int) -> bytes:
    """Content that belongs to one message and to no other."""
    unit = b"<%d>" % number
    return (unit * (size // len(unit) + 1))[:size]


@dataclass(frozen=True)
class Asked:
    """One request of the client's: GET, HEAD, length, chunked, expect, old (1.0), close, upgrade or bad."""

    kind: str
    size: int = 0

    @property
    def method(self) -> str:
        return "HEAD" if self.kind == "head" else "POST" if self.kind in ("length", "chunked", "expect") else "GET"

    def wire(self, number: int) -> bytes:
        body = content(number, self.size)
        line = f"{self.method} /{number} HTTP/1.{0 if self.kind == 'old' else 1}\r\nHost: a\r\n".encode()
        match self.kind:
            case "length":
                return line + b"Content-Length: %d\r\n\r\n" % self.size + body
            case "expect":
                return line + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % self.size + body
            case "chunked":
                chunks = [body[place : place + 5000] for place in range(0, self.size, 5000)]
                coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
                return (
                    line
                    + b"TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + coded
                    + b"0\r\nX-T: %d\r\n\r\n" % number
                )
            case "old":
                return line + b"Connection: keep-alive\r\n\r\n"
            case "close":
                return line + b"Connection: close\r\n\r\n"
            case "upgrade":
                return line + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            case "bad":
                return line + b"Content-Length: 3, 3\r\n\r\nabc"
            case _:
                return line + b"\r\n"


@dataclass(frozen=True)
class Said:
    """One answer of an origin's; BAD ones end the connection, for one reason or another."""

    kind: str
    size: int = 0

    BAD = ("bad-head", "bad-chunk", "short", "short-chunked", "extra", "silent", "unasked", "two-lengths")

    @property
    def is_bad(self) -> bool:
        return self.kind in self.BAD

    @property
    def is_early(self) -> bool:
        """Whether it is said as soon as the head of the request is there."""
        return self.kind == "early"

    def wire(self, number: int, method: str) -> bytes:
        body = b"" if method == "HEAD" else content(number, self.size)
        length = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Length: %d\r\n\r\n" % (number, self.size)
        chunked = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % number
        coded = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        match self.kind:
            case "length" | "early":
                return length + body
            case "chunked":
                return chunked + (b"" if method == "HEAD" else coded + b"0\r\nX-T: %d\r\n\r\n" % number)
            case "close":
                return b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n\r\n" % number + body
            case "hints":
                return b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + length + body
            case "none":
                return b"HTTP/1.1 204 No Content\r\nX-Number: %d\r\n\r\n" % number
            case "unchanged":
                return b"HTTP/1.1 304 Not Modified\r\nX-Number: %d\r\nContent-Length: 5\r\n\r\n" % number
            case "switch" | "unasked":
                return b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            case "bad-head":
                return length.replace(b"X-Number:", b"X-Number :") + body
            case "two-lengths":
                return length.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % self.size) + body
            case "bad-chunk":
                return chunked + coded + b"+5\r\nhello\r\n0\r\n\r\n"
            case "short":
                return length + body[: self.size // 2]
            case "short-chunked":
                return chunked + coded
            case "extra":
                return length + body + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
            case _:
                return b""

    @property
    def ends(self) -> bool:
        """Whether the origin ends the connection behind it."""
        return self.kind in ("close", "short", "short-chunked")


class OriginSide:
    """The other end of one connection that was dialled: reads requests, queues answers, says them when told to."""

    def __init__(self, stream: MemoryStream, answers: dict[int, Said]) -> None:
        self.stream = stream
        self.numbers: list[int] = []
        """The requests whose answer was begun, in their order."""
        self._answers = answers
        self._read = 0
        self._answered = 0
        self._queue = b""
        self._ends = False
        self._continued: set[int] = set()
        self.has_broken_off = False

    def think(self) -> None:
        """Queue the answers to what has arrived."""
        while self._answered < len(self.stream.sent):
            match = HEAD.match(self.stream.sent, self._answered)
            if match is None:
                return
            number, method = int(match[2]), match[1].decode()
            answer = self._answers[number]
            if number not in self.numbers[-1:] or self._read == self._answered:
                try:
                    _, rest = judge.take_request(self.stream.sent[self._answered :])
                except judge.Off:
                    if answer.is_early and number not in self.numbers[-1:]:
                        self._answer(number, answer, method)
                    elif b"Expect: 100-continue" in match[0] and number not in self._continued:
                        self._continued.add(number)
                        self._queue += b"HTTP/1.1 100 Continue\r\n\r\n"
                    return
            if number not in self.numbers[-1:]:
                self._answer(number, answer, method)
            self._answered = self._read = len(self.stream.sent) - len(rest)

    def _answer(self, number: int, answer: Said, method: str) -> None:
        self.numbers.append(number)
        if not self._ends:
            self._queue += answer.wire(number, method)
            self._ends = answer.ends

    @property
    def has_more(self) -> bool:
        return bool(self._queue) or (self._ends and not self.has_broken_off)

    def say(self, size: int) -> None:
        """Send up to so many octets of what is queued; then the end, where one belongs there."""
        self.think()
        data, self._queue = self._queue[:size], self._queue[size:]
        self.stream.receive(data)
        if self._ends and not self._queue and not self.has_broken_off:
            self.has_broken_off = True
            self.stream.receive_end()


class World:
    """See the module."""

    MOST_HELD = 256 << 10

    def __init__(
        self, asked: list[Asked], answers: list[Said], *, window: int | None, needs_tasks: bool, max_idle: int = 256
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked = asked
        self.answers = dict(enumerate(answers))
        self.complaints: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.origins: list[OriginSide] = []
        self._gates: list[asyncio.Future[bool]] = []
        self.exchanges: list[Exchange] = []
        self.ended: list[tuple[Exchange, Outcome]] = []
        self.bodies: list[Body] = []
        self.log: list[bytes] = []
        self.is_calm = True
        """Nothing was broken off, refused or late: every good request must get its answer."""
        self.late_s = 0.0
        self.most_held = 0
        self._tunnels = Tunnels(60.0)
        self.client = UpstreamClient(
            self._dial,
            HeadParser(),
            self._tunnels,
            Connections(max_idle=max_idle),
            answer_timeout_s=60.0,
            configured=True,
        )
        log = AccessLog("json", self.log.append)
        self.server = HttpServer(
            "main",
            chain([log, self._observe], ServerClient(self.client, ORIGIN)),
            ErrorAnswer(ErrorAnswerOptions()),
            HeadParser(),
            Timeouts(),
            0,
        )
        self.server.needs_tasks = needs_tasks

        def observe_refused(exchange: Exchange) -> None:
            log.without_request(exchange)
            self._watch(exchange)

        self.server.observe_refused = observe_refused
        self.stream = MemoryStream(CLIENT, window=window)
        self._wire = b"".join(one.wire(number) for number, one in enumerate(asked))
        self._client_ended = False
        self.client_left = False
        self.server(self.stream)

    # --- what is watched -------------------------------------------------------------------------------------------

    def _watch(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.at_end(lambda outcome: self.ended.append((exchange, outcome)))

    async def _observe(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        self._watch(exchange)
        self.bodies.append(request.body)
        response = await forward(exchange, request)
        self.bodies.append(response.body)
        return response

    async def _dial(self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False) -> MemoryStream:
        gate: asyncio.Future[bool] = self._loop.create_future()
        self._gates.append(gate)
        try:
            if not await gate:
                raise Failure("connection_refused", Side.UPSTREAM, "nobody is there")
        finally:
            if gate in self._gates:
                self._gates.remove(gate)
        stream = MemoryStream(SERVER, window=self.stream._window)
        self.origins.append(OriginSide(stream, self.answers))
        return stream

    # --- steps -----------------------------------------------------------------------------------------------------

    def say(self, size: int) -> None:
        """The client sends so many more octets."""
        if not self._client_ended:
            data, self._wire = self._wire[:size], self._wire[size:]
            self.stream.receive(data)

    def answer(self, which: int, size: int) -> None:
        """An origin sends so many octets of its answers."""
        if self.origins:
            self.origins[which % len(self.origins)].say(size)

    def connect(self, succeeds: bool) -> None:
        """The oldest connection that is being made comes about, or not."""
        if self._gates:
            gate = self._gates.pop(0)
            if not gate.done():
                gate.set_result(succeeds)
            self.is_calm = self.is_calm and succeeds

    def take(self, which: int, size: int) -> None:
        """The client (0) or an origin reads so many octets."""
        streams = [self.stream, *(origin.stream for origin in self.origins)]
        streams[which % len(streams)].take(size)

    def client_end(self) -> None:
        """The client half-closes."""
        self.is_calm = self.is_calm and not self._wire
        self._client_ended = True
        self.stream.receive_end()

    def client_leaves(self) -> None:
        """The client's connection breaks."""
        self.is_calm = False
        self.client_left = self._client_ended = True
        self.stream.lose()

    def origin_ends(self, which: int) -> None:
        """An origin half-closes where it is."""
        if self.origins:
            self.is_calm = False
            origin = self.origins[which % len(self.origins)]
            origin.has_broken_off = True
            origin._queue = b""
            origin.stream.receive_end()

    def origin_breaks(self, which: int) -> None:
        """An origin's connection breaks."""
        if self.origins:
            self.is_calm = False
            origin = self.origins[which % len(self.origins)]
            origin.has_broken_off = True
            origin._queue = b""
            origin.stream.lose()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and deadlines are judged."""
        self.late_s += seconds
        self.is_calm = self.is_calm and self.late_s < 1
        now = self._loop.time() + self.late_s
        self.server.tick(now)
        self.client.tick(now)
        self._tunnels.tick(now)

    async def turn(self, rounds: int) -> None:
        """The loop goes round."""
        for _ in range(rounds):
            await asyncio.sleep(0)
            self.look()

    def look(self) -> None:
        """How much is held for peers that do not take it."""
        held = [self.stream.unsent_bytes, *(origin.stream.unsent_bytes for origin in self.origins)]
        self.most_held = max(self.most_held, *held)

    # --- the end ---------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[object, ...]:
        return (
            len(self._wire),
            len(self.stream.sent),
            len(self.ended),
            len(self._gates),
            self.stream.is_lost,
            tuple((len(o.stream.sent), o.has_more, o.stream.is_lost) for o in self.origins),
        )

    async def settle(self) -> None:
        """Let everybody finish in peace: nothing is broken off, everything is said, taken and connected."""
        before: object = None
        same = 0
        for _ in range(5000):
            self.say(60000)
            while self._gates:
                self.connect(True)
            for origin in self.origins:
                origin.say(60000)
            for which in range(len(self.origins) + 1):
                self.take(which, 1 << 30)
            await self.turn(1)
            state = self._state()
            same = same + 1 if state == before else 0
            if same == 12:
                return
            before = state
        raise AssertionError("it never comes to rest")

    async def end(self) -> None:
        """Break off what is left, and let the loop tell everybody."""
        for gate in self._gates:
            gate.cancel()
        self.stream.lose()
        await self.turn(5)
        for origin in self.origins:
            origin.stream.lose()
        await self.turn(5)


Step = tuple[Callable[..., Any], tuple[Any, ...]]

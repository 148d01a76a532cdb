"""SOCKS: a conversation that begins with where the client wants to go, and then is a tunnel to there.

The client's opening is pulled from the stream message by message, so that what comes behind its last byte stays in
the stream for the tunnel. Who may use it, which ports, which addresses and how a server is reached is decided by the
same parts as for HTTP; here is only what is said about it in SOCKS. A refusal is said before the connection ends, and
the end is in order: a reset could overtake the reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream
from interpose.core.target import Authority, Origin
from interpose.engine.client import Dial, Join
from interpose.engine.conversations import Conversation
from interpose.engine.tunnel import Tunnels
from interpose.engine.upstream_proxies import ProxyPool
from interpose.protocol import socks
from interpose.protocol.socks import Ask, Login
from interpose.protocol.socks_grammar import NO_LOGIN, NO_METHOD, USERS, VERSION_4, Command, Reply, Unreadable

Message = TypeVar("Message")

Authenticate = Callable[[Exchange, bytes, bytes], Awaitable[None]]
"""Sets `exchange.user` to whom name and password belong, or raises the refusal, with its note."""

DemandPort = Callable[[Exchange, int | None], None]
"""Raises the refusal of a port, with its note."""

Admit = Callable[[Exchange, Authority, str], Awaitable[Authority]]
"""Where a client may go that wants to go there with TCP or UDP (`tcp`, `udp`), or raises the refusal, with its note."""

Associate = Callable[[Conversation], Awaitable[None]]
"""Relays datagrams for as long as the conversation lasts; replies to the client by itself, or raises `Failure`."""

# An HTTP client on the wrong port gets words instead of a riddle.
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NOT_SOCKS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 61\r\nConnection: close\r\n\r\n"
    b"This port speaks SOCKS; use socks5h:// here, and not http://\n"
)

LINGER_S = 1.0
LINGER_BYTES = 65536
"""What a client may still send after it was refused: with unread bytes the kernel would turn the end into a reset."""


class Socks:
    """The role (a `Serve`). Without `authenticate` everybody may use it, without `associate` there is no UDP.

    `join` says what passes in tunnels; without one everything does.
    """

    def __init__(
        self,
        dial: Dial,
        tunnels: Tunnels,
        demand_port: DemandPort,
        *,
        opening_timeout_s: float,
        idle_timeout_s: float,
        join: Join | None = None,
        authenticate: Authenticate | None = None,
        associate: Associate | None = None,
        admit: Admit | None = None,
        through: Callable[[Exchange], ProxyPool | None] | None = None,
    ) -> None:
        self._dial = dial
        self._tunnels = tunnels
        self._demand_port = demand_port
        self._opening_timeout_s = opening_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._join = join
        self._authenticate = authenticate
        self._associate = associate
        self._admit = admit
        self._through = through

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation."""
        conversation.answers_at_once = True  # as long as nothing is asked, a drain need not wait
        conversation.stream.run(_Opening(self, conversation).serve())

    async def authenticate(self, exchange: Exchange, login: Login) -> None:
        """See `Authenticate`."""
        assert self._authenticate is not None
        await self._authenticate(exchange, login.user, login.password)

    @property
    def asks_for_users(self) -> bool:
        """Whether it is not for everybody."""
        return self._authenticate is not None

    @property
    def deadline_s(self) -> float:
        """How long a client may take to say what it wants, not counting the time in which it waits for us."""
        return self._opening_timeout_s

    async def carry_out(self, conversation: Conversation, ask: Ask) -> None:
        """Do what the client asks, and give its stream to who does it from then on."""
        exchange = conversation.exchange
        if ask.command is Command.BIND or (ask.command is Command.ASSOCIATE and self._associate is None):
            detail = f"{ask.command.name} is not supported here; CONNECT is."
            raise Unreadable(detail, Reply.COMMAND_NOT_SUPPORTED, 501)
        if ask.command is Command.ASSOCIATE:
            assert self._associate is not None
            await self._associate(conversation)
            return
        self._demand_port(exchange, ask.port)
        host, port = ask.host, ask.port
        if self._admit is not None:
            host, admitted = await self._admit(exchange, Authority(host.lower().removesuffix("."), port), "tcp")
            if admitted != port:
                self._demand_port(exchange, admitted)
                port = admitted or 0
        origin = Origin("tcp", host, port)
        attempt = Attempt(origin, asyncio.get_running_loop().time())
        exchange.attempts.append(attempt)
        try:
            pool = None if self._through is None else self._through(exchange)
            upstream = await (self._dial(origin, attempt) if pool is None else pool.dial(exchange, origin, attempt))
        except Failure as failure:
            attempt.failure = failure
            if failure.kind in ("destination_ip_prohibited", "proxy_loop_detected"):
                exchange.refused_by("dial", failure.kind, failure.detail)
            raise
        if self._join is not None:
            join = self._join(exchange, upstream, None)
        else:
            join = self._tunnels.between(exchange, upstream, idle_timeout_s=self._idle_timeout_s)
        conversation.idle_timeout_s = None
        bound = upstream.info.local
        conversation.stream.write(socks.write_reply(ask.version, Reply.SUCCEEDED, bound.host, bound.port))
        join(conversation.stream if exchange.around is None else exchange.around(conversation.stream))


class _Opening:
    """What one client says before bytes flow. `_left_s` runs out while the client has the word.

    `_says_no` is what a failure is answered with at this point of the conversation.
    """

    def __init__(self, role: Socks, conversation: Conversation) -> None:
        self._role = role
        self._conversation = conversation
        self._stream = conversation.stream
        self._left_s = role.deadline_s
        self._says_no: Callable[[Failure], bytes] | None = lambda failure: b""

    async def serve(self) -> None:
        """From the first byte to the tunnel or to the reply that says no."""
        try:
            await self._serve()
        except Failure as failure:
            if self._says_no is None:
                self._conversation.fail(failure)
                return
            self._conversation.failure = failure
            if last_words := self._says_no(failure):
                self._stream.write(last_words)
            self._stream.end()
            await _linger(self._stream)
            self._stream.close()

    async def _serve(self) -> None:
        first = await self._peek(1)
        if first[0] in _LETTERS:
            self._says_no = lambda failure: _NOT_SOCKS
        if first[0] == VERSION_4:
            self._says_no = lambda failure: socks.write_reply(VERSION_4, socks.reply_to(failure))
            ask = await self._message(socks.read_request_4)
            self._note(ask)
            if self._role.asks_for_users:
                why = "SOCKS 4 has no passwords; use SOCKS 5, with a user and a password."
                self._conversation.exchange.refused_by("auth", "version 4", why)
                raise Failure("http_request_denied", Side.DOWNSTREAM, why, status=407)
        else:
            await self._settle_on_method()
            self._says_no = lambda failure: socks.write_reply(5, socks.reply_to(failure))
            ask = await self._message(socks.read_request)
            self._note(ask)
        await self._role.carry_out(self._conversation, ask)

    async def _settle_on_method(self) -> None:
        offered = await self._message(socks.read_methods)
        self._says_no = lambda failure: socks.write_choice(NO_METHOD)
        exchange = self._conversation.exchange
        if not self._role.asks_for_users:
            if NO_LOGIN not in offered:
                why = "The client insists on logging in, but there are no users here; take its user name away."
                raise Unreadable(why)
            self._stream.write(socks.write_choice(NO_LOGIN))
            return
        if USERS not in offered:
            why = "The client did not offer to log in with a user and a password."
            exchange.refused_by("auth", "users only", why)
            raise Failure("http_request_denied", Side.DOWNSTREAM, why, status=407)
        self._stream.write(socks.write_choice(USERS))
        self._says_no = lambda failure: socks.write_verdict(is_known=False)
        await self._role.authenticate(exchange, await self._message(socks.read_login))
        self._stream.write(socks.write_verdict(is_known=True))

    def _note(self, ask: Ask) -> None:
        """Have the log say what is asked for."""
        self._conversation.answers_at_once = False
        is_udp = ask.command is Command.ASSOCIATE
        what = "SOCKS5-UDP" if is_udp else f"SOCKS{ask.version} {Authority(ask.host, ask.port)}"
        self._conversation.exchange.asked = what

    async def _message(self, read: Callable[[bytes], tuple[Message, int] | None]) -> Message:
        """The next message of the client's, taken off the stream."""
        data = await self._peek(1)
        while (found := read(data)) is None:
            data = await self._peek(len(data) + 1)
        message, size = found
        taken = 0
        while taken < size:
            taken += len(await self._stream.read(size - taken))
        self._conversation.bytes_in += size
        return message

    async def _peek(self, size: int) -> bytes:
        """At least so many bytes, before the client's time is over and before it ends."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                data = await self._stream.peek(size)
        except TimeoutError:
            self._says_no = None
            detail = f"The client did not say within {self._role.deadline_s:g} s what it wants."
            raise Failure("http_request_error", Side.DOWNSTREAM, detail, status=408) from None
        self._left_s = max(self._left_s - (loop.time() - began), 0.0)
        if len(data) < size:
            self._says_no = None
            detail = "The client left before it had said what it wants."
            raise Failure("connection_terminated", Side.DOWNSTREAM, detail, status=0)
        return data


async def _linger(stream: Stream) -> None:
    """Read what the client still sends, for a moment, so that it gets to read what it was sent."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (data := await stream.read(left)):
                left -= len(data)
    except TimeoutError:
        pass

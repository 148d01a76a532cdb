"""The relay: every connection goes on to one of its servers, and bytes pass both ways until both sides have ended.

What a client sends before its server is there waits in the client's stream, which stops reading when it has enough.
Nothing of it goes to a server that then fails, so the next server can always be tried.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.message_filter import Message, Pass
from interpose.core.stream import Stream
from interpose.core.target import Origin
from interpose.engine.client import Dial
from interpose.engine.conversations import Conversation
from interpose.engine.live_group import LiveGroup
from interpose.engine.narration import Account, Narration
from interpose.engine.tunnel import Tunnels
from interpose.protocol.proxy_line import Version, proxy_line
from interpose.upstream.server import Server


class AskedMessages(Protocol):
    """What is asked about pieces: a `MessageFilter`, and whether it need be asked."""

    async def __call__(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """See `core.message_filter`."""

    @property
    def means_any(self) -> bool:
        """Whether anything would be asked."""


class Relay:
    """The role (a `Serve`). `send_proxy_protocol` tells servers who the client is; `narration` None tells nobody;
    `asked` is asked about each piece of a connection, where it means any when that begins; None asks nobody."""

    def __init__(
        self,
        dial: Dial,
        live: LiveGroup,
        tunnels: Tunnels,
        *,
        idle_timeout_s: float,
        send_proxy_protocol: Version | None = None,
        narration: Narration | None = None,
        asked: AskedMessages | None = None,
    ) -> None:
        self._dial = dial
        self._live = live
        self._tunnels = tunnels
        self._idle_timeout_s = idle_timeout_s
        self._send_proxy_protocol = send_proxy_protocol
        self._narration = narration
        self._asked = asked
        self._clock = asyncio.get_running_loop().time

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation."""
        conversation.idle_timeout_s = None  # dialling has a deadline of its own, and then the tunnel keeps time
        stream = conversation.stream
        account = None if self._narration is None else self._narration.connected(conversation.exchange, stream.info)
        stream.run(self._serve(conversation, account))

    async def _serve(self, conversation: Conversation, account: Account | None) -> None:
        left = "The connection ended before its server was there."
        conversation.failure = Failure("connection_terminated", Side.DOWNSTREAM, left)
        try:
            upstream = await self._connected(conversation)
        except Failure as failure:
            conversation.failure = None
            conversation.fail(failure)
            return
        conversation.failure = None
        if account is not None:
            account.tell(
                f"is relayed to {_name(conversation.exchange.attempts[-1].origin)}, from {upstream.info.local}"
            )
        if self._asked is not None and self._asked.means_any:
            conversation.exchange.filter_messages(self._asked)
        join = self._tunnels.between(
            conversation.exchange,
            upstream,
            idle_timeout_s=self._idle_timeout_s,
            keeps_end=upstream.info.tls is not None,
            watcher=account,
        )
        join(conversation.stream)

    async def _connected(self, conversation: Conversation) -> Stream:
        """A stream to the first server that can be reached; the failure of the last one when none can."""
        exchange, info = conversation.exchange, conversation.stream.info
        opening = b""
        if self._send_proxy_protocol is not None:
            opening = proxy_line(self._send_proxy_protocol, info.peer, info.local)
        group, line = self._live.group, self._live.line
        key = exchange.client.host.encode()
        failure: Failure | None = None
        avoid: tuple[Server, ...] = ()
        while True:
            server = None if line and not avoid else group.choose(key, self._clock(), avoid)
            if server is None:
                if failure is not None:
                    raise failure
                server = await line.server(exchange, key)
            origin = as_relayed(server.origin)
            attempt = Attempt(origin, self._clock())
            exchange.attempts.append(attempt)
            exchange.asked = f"TCP {_name(origin)}"
            try:
                upstream = await self._dial(origin, attempt, opening=opening)
            except Failure as error:
                attempt.failure = failure = error
                avoid = (*avoid, server)
                group.failed(server, error.detail or error.kind, self._clock(), unreachable=True)
                self._ended(server)
            except BaseException:
                self._ended(server)
                raise
            else:
                now = self._clock()
                group.answered(server, 200, now - attempt.started, now)
                exchange.at_end(partial(self._over, server))
                return upstream

    def _over(self, server: Server, outcome: Outcome) -> None:
        self._ended(server)

    def _ended(self, server: Server) -> None:
        self._live.group.ended(server)
        if self._live.line:
            self._live.line.wake()


def as_relayed(origin: Origin) -> Origin:
    """A server as a relay connects to it: in TLS or without, whatever is spoken inside."""
    return origin._replace(scheme={"http": "tcp", "https": "tls"}.get(origin.scheme, origin.scheme))


def _name(server: Origin) -> str:
    return str(server).removeprefix("tcp://")

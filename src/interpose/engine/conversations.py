"""Conversations: connections that a role below HTTP serves (echo, upper, relay, SOCKS), and the census of them.

A role is a `Serve`: it attaches a receiver to the conversation's stream, or runs a coroutine on it, and returns at
once. What every role needs happens here: who may connect, an exchange that is finished exactly once and has its line
in the log, the idle deadline, the end of a drain.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.networks import Networks
from interpose.core.stream import Stream
from interpose.engine.pace import Pace


class Conversation:
    """One connection. A role adds to `bytes_in` what it received; a tunnel that takes over counts by itself.

    `idle_timeout_s` None: somebody else keeps time (a tunnel does). `answers_at_once` says that nothing is left to do
    once all is sent, so that a drain need not wait for the client; `may_leave` is asked where that changes.
    """

    __slots__ = (
        "_pace", "_server", "answers_at_once", "bytes_in", "exchange", "failure", "idle_timeout_s", "may_leave",
        "stream",
    )  # fmt: skip

    def __init__(self, server: ConversationServer, stream: Stream, exchange: Exchange) -> None:
        self._server = server
        self._pace: Pace | None = None
        self.stream = stream
        self.exchange = exchange
        self.bytes_in = 0
        self.failure: Failure | None = None
        self.idle_timeout_s: float | None = server.idle_timeout_s
        self.answers_at_once = False
        self.may_leave: Callable[[], bool] | None = None

    def fail(self, failure: Failure) -> None:
        """Break off, and have the log say why."""
        if self.failure is None:
            self.failure = failure
        self.stream.abort()

    def refuse(self, rule: str, why: str, *, by: str) -> None:
        """Break off because `rule` of `by` says so; leaves the note that a refusal owes."""
        self.exchange.refused_by(by, rule, why)
        self.fail(Failure("http_request_denied", Side.DOWNSTREAM, why))

    @property
    def is_busy(self) -> bool:
        """Whether there is more to do than wait for the client."""
        is_done = self.answers_at_once if self.may_leave is None else self.may_leave()
        return not is_done or self.stream.unsent_bytes > 0

    def tick(self, now: float) -> None:
        """Judge the deadlines: for saying something, and, much shorter, for taking what we have for the client."""
        if self.idle_timeout_s is None or self.exchange.is_waiting:
            return
        unsent = self.stream.unsent_bytes
        count = self.bytes_in + self.stream.written_bytes - unsent
        timeout_s = min(self.idle_timeout_s, self._server.write_timeout_s) if unsent else self.idle_timeout_s
        if self._pace is None:
            self._pace = Pace(now, count)
        elif complaint := self._pace.complaint(now, count, timeout_s, 0):
            kind = "connection_write_timeout" if unsent else "connection_read_timeout"
            self.fail(Failure(kind, Side.DOWNSTREAM, f"In this conversation {complaint}."))

    def close_if_idle(self) -> bool:
        """Close when nothing is left to do."""
        if self.is_busy:
            return False
        self.stream.close()
        return True

    def lost(self, failure: Failure | None) -> None:
        """(the stream) The connection is gone."""
        self._server.ended(self, failure)


Serve = Callable[[Conversation], None]
"""A role below HTTP. It raises nothing: what goes wrong is told with `Conversation.fail`."""


class ConversationServer:
    """Serves every stream it is called with. A reload swaps `serve` and the other plain attributes in place.

    `allow_from` empty: everybody who can connect. `observe` hears of each exchange when it begins, `turned_away` of
    those that are refused before they are served, and why.
    """

    def __init__(
        self, name: str, serve: Serve, worker: int, idle_timeout_s: float, numbers: Iterator[int] | None = None
    ) -> None:
        self.name = name
        self.serve = serve
        self.worker = worker
        self.numbers = numbers or itertools.count(1)
        self.idle_timeout_s = idle_timeout_s
        self.write_timeout_s = 30.0
        self.allow_from = Networks(())
        self.observe: Callable[[Exchange], None] | None = None
        self.turned_away: Callable[[Exchange, str], None] | None = None
        self.loop = asyncio.get_running_loop()
        self.connections: set[Conversation] = set()
        self.is_draining = False
        self.accepted = 0
        self.exchanges = 0
        self.failures = 0

    def __call__(self, stream: Stream) -> None:
        """Serve one stream (a `StreamHandler`)."""
        self.accepted += 1
        self.exchanges += 1
        info = stream.info
        exchange = Exchange(next(self.numbers), self.worker, self.name, info.peer, self.loop.time(), "tcp")
        exchange.tls = info.tls
        exchange.local = info.local
        exchange.asked = "TCP"
        if self.observe is not None:
            self.observe(exchange)
        conversation = Conversation(self, stream, exchange)
        self.connections.add(conversation)
        stream.when_lost(conversation.lost)
        host, port = info.peer
        # A Unix socket has no address: the permissions of its file have decided already.
        if self.allow_from and port != 0 and host not in self.allow_from:
            why = f"{host} is in none of the networks that this listener serves."
            if self.turned_away is not None:
                self.turned_away(exchange, why)
            conversation.refuse("allow_from", why, by="allow")
            return
        self.serve(conversation)

    def ended(self, conversation: Conversation, failure: Failure | None) -> None:
        """(conversation) Its stream is gone: finish the exchange."""
        self.connections.discard(conversation)
        exchange = conversation.exchange
        exchange.notes.setdefault("bytes_in", str(conversation.bytes_in))
        if conversation.failure is not None:
            failure = conversation.failure
        elif failure is not None:
            failure = Failure(
                "connection_terminated", Side.DOWNSTREAM, "The client broke the connection off.", status=0
            )
        elif exchange.attempts:
            failure = exchange.attempts[-1].failure
        if failure is not None:
            self.failures += 1
        stream = conversation.stream
        sent = exchange.bytes_out or stream.written_bytes
        exchange.finish(Outcome(200 if failure is None else failure.status, sent, failure, self.loop.time()))

    def tick(self, now: float) -> None:
        """Once a second: deadlines."""
        for conversation in list(self.connections):
            conversation.tick(now)

    def close_idle(self) -> int:
        """Close the conversations in which nothing is left to do, and say how many there were."""
        return sum([conversation.close_if_idle() for conversation in list(self.connections)])

    def shed(self) -> int:
        """(memory is short) None: every conversation may be in the middle of something."""
        return 0

    def cut(self) -> None:
        """Break off every conversation."""
        for conversation in list(self.connections):
            conversation.stream.abort()

    @property
    def running_exchanges(self) -> int:
        """Conversations that have not ended."""
        return len(self.connections)

"""Makes every sampled exchange a span of its trace, and every try upstream one below it.

    client's span ── exchange (server) ── try upstream (client) ── the server's own

A `traceparent` that came says which trace it is, whose child the exchange is, and whether the trace is recorded; where
none came one begins, recorded for a share of requests by its id. What goes upstream names the span of the try, so that
the server's spans hang below it. The last try has the name that was sent; those that failed before it get others.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.span import CLIENT, SERVER, Span, Value
from interpose.protocol.trace_context import Parent, begun, parent_of

_SHARES = 1 << 56
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))


class Spans:
    """The filter (phase OBSERVE). `tell` gets the spans of an exchange when it ends, and must return at once.

    `share` of the traces that begin here are recorded; those that came, as they say. `random` gives so many random
    octets, `wall` nanoseconds since 1970.
    """

    def __init__(
        self,
        tell: Callable[[list[Span]], object],
        *,
        share: float,
        random: Callable[[int], bytes] = os.urandom,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tell = tell
        self._limit = share * _SHARES
        self._random = random
        self._wall = wall
        self._clock = asyncio.get_running_loop().time

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        fields = request.fields
        parent = parent_of(fields.every(b"traceparent"))
        came_from = "" if parent is None else parent.span
        if parent is None:
            fields.remove("tracestate")  # it belongs to a trace that could not be read (Trace Context, 3.3.1)
            parent = begun(self._random)
            if int.from_bytes(bytes.fromhex(parent.trace[-14:]), "big") >= self._limit:
                parent = parent._replace(is_sampled=False)
                fields.set("traceparent", parent.field())
        notes = exchange.notes
        notes["trace"] = parent.trace
        if not parent.is_sampled:
            notes["span"] = parent.span
            return forward(exchange, request)
        ids = self._random(16).hex()
        here, there = ids[:16], ids[16:]
        notes["span"] = here
        fields.set("traceparent", Parent(parent.trace, there).field())
        asked = Asked(request, fields.get("tracestate") or "")
        exchange.at_end(partial(self._ended, exchange, asked, parent._replace(span=came_from), here, there))
        return forward(exchange, request)

    def _ended(self, exchange: Exchange, asked: Asked, parent: Parent, here: str, there: str, outcome: Outcome) -> None:
        now_ns = self._wall()
        # Attempts and exchanges are timed by the monotonic clock: what it says of their ends is set against the wall's.
        offset_ns = now_ns - nanoseconds(self._clock())
        spans = [self._of_exchange(exchange, asked, parent, here, outcome, offset_ns)]
        for number, attempt in enumerate(exchange.attempts):
            is_last = number == len(exchange.attempts) - 1
            name = there if is_last else self._random(8).hex()
            ended = exchange.attempts[number + 1].started if not is_last else outcome.ended
            spans.append(_of_attempt(attempt, number, asked, parent.trace, name, here, ended, offset_ns))
        self._tell(spans)

    def _of_exchange(
        self, exchange: Exchange, asked: Asked, parent: Parent, here: str, outcome: Outcome, offset_ns: int
    ) -> Span:
        attributes = asked.attributes()
        attributes["client.address"] = exchange.client.host
        attributes["network.protocol.version"] = asked.version
        if exchange.route:
            attributes["http.route"] = exchange.route
        if asked.agent:
            attributes["user_agent.original"] = asked.agent
        if outcome.status:
            attributes["http.response.status_code"] = outcome.status
        failure = outcome.failure
        if failure is not None or outcome.status >= 500:
            attributes["error.type"] = failure.kind if failure is not None else str(outcome.status)
        return Span(
            parent.trace,
            here,
            parent.span,
            f"{asked.method} {exchange.route}" if exchange.route else asked.method,
            SERVER,
            nanoseconds(exchange.started) + offset_ns,
            nanoseconds(outcome.ended) + offset_ns,
            attributes,
            is_error=outcome.status >= 500 or (failure is not None and not outcome.status),
            state=asked.state,
        )


class Asked:
    """What a request was, before filters may change it."""

    __slots__ = ("agent", "method", "scheme", "state", "target", "version")

    def __init__(self, request: Request, state: str) -> None:
        self.method = request.method if request.method in _METHODS else "_OTHER"
        self.target = request.target
        self.scheme = request.target.scheme
        self.version = f"1.{request.version}"
        self.agent = request.fields.get("user-agent") or ""
        self.state = state

    def attributes(self) -> dict[str, Value]:
        """What is said of it in a span. The query is left out: it may hold secrets."""
        authority = self.target.authority
        said: dict[str, Value] = {"http.request.method": self.method, "url.scheme": self.scheme}
        if self.target.path:
            said["url.path"] = self.target.path
        said["server.address"] = authority.host
        if authority.port is not None:
            said["server.port"] = authority.port
        return said


def nanoseconds(seconds: float) -> int:
    """The same time, in whole nanoseconds."""
    return round(seconds * 1e9)


def _of_attempt(
    attempt: Attempt, number: int, asked: Asked, trace: str, name: str, parent: str, ended: float, offset_ns: int
) -> Span:
    origin = attempt.origin
    attributes: dict[str, Value] = {
        "http.request.method": asked.method,
        "server.address": origin.host,
        "server.port": origin.port,
        "url.full": f"{origin.scheme}://{origin.authority}{asked.target.path}",
    }
    if attempt.peer is not None:
        attributes["network.peer.address"], attributes["network.peer.port"] = attempt.peer
    if number:
        attributes["http.request.resend_count"] = number
    if attempt.status:
        attributes["http.response.status_code"] = attempt.status
    is_error = attempt.failure is not None or attempt.status >= 400
    if is_error:
        attributes["error.type"] = attempt.failure.kind if attempt.failure is not None else str(attempt.status)
    return Span(
        trace,
        name,
        parent,
        asked.method,
        CLIENT,
        nanoseconds(attempt.started) + offset_ns,
        nanoseconds(ended) + offset_ns,
        attributes,
        is_error=is_error,
        state=asked.state,
    )

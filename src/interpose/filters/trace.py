"""Notes which trace a request belongs to, and begins one where it belongs to none.

Interpose is no span of its own: a `traceparent` that came is passed on as it is, `tracestate` with it, and whoever is
behind takes the client's span for its parent. A trace that is begun here has a span that only its number is known of.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from interpose.core.exchange import Exchange
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.protocol.trace_context import begun, parent_of


class Trace:
    """The filter (phase OBSERVE). `random` gives so many random octets."""

    def __init__(self, *, start: bool, random: Callable[[int], bytes] = os.urandom) -> None:
        self._start = start
        self._random = random

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. What is not valid is no trace: it passes, unless a trace is begun instead."""
        parent = parent_of(request.fields.every(b"traceparent"))
        if parent is None and self._start:
            parent = begun(self._random)
            request.fields.remove("tracestate")  # it belongs to a trace that could not be read (Trace Context, 3.3.1)
            request.fields.set("traceparent", parent.field())
        if parent is not None:
            exchange.notes["trace"] = parent.trace
            exchange.notes["span"] = parent.span
        return forward(exchange, request)

"""Says in `Server-Timing` how long an answer took until its head was there, in all and upstream (W3C Server Timing).

    Server-Timing: interpose;dur=12, upstream;dur=11

Milliseconds, because the loop's clock counts no finer. A browser shows it among the times of a request. What the server
behind says in such a field of its own stays.
"""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.exchange import Exchange
from interpose.core.handler import Handler
from interpose.core.message import Request, Response


class ServerTiming:
    """The filter (phase OBSERVE, its innermost). `clock` is the one that exchanges are timed by.

    Answers that stand for a failure are made by the server, around all filters, and say nothing of times.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`. The times upstream of all attempts are one: what was waited for."""
        response = await forward(exchange, request)
        now = self._clock()
        value = f"interpose;dur={_milliseconds(now - exchange.started)}"
        if exchange.attempts:
            waited_s = sum((one.first_byte or one.connected or one.started) - one.started for one in exchange.attempts)
            value += f", upstream;dur={_milliseconds(waited_s)}"
        response.fields.add("Server-Timing", value)
        return response


def _milliseconds(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.0f}"

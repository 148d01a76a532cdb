"""Makes servers look slow, or one of them: waits before each request goes on.

    interpose proxy --script examples/scripts/slow_down.py

    [[script]]
    file = "slow_down.py"
    options = { host = "api.example", delay_s = 2.0 }

`exchange.waiting` tells the proxy that the wait is meant, so that no deadline of its own ends it.
"""

import asyncio
from dataclasses import dataclass

import interpose
from interpose import Exchange, Handler, Request, Response


@dataclass
class Options:
    host: str = ""
    """Only requests for this one; empty: all."""
    delay_s: float = 0.5


options = interpose.options(Options)


@interpose.filter
async def slow_down(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if options.host in ("", request.target.authority.host):
        async with exchange.waiting(f"slowed down by {options.delay_s} s"):
            await asyncio.sleep(options.delay_s)
    return await forward(exchange, request)

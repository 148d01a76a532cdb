"""Makes every server look slow: waits before each request goes on.

    interpose proxy --script examples/scripts/slow_down.py

`exchange.waiting` tells the proxy that the wait is meant, so that no deadline of its own ends it.
"""

import asyncio

import interpose

DELAY_S = 0.5


@interpose.filter
async def slow_down(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    async with exchange.waiting(f"slowed down by {DELAY_S} s"):
        await asyncio.sleep(DELAY_S)
    return await forward(exchange, request)

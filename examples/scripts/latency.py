"""Makes answers as slow as those of a service in the open: most quick, some slow, few very slow.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/latency.py

Between the points of the table a delay is drawn evenly. `[[listener.faults]]` does simpler things without Python.
"""

import asyncio
import bisect
import random

import interpose
from interpose import Exchange, Handler, Request, Response

# (share of the answers, that take at most so many seconds)
PERCENTILES = ((0.0, 0.0), (0.5, 0.02), (0.95, 0.2), (0.99, 1.0), (1.0, 3.0))


def delay_s(share: float) -> float:
    place = min(bisect.bisect_right(PERCENTILES, (share, float("inf"))), len(PERCENTILES) - 1)
    (low, least), (high, most) = PERCENTILES[place - 1], PERCENTILES[place]
    return least + (most - least) * (share - low) / (high - low)


@interpose.filter
async def latency(exchange: Exchange, request: Request, forward: Handler) -> Response:
    response = await forward(exchange, request)
    async with exchange.waiting("latency"):
        await asyncio.sleep(delay_s(random.random()))
    return response

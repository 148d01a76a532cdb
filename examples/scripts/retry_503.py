"""Asks again, with growing pauses, when a server says that it is busy.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/retry_503.py

Only what may be sent twice is: the methods that change nothing, and of those what has no content.
"""

import asyncio

import interpose
from interpose import Exchange, Handler, Request, Response

PAUSES_S = (0.1, 0.4, 1.6)


@interpose.filter(phase=interpose.Phase.SELECT)
async def retry(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if request.method not in ("GET", "HEAD") or request.body.length != 0:
        return await forward(exchange, request)
    for pause_s in PAUSES_S:
        response = await forward(exchange, request.copy())
        if response.status != 503:
            return response
        response.body.close()
        async with exchange.waiting(f"the server is busy; again in {pause_s} s"):
            await asyncio.sleep(pause_s)
    return await forward(exchange, request)

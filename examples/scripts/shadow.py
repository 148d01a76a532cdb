"""Asks a second server the same, and notes in the log where answers differ.

    [[script]]
    file = "shadow.py"
    options = { host = "next.example" }

For a proxy, where `forward` goes to whichever host a request names.
"""

import asyncio
from dataclasses import dataclass

import interpose
from interpose import Authority, Exchange, Handler, Request, Response


@dataclass
class Options:
    host: str
    port: int | None = None


options = interpose.options(Options)


@interpose.filter
async def shadow(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if request.method != "GET":
        return await forward(exchange, request)
    copy = request.copy()
    copy.target = copy.target._replace(authority=Authority(options.host, options.port))
    asked = forward(exchange, request), forward(exchange, copy)
    response, second = await asyncio.gather(*asked, return_exceptions=True)
    if isinstance(response, BaseException):
        raise response
    if isinstance(second, BaseException):
        exchange.notes["shadow"] = str(second)
    elif second.status != response.status:
        exchange.notes["shadow"] = f"{second.status} instead of {response.status}"
    return response

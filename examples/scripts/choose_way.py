"""Sends requests through one of several upstream proxies: always the same one for a user.

[[upstream_proxy]]
name = "north"
servers = ["socks5://198.51.100.7:1080"]

[[script]]
file = "choose_way.py"
options = { ways = ["north", "direct"] }
"""

from dataclasses import dataclass, field
from zlib import crc32

import interpose
from interpose import Exchange, Handler, Request, Response


@dataclass
class Options:
    ways: list[str] = field(default_factory=lambda: ["direct"])


options = interpose.options(Options)


@interpose.filter
async def choose_way(exchange: Exchange, request: Request, forward: Handler) -> Response:
    who = exchange.user or exchange.client.host
    exchange.through = options.ways[crc32(who.encode()) % len(options.ways)]
    return await forward(exchange, request)

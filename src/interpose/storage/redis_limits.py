"""Rates that all machines share, in Redis: the same arithmetic as `core.limit_book`, as one atomic step in the server.

What is stored for each key is one number, the server's own time until which its allowance is used up, and it is
gone by itself when that has passed. Names are hashed with the secret that the machines share, so that nobody reads
from them who was here, and no key of a client's making can be somebody else's. What is no number, or lies further in
the future than the allowance reaches (a server whose clock was put back), counts as used up and no more than that.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable
from typing import Any

from interpose.core.limit_book import Terms, Verdict
from interpose.storage.redis_link import Away, LinkOptions, RedisLink, Refused

_NAME_BYTES = 16

TAKE = """
local interval, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local used = (tonumber(redis.call('GET', KEYS[1]) or '') or now) - now
if used ~= used or used < 0 then used = 0 end
if used > most then used = most end
local over = used - (most - interval)
if over > 0.000001 then return {0, tostring(over), tostring(used)} end
used = used + interval
redis.call('SET', KEYS[1], string.format('%.6f', now + used), 'PX', math.ceil(used * 1000) + 1)
return {1, '0', tostring(used)}
"""
"""ARGV: seconds for each request, and seconds of the whole burst. Answers whether it may come, seconds until it may,
and seconds that are used up."""


class RedisRates:
    """See the module. `space` tells apart what machines with the same secret do not share."""

    def __init__(self, options: LinkOptions, secret: bytes, space: str) -> None:
        self.link = RedisLink(options, _nothing)
        derived = hmac.digest(secret, b"interpose limits\0" + space.encode(), "sha256")
        self._name_key = derived
        self._root = f"interpose:{derived[:8].hex()}:l:"

    def take(self, name: str, key: str, terms: Terms) -> Awaitable[Verdict | None]:
        """What all machines together say to one more; None when the server is away."""
        self.link.begin()
        if self.link.is_away:
            return _away()
        # The client's deadlines need a task, which an exchange is not (`engine.run`).
        return asyncio.get_running_loop().create_task(self._take(name, key, terms))

    async def _take(self, name: str, key: str, terms: Terms) -> Verdict | None:
        interval = 1 / terms.requests_per_s

        async def ask(client: Any) -> Any:
            script = client.register_script(TAKE)
            answer = await script(keys=[self.name(name, key)], args=[repr(interval), repr(interval * terms.burst)])
            may_come, retry_s, used = answer
            return int(may_come), float(retry_s), float(used)

        try:
            may_come, retry_s, used = await self.link.ask(ask)
        except (Away, Refused):
            return None
        left = max(0, int((interval * terms.burst - used) / interval + 1e-6))
        return Verdict("" if may_come else "requests", retry_s, left, used)

    def name(self, name: str, key: str) -> str:
        """The key in Redis of what one limit counts for one key."""
        told_apart = f"{len(name)} {name} {key}".encode("utf-8", "surrogateescape")
        return self._root + hashlib.blake2b(told_apart, digest_size=_NAME_BYTES, key=self._name_key).hexdigest()

    async def close(self) -> None:
        """End what runs, and all connections."""
        await self.link.close()


async def _away() -> None:
    """What is said without asking."""


async def _nothing() -> None:
    """Nothing is owed to a server that has come back."""

"""(in a worker) What all limits share: the timer of paced content, the way to the supervisor, the ways to Redis."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING

from interpose.config.model import LimitRedis
from interpose.config.redis_url import secret_of
from interpose.core.pacing import Pacer
from interpose.engine.calls import Calls
from interpose.engine.limit_link import LimitLink

if TYPE_CHECKING:
    from interpose.storage.redis_limits import RedisRates


class LimitMeans:
    """See the module. Outlives reloads."""

    def __init__(self, calls: Calls) -> None:
        self.pacer = Pacer(asyncio.get_running_loop())
        self.link = LimitLink(calls, f"{os.getpid()}.{secrets.token_hex(8)}")
        self._rates: dict[LimitRedis, RedisRates] = {}

    def rates(self, redis: LimitRedis) -> RedisRates:
        """What counts in that Redis. ValueError, a sentence, when its key cannot be read."""
        from interpose.storage.redis_limits import RedisRates
        from interpose.storage.redis_link import LinkOptions

        if redis not in self._rates:
            timeouts = (redis.connect_timeout_s, redis.timeout_s)
            says = ("the limits' server", "each worker keeps its share")
            options = LinkOptions(redis.url, *timeouts, redis.max_connections, *says)
            self._rates[redis] = RedisRates(options, secret_of(redis.url, redis.key_file), "limits")
        return self._rates[redis]

    async def close(self) -> None:
        """Let go of all of it."""
        self.pacer.close()
        await self.link.close()
        for rates in self._rates.values():
            await rates.close()

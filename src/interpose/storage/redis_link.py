"""The way to a Redis or Valkey: bounded in time, in connections and in what it may cost when it is not there.

    NEAR     commands go through. A connection that breaks, an answer that makes no sense and a refusal that is about
             all of it (no permission, a replica, still loading) lead to AWAY at once; SLOW_IN_A_ROW late ones do, too
    AWAY     nothing is asked, which costs nothing; one task tries to come back, at first soon, then every few seconds,
             with jitter. What was owed is done first (`coming_back`); only then it is NEAR again

Nothing here retries a command: who asks has an origin to go to. One warning a minute says why it is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ResponseError, TimeoutError

from interpose.storage.redis_place import place_of

log = logging.getLogger("interpose")

SLOW_IN_A_ROW = 3
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
COMPLAIN_S = 60.0

T = TypeVar("T")
Ask = Callable[["Redis"], Awaitable[T]]


class Away(Exception):
    """It is not there, or not in time."""


class Refused(Exception):
    """It does not do this one thing: another kind of value is under this name."""


class NoRoom(Refused):
    """It has no room."""


class LinkOptions(NamedTuple):
    """`url` is `redis://`, `rediss://` or `unix://`, with user, password and database. The seconds are for one
    connection and one command."""

    url: str
    connect_timeout_s: float = 0.02
    timeout_s: float = 0.05
    connections: int = 8
    whose: str = "the cache's server"
    without: str = "the cache works without it"
    """What a warning calls the server, and says of what goes on without it."""


class RedisLink:
    """See the module. `coming_back` is awaited before it is NEAR; Away or Refused from it begin another pause."""

    def __init__(
        self, options: LinkOptions, coming_back: Callable[[], Awaitable[None]], lot: random.Random | None = None
    ) -> None:
        self.options = options
        self.place = place_of(options.url)
        self.is_away = True  # until somebody has been there
        self.is_returning = False
        """Whether it may be asked although it is away: that is how one finds out that it is not."""
        self.failures = self.times_away = 0
        self._coming_back = coming_back
        self._lot = lot or random.Random()
        self._turns = asyncio.Semaphore(options.connections)
        self._client = self.client(options.timeout_s, options.connections + 2)
        self._slow = 0
        self._next_complaint = 0.0
        self._has_begun = False
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def client(self, timeout_s: float, connections: int) -> Redis:
        """A client of its own for something with another patience."""
        pool = ConnectionPool.from_url(
            self.options.url,
            max_connections=connections,
            socket_timeout=timeout_s,
            socket_connect_timeout=self.options.connect_timeout_s,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            protocol=2,
            decode_responses=False,
            health_check_interval=0,
            driver_info=None,
        )
        return Redis.from_pool(pool)

    def begin(self) -> None:
        """Go there, if nobody has yet. (Called on the loop whose worker has the link.)"""
        if not self._has_begun:
            self._has_begun = True
            self._task = asyncio.get_running_loop().create_task(self._return(0.0))

    async def tried(self) -> None:
        """Return when it is known for the first time whether it is there."""
        await self._tried.wait()

    async def ask(self, command: Ask[T]) -> T:
        """The answer to a command. Raises Away and Refused."""
        if self.is_away and not self.is_returning:
            raise Away
        async with self._turns:
            if self.is_away and not self.is_returning:
                raise Away
            try:
                answer = await command(self._client)
            except OutOfMemoryError as error:
                raise NoRoom(str(error)) from error
            except TimeoutError as error:
                self._slow += 1
                if self._slow >= SLOW_IN_A_ROW:
                    self.lost(error)
                raise Away from error
            except Exception as error:  # a parser that is given garbage may raise anything
                if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
                    raise Refused(str(error)) from error
                self.lost(error)
                raise Away from error
        self._slow = 0
        return answer

    def lost(self, error: BaseException) -> None:
        """It is away, and why."""
        self.failures += 1
        if self.is_away:
            return
        self.is_away = True
        self.times_away += 1
        self._complain(error)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._return(FIRST_PAUSE_S))

    async def _return(self, pause: float) -> None:
        """Try until it is there."""
        while True:
            await asyncio.sleep(pause * self._lot.uniform(0.5, 1.0))
            pause = min(max(pause * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self.is_returning = True
            try:
                await self._client.connection_pool.disconnect(inuse_connections=False)
                await self.ask(_ping)
                await self._coming_back()
            except Exception as error:
                self._complain(error.__cause__ or error)
                self._tried.set()
                continue
            finally:
                self.is_returning = False
            if self.times_away:
                log.info("%s at %s is there again", self.options.whose, self.place)
            self._slow = 0
            self.is_away = False
            self._tried.set()
            return

    def _complain(self, error: BaseException) -> None:
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_S
            whose, without = self.options.whose, self.options.without
            log.warning("%s at %s is away, and %s: %s", whose, self.place, without, _in_words(error))

    async def close(self) -> None:
        """End what runs, and all connections."""
        self.is_away = True
        self._tried.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._client.aclose(close_connection_pool=True)


async def _ping(client: Any) -> None:
    if await client.ping() is not True:
        raise ValueError("it does not answer a PING")


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

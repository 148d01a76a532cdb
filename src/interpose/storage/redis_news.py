"""What nodes tell each other through Redis: what has changed, so that nobody goes on serving a copy of the old.

It is a stream of bounded length and no publish/subscribe channel, because that loses what is said while a node is away.
A node reads on where it has stopped. When too much was said meanwhile, or nobody knows, everything may have changed.
Announcements are sealed, like records; what is not sealed right was not said.

    key TEXT       what is stored under this key is another now
    purge TEXT     what a pattern means was removed; `expire TEXT`: was made stale
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from interpose.protocol.number import decimal
from interpose.storage.redis_link import RedisLink
from interpose.storage.redis_record import Names, heard_in
from interpose.storage.redis_scripts import NEWS_LENGTH

WAIT_S = 1.0
AT_ONCE = 256
_FIELD = b"m"

Hear = Callable[[str, bytes], None]
"""A kind (`key`, `purge`, `expire`) and its text; `all` when everything may have changed."""


class RedisNews:
    """Reads what is said, while the link is NEAR. Call `catch_up` before it is."""

    def __init__(self, link: RedisLink, names: Names, hear: Hear) -> None:
        self._link = link
        self._names = names
        self._hear = hear
        self._stream = names.root + "news"
        self._last: bytes | None = None
        self._client = link.client(WAIT_S + link.options.timeout_s, 2)
        self._task: asyncio.Task[None] | None = None

    async def catch_up(self) -> None:
        """Hear what was said since this node heard something last. Raises Away and Refused."""
        first, last, length = await self._link.ask(self._ends)
        if self._last is None:
            self._last = last
        elif _order(self._last) > _order(last):  # the server has lost its memory, and with it all that it kept
            self._last = b"0-0"
        elif _is_gap(self._last, first, length):
            self._last = last
            self._hear("all", b"")
        while await self._link.ask(self._next):
            pass

    def begin(self) -> None:
        """Listen from now on."""
        if self._task is not None:
            self._task.cancel()  # it may still wait, or be about to end
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._client.aclose(close_connection_pool=True)

    async def _listen(self) -> None:
        while not self._link.is_away:
            try:
                await self._next(self._client, int(WAIT_S * 1000))
            except Exception as error:  # who does not hear what changes must not believe what it has read
                self._link.lost(error)
        with contextlib.suppress(Exception):  # it was broken already
            await self._client.connection_pool.disconnect()

    async def _ends(self, client: Any) -> tuple[bytes, bytes, int]:
        first = await client.xrange(self._stream, count=1)
        last = await client.xrevrange(self._stream, count=1)
        length = await client.xlen(self._stream)
        return (first[0][0], last[0][0], length) if first and last else (b"0-0", b"0-0", 0)

    async def _next(self, client: Any, wait_ms: int | None = None) -> bool:
        """Hear what comes next; whether there was something."""
        answer = await client.xread({self._stream: self._last or b"0-0"}, count=AT_ONCE, block=wait_ms)
        if not answer:
            return False
        before, said = self._last or b"0-0", answer[0][1]
        for place, fields in said:
            self._last = place
            heard = heard_in(self._names, (fields or {}).get(_FIELD, b""))
            if heard is not None:
                self._hear(*heard)
        if len(said) == AT_ONCE:  # others are quicker: some of it may have been dropped before it was read
            first, _, length = await self._ends(client)
            if _is_gap(before, first, length):
                self._hear("all", b"")
        return True


def _is_gap(last: bytes, first: bytes, length: int) -> bool:
    """Whether announcements between `last`, which was heard, and `first`, which is there, were dropped."""
    return length >= NEWS_LENGTH and _order(first) > _order(last)


def _order(place: bytes) -> tuple[int, int]:
    """A place in the stream as something that can be compared."""
    time, _, number = place.partition(b"-")
    return decimal(time) or 0, decimal(number) or 0

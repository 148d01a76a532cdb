"""A copy of requests for another end, whose answers nobody sees: to try a new version on what users really send."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.tapped_body import Tap

log = logging.getLogger("interpose")

MOST_RUNNING = 100
"""Copies of one upstream that a worker has under way, those still being written down included; while there are so many
no more are made."""

LONGEST_S = 60.0
"""How long the answer to a copy is listened to: one that never ends would keep its place from all others."""

MARK = "Interpose-Mirrored"


class Copies:
    """The copies of one upstream that are under way, whichever routes lead there. `close` at the end."""

    def __init__(self) -> None:
        self._writing = 0
        self._running: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more may be made."""
        return self._writing + len(self._running) < MOST_RUNNING

    def write(self, more: int) -> None:
        """One more is being written down, or one fewer."""
        self._writing += more

    def run(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send one, and wait for nothing."""
        task = asyncio.get_running_loop().create_task(sending)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Break off what is under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class Mirror:
    """(an end handler) Forwards to `main`, and sends a copy of a `share` of the requests to `other`.

    The copy never delays or fails the request: content in memory is copied at once, what streams is written down on
    its way, and sent when all of it has passed. Above `max_body_bytes` there is no copy.
    """

    def __init__(
        self,
        main: Handler,
        other: Handler,
        copies: Copies,
        *,
        share: float,
        max_body_bytes: int,
        random: Callable[[], float],
    ) -> None:
        self._main = main
        self._other = other
        self._copies = copies
        self._share = share
        self._most = max_body_bytes
        self._random = random
        self._loop = asyncio.get_running_loop()

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        if request.upgrade is None and self._random() < self._share:
            self._copy(exchange, request)
        return self._main(exchange, request)

    def _copy(self, exchange: Exchange, request: Request) -> None:
        body = request.body
        if not self._copies.has_room or (body.length or 0) > self._most or body.failure is not None:
            return
        if body.is_complete:
            if len(body.arrived) <= self._most:
                self._begin(exchange, request.copy())
            return
        tap = Tap(body, self._most, self._loop)
        request.body = Body()
        copied = request.copy()
        request.body = tap.body
        self._copies.write(1)
        exchange.at_end(partial(self._passed, exchange, copied, tap))

    def _passed(self, exchange: Exchange, copied: Request, tap: Tap, outcome: Outcome) -> None:
        """The request is over: its content is whole, or there is no copy."""
        self._copies.write(-1)
        if tap.is_whole and tap.size <= self._most:
            copied.body = Body(tap.kept)
            self._begin(exchange, copied)

    def _begin(self, exchange: Exchange, copied: Request) -> None:
        copied.expects_continue = False
        copied.fields.set(MARK, "1")
        self._copies.run(self._send(exchange, copied))

    async def _send(self, exchange: Exchange, copied: Request) -> None:
        now = self._loop.time()
        mirrored = Exchange(exchange.number, exchange.worker, exchange.listener, exchange.client, now, exchange.scheme)
        mirrored.parent = exchange
        failure: Failure | None = None
        status = 0
        response: Response | None = None
        try:
            async with asyncio.timeout(LONGEST_S):
                response = await self._other(mirrored, copied)
                status = response.status
                while await response.body.next_chunk():
                    pass
        except (Failure, TimeoutError) as error:
            failure = error if isinstance(error, Failure) else None
            log.debug("a copy of %s came to nothing: %s", exchange.id, error)
        except Exception:
            log.exception("a copy of %s", exchange.id)
        finally:
            if response is not None:
                response.body.close()
            mirrored.finish(Outcome(status, 0, failure, self._loop.time()))

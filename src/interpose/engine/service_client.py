"""Asking a service of the operator's own: the whole answer to one request, within a time.

It is for what filters have to know before they decide: keys, verdicts. Its connections are kept like those of any
upstream. A filter may run outside a task (see `engine.run`), so what has a deadline gets a task of its own here.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import UNKNOWN
from interpose.core.target import Target
from interpose.engine.client import UpstreamClient

MOST_BYTES = 1 << 20


class Said(NamedTuple):
    """An answer."""

    status: int
    fields: Fields
    content: bytes


class ServiceClient:
    """Asks what is at `target`. Without a client (where a configuration is only looked at) nobody is there."""

    def __init__(self, client: UpstreamClient | None, target: Target, timeout_s: float) -> None:
        self._client = client
        self._target = target
        self._timeout_s = timeout_s
        self._asking: set[asyncio.Task[Said]] = set()

    async def ask(self, fields: Fields, content: bytes | None = None) -> Said:
        """What it answers to a GET with these fields, or to a POST with `content`. `Failure` when it does not, in time
        and in full."""
        asking = asyncio.ensure_future(self._ask(fields, content))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        try:
            return await asking
        except asyncio.CancelledError:
            asking.cancel()
            raise

    async def end(self) -> None:
        """Break off what is being asked."""
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, fields: Fields, content: bytes | None) -> Said:
        if self._client is None:
            raise Failure("destination_unavailable", Side.INTERNAL, f"{self._target.origin} cannot be asked from here.")
        clock = asyncio.get_running_loop().time
        exchange = Exchange(0, 0, "service", UNKNOWN, clock(), self._target.scheme)
        request = Request("GET", self._target, fields)
        if content is not None:
            request = Request("POST", self._target, fields, Body(content))
        failure: Failure | None = None
        response: Response | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.send(exchange, request, self._target.origin)
                return Said(response.status, response.fields, await response.body.read(MOST_BYTES))
        except Failure as error:
            failure = error
            if error.side is Side.DOWNSTREAM:  # the reader's word for too much
                detail = f"{self._target.origin} answered with more than {MOST_BYTES} bytes."
                failure = Failure("http_response_body_size", Side.UPSTREAM, detail)
            raise failure from None
        except TimeoutError:
            detail = f"{self._target.origin} did not answer within {self._timeout_s:g} s."
            failure = Failure("http_response_timeout", Side.UPSTREAM, detail)
            raise failure from None
        finally:
            if response is not None:
                response.body.close()
            exchange.finish(Outcome(response.status if response is not None else 0, 0, failure, clock()))

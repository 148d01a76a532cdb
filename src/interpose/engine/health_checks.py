"""Asking servers how they are, whether or not anybody else asks them anything.

Each worker asks for itself: it has to know whether *it* can reach a server, and there is nobody whose end would leave
all of them blind. So a server is asked once for each worker in an interval.
"""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import Literal, NamedTuple

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.stream import UNKNOWN
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.client import Dial, UpstreamClient
from interpose.upstream.group import Group
from interpose.upstream.server import Server

log = logging.getLogger("interpose")

JITTER = 0.2
"""The part of an interval that is left to chance, so that checks do not come all at once."""

MOST_BYTES = 65536
"""Content of an answer that is read, so that its connection can be kept; the rest is not waited for."""


class CheckOptions(NamedTuple):
    """What to ask, how often, and what to make of it: see `config.upstream_model.Check`."""

    kind: Literal["http", "tcp"]
    path: str
    interval_s: float
    timeout_s: float
    rise: int
    fall: int


class HealthChecks:
    """The checks of one group. `tick` once a second; `end` when nobody wants to know any more."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._due: dict[Server, float] = {}
        self._running: dict[Server, asyncio.Task[None]] = {}
        self._clock = asyncio.get_running_loop().time
        self.options: CheckOptions | None = None
        self.client: UpstreamClient | None = None
        self.dial: Dial | None = None

    def tick(self, now: float) -> None:
        """Begin the checks that are due. A server that is being asked is not asked again."""
        options = self.options
        if options is None or self.dial is None or (self.client is None and options.kind == "http"):
            return
        servers = self._group.servers
        self._due = {server: self._due.get(server, 0.0) for server in servers}
        for server in servers:
            if now >= self._due[server] and server not in self._running:
                wait_s = options.interval_s * (1.0 + JITTER * (random.random() - 0.5))
                self._due[server] = now + wait_s
                task = asyncio.get_running_loop().create_task(self._check(server, options, self.client, self.dial))
                self._running[server] = task
                task.add_done_callback(partial(self._done, server))

    def end(self) -> None:
        """Ask nothing any more."""
        self.options = None
        for task in list(self._running.values()):
            task.cancel()

    def _done(self, server: Server, _: asyncio.Task[None]) -> None:
        del self._running[server]

    async def _check(self, server: Server, options: CheckOptions, client: UpstreamClient | None, dial: Dial) -> None:
        why = ""
        try:
            async with asyncio.timeout(options.timeout_s):
                if client is None or options.kind == "tcp":
                    stream = await dial(server.origin, None, configured=True)
                    stream.close()
                else:
                    why = await self._asked(server.origin, options.path, client)
        except TimeoutError:
            why = f"it did not answer a check within {options.timeout_s:g} s"
        except Failure as failure:
            why = failure.detail or failure.kind
        except Exception:
            log.exception("a check of %s", server.origin)
            return
        before = server.health.state
        if self._group.checked(server, why, self._clock(), rise=options.rise, fall=options.fall):
            level = logging.WARNING if why else logging.INFO
            after = server.health.state
            log.log(level, "upstream %s: %s was %s and is %s. %s", self._group.name, server.origin, before, after, why)

    async def _asked(self, origin: Origin, path: str, client: UpstreamClient) -> str:
        """What is wrong with the answer to a GET; empty when it is 2xx or 3xx."""
        authority = Authority("localhost") if origin.scheme == "unix" else origin.authority
        scheme = "https" if origin.scheme == "https" else "http"
        fields = Fields([("User-Agent", "interpose check"), ("Accept", "*/*")])
        request = Request("GET", Target(Form.ORIGIN, scheme, authority, path), fields)
        exchange = Exchange(0, 0, "check", UNKNOWN, self._clock(), scheme)
        try:
            response = await client.send(exchange, request, origin)
            try:
                await _some_of(response.body)
            finally:
                response.body.close()
        finally:
            exchange.finish(Outcome(0, 0, None, self._clock()))
        return "" if 200 <= response.status < 400 else f"it answered a check with {response.status}"


async def _some_of(body: Body) -> None:
    size = 0
    while size <= MOST_BYTES and (chunk := await body.next_chunk()):
        size += len(chunk)

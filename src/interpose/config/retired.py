"""What no configuration asks for any more, kept until nothing of it is in use.

A reload swaps chains, but exchanges that began before it finish on the old ones: their upstream client must keep their
deadlines, their log must still be written, their names must still be looked up.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

from interpose.config.limit_means import LimitMeans
from interpose.engine.client import UpstreamClient
from interpose.engine.courier import Courier
from interpose.engine.live_group import LiveGroup
from interpose.engine.mirror import Copies
from interpose.engine.narration import Narration
from interpose.engine.service_client import ServiceClient
from interpose.engine.span_exporter import SpanExporter
from interpose.filters.access.asking import Asker
from interpose.filters.access_log import AccessLog
from interpose.filters.cache.keeper import Keeper
from interpose.filters.experiment.notebook import Notebook
from interpose.filters.firewall.pool import Pool
from interpose.filters.script.script import Script
from interpose.net.resolve import Resolver
from interpose.net.services import ServiceResolver
from interpose.storage.line_writer import LineWriter

LAST_LINES_S = 0.2
"""How long the last lines of a log are waited for at the very end."""


class Closed(Protocol):
    """What has to be closed."""

    async def close(self) -> None:
        """Let go of what it has."""


class Retired:
    """Parts on their way out; `tick` once a second, `close` at the end. What still uses a part holds on to it."""

    def __init__(self) -> None:
        self.dropped_lines = 0
        self._clients: weakref.WeakSet[UpstreamClient] = weakref.WeakSet()
        self._writers: list[tuple[LineWriter, list[weakref.ref[AccessLog | Narration]]]] = []
        self._resolvers: list[Resolver | ServiceResolver] = []
        self._keepers: list[Keeper] = []
        self._askers: list[Asker] = []
        self._couriers: list[Courier] = []
        self._pools: list[Pool] = []
        self._exporters: list[SpanExporter] = []
        self._notebooks: list[Notebook] = []
        self._scripts: list[Script] = []
        self._limits: list[LimitMeans] = []
        self._copies: weakref.WeakSet[Copies] = weakref.WeakSet()
        self._services: weakref.WeakSet[ServiceClient] = weakref.WeakSet()
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, parts: Iterable[Any]) -> None:
        """Take over what was given up at the same time."""
        parts = list(parts)
        logs = [weakref.ref(part) for part in parts if isinstance(part, AccessLog | Narration)]
        for part in parts:
            if isinstance(part, UpstreamClient):
                part.retire()
                self._clients.add(part)
            elif isinstance(part, LineWriter):
                self._writers.append((part, logs))
            elif isinstance(part, LiveGroup):
                part.checks.end()
                part.membership.end()
            elif isinstance(part, Resolver | ServiceResolver):
                self._resolvers.append(part)
            elif isinstance(part, Asker):
                self._askers = [asker for asker in (*self._askers, part) if asker.is_asking]
            elif isinstance(part, Keeper):
                self._keepers.append(part)
            elif isinstance(part, ServiceClient):
                self._services.add(part)
            elif isinstance(part, SpanExporter):
                self._exporters.append(part)
            elif isinstance(part, Courier):
                part.begin_drain()
                self._couriers.append(part)
            elif isinstance(part, Pool):
                self._pools.append(part)
            elif isinstance(part, LimitMeans):
                self._limits.append(part)
            elif isinstance(part, Copies):
                self._copies.add(part)
            elif isinstance(part, Notebook):
                self._notebooks.append(part)
            elif isinstance(part, Script):
                self._scripts.append(part)

    @property
    def open_connections(self) -> int:
        """Connections to origins on which an exchange still runs."""
        return sum(client.open_connections for client in self._clients)

    def tick(self, now: float) -> None:
        """Keep the deadlines of what still runs, and close what nobody uses any more."""
        for client in list(self._clients):
            client.tick(now)
        for entry in [entry for entry in self._writers if all(log() is None for log in entry[1])]:
            self._writers.remove(entry)
            self._close_writer(entry[0])
        self._couriers = [courier for courier in self._couriers if courier.is_needed]
        for courier in self._couriers:
            courier.tick()
        left = [script for script in self._scripts if not script.is_in_use]
        if left:
            self._close_soon(left)
            self._scripts = [script for script in self._scripts if script not in left]
        idle = [pool for pool in self._pools if not pool.users]
        if idle:
            self._close_soon(idle)
            self._pools = [pool for pool in self._pools if pool not in idle]
        if self._resolvers and not self._clients and not self._couriers:
            self._close_soon(self._resolvers)
            self._resolvers = []
        unused = [keeper for keeper in self._keepers if not keeper.users and not keeper.running]
        if unused:
            self._close_soon(unused)
            self._keepers = [keeper for keeper in self._keepers if keeper not in unused]

    def _close_soon(self, parts: Iterable[Closed]) -> None:
        closing = asyncio.get_running_loop().create_task(_close_all(parts))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close everything now; what the logs' targets do not take within a moment is given up."""
        loop = asyncio.get_running_loop()
        await _close_all(self._exporters)
        await _close_all(list(self._copies))
        for service in list(self._services):
            await service.end()
        for client in list(self._clients):
            client.close()
        await _close_all([*self._couriers, *self._askers, *self._keepers, *self._resolvers, *self._pools])
        await _close_all([*self._notebooks, *self._limits, *self._scripts])
        await asyncio.gather(*self._closing)
        writers = [writer for writer, _ in self._writers]
        for writer in writers:
            self._close_writer(writer)
        end = loop.time() + LAST_LINES_S
        while loop.time() < end and not all(writer.has_ended for writer in writers):  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.005)
        self._resolvers, self._writers, self._keepers, self._couriers, self._pools = [], [], [], [], []
        self._notebooks, self._scripts = [], []

    def _close_writer(self, writer: LineWriter) -> None:
        writer.close(wait_s=0)
        self.dropped_lines += writer.dropped


async def _close_all(parts: Iterable[Closed]) -> None:
    for part in parts:
        await part.close()

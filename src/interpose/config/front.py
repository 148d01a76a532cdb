"""What people see of an instance: the API on its control socket, and the console on its port."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from interpose.config.acme import AcmeService, Ordered
from interpose.config.blocklist_keeper import BlockListKeeper
from interpose.config.cache_questions import LiveCaches
from interpose.config.console_place import ConsolePlace, token_of
from interpose.config.deliveries import Delivered, Order
from interpose.config.live_access import LiveAccess
from interpose.config.live_certificates import LiveCertificates
from interpose.config.live_faults import LiveFaults
from interpose.config.live_firewall import LiveFirewall
from interpose.config.live_interception import LiveInterception
from interpose.config.live_scripts import LiveScripts
from interpose.config.live_upstreams import LiveUpstreams
from interpose.config.metrics_place import MetricsPlace
from interpose.config.office import Office
from interpose.console.access import Access
from interpose.console.application import application
from interpose.console.control import ControlServer, serve_services
from interpose.console.events import Events
from interpose.console.exposition import exposition
from interpose.console.monitor import monitor
from interpose.console.news import HoldNews, SpoolNews
from interpose.console.overview import Overview
from interpose.console.services import Experiments, Records, Services
from interpose.console.upstream_history import UpstreamHistory
from interpose.core.hold import HeldMessage
from interpose.core.journal import Summary
from interpose.engine.supervisor import say_ready
from interpose.net.address import parse_address
from interpose.storage.desk.review import Review
from interpose.storage.desk.views import HoldRow
from interpose.storage.spool import Spool

STOP_S = 1.5


class Front:
    """See the module, and `config.office.Front`. `console` and `metrics` are where both listen, None without
    them."""

    def __init__(
        self,
        office: Office,
        live_faults: LiveFaults,
        live_upstreams: LiveUpstreams,
        console: ConsolePlace | None,
        metrics: MetricsPlace | None,
        log_format: str,
    ) -> None:
        self._office = office
        self._live_faults = live_faults
        self._live_upstreams = live_upstreams
        self._console = console
        self._metrics = metrics
        self._log_format = log_format
        self._events = Events()
        self._holds = HoldNews(self._events)
        self._overview: Overview | None = None
        self._history: UpstreamHistory | None = None
        self._services: Services | None = None
        self._servers: dict[ControlServer, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._access: Access | None = None
        if console is not None:
            config = office.config
            port = parse_address(console.address).port
            self._access = Access(token_of(config), port=port, hosts=console.hosts, instance=config.process.name)

    def services(self, instance: Any) -> Services:
        """What the API of `instance` shows and moves: the same each time."""
        if self._services is None:
            office = self._office
            records = None
            history = None
            if self._console is not None or self._metrics is not None:
                history = self._history = UpstreamHistory(self._live_upstreams.rows)
            if office.journal is not None:
                self._overview = Overview(
                    instance.status,
                    self._events,
                    journal=office.journal,
                    waiting=lambda: self._holds.waiting,
                    more=tuple if history is None else history.problems,
                )
                records = Records(office.journal, *office.readers)
            self._services = Services(
                instance=instance,
                faults=self._live_faults,
                upstreams=self._live_upstreams,
                upstream_history=history,
                access=LiveAccess(instance, self._lists, office.readers[0] if office.journal is not None else None),
                caches=LiveCaches(instance.ask_workers),
                certificates=LiveCertificates(instance.ask_workers, self._ordered),
                learned=LiveInterception(instance.ask_workers),
                scripts=LiveScripts(instance.ask_workers),
                records=records,
                replay=self._replay,
                review=None if office.desk is None else Review(office.desk),
                experiments=self._experiments(),
                firewall=LiveFirewall(instance, office.readers[1] if office.journal is not None else None),
                spools=[Spool(one.spool.dir) for one in office.config.listeners if one.spool is not None],
                overview=self._overview,
                events=self._events,
                links=self._links if self._console is not None else None,
                metrics=lambda: exposition(instance.status(), instance.tallies(), history.rows if history else ()),
            )
        return self._services

    def _experiments(self) -> Experiments | None:
        """What keeps the books of experiments, its decisions effective from now on."""
        service: Any = self._office.services.get("experiments")
        if service is not None:
            service.apply = self._live_faults.again
        experiments: Experiments | None = service
        return experiments

    def serve_control(self, instance: Any, sock: Any) -> ControlServer:
        """What serves the control socket of `instance`."""
        return serve_services(self.services(instance), sock)

    async def begin(self, instance: Any) -> None:
        """See `config.office.Front`."""
        services = self.services(instance)
        interception: Any = self._office.services.get("interception")
        if interception is not None:
            interception.publish = self._events.publish
        if self._console is not None:
            served = application(services, self._access)
            self._serve(ControlServer(served, self._console.socket, services.events))
            say_ready("console", "console", self._console.address, self._links()["admin"], self._log_format, at="at")
        if (place := self._metrics) is not None:
            assert services.metrics is not None
            served = monitor(instance, services.metrics, allow_from=place.allow_from, hosts=place.hosts)
            self._serve(ControlServer(served, place.socket))
            say_ready("metrics", "metrics", place.address, place.url, self._log_format, at="at")
        if services.review is not None:
            self._holds.known((await services.review.listed(limit=1000)).holds)
        if self._overview is not None:
            self._run(self._overview.run())
        if self._history is not None:
            self._run(self._history.run())
        if services.spools:
            self._run(SpoolNews(services.spools, self._events).run())

    async def end(self) -> None:
        """See `config.office.Front`."""
        self._events.close()
        for server in self._servers:
            server.stop()
        if self._servers:
            await asyncio.wait(self._servers.values(), timeout=STOP_S)
            self._tasks.update(self._servers.values())
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for place in (self._console, self._metrics):
            if place is not None:
                place.socket.close()

    def flows(self, rows: list[Summary]) -> None:
        """See `config.office.Front`."""
        if self._overview is not None:
            self._overview.take(rows)

    def hold(self, row: HoldRow) -> None:
        """See `config.office.Front`."""
        self._holds.changed(row)

    async def _replay(self, message: HeldMessage, summary: Summary) -> Delivered:
        return await self._office.send(
            Order(
                message=message,
                listener=summary.listener,
                route=summary.route,
                client=(summary.client, summary.client_port),
                user=summary.user,
                replay_of=summary.id,
            )
        )

    def _ordered(self) -> list[Ordered]:
        """How certificates that are ordered stand."""
        service = self._office.services.get("acme")
        return service.told() if isinstance(service, AcmeService) else []

    def _lists(self) -> Sequence[Mapping[str, Any]]:
        """How block lists stand."""
        service = self._office.services.get("blocklist")
        return service.rows() if isinstance(service, BlockListKeeper) else ()

    def _links(self) -> dict[str, str]:
        assert self._access is not None
        assert self._console is not None
        return self._access.links(self._console.address)

    def _serve(self, server: ControlServer) -> None:
        self._servers[server] = asyncio.get_running_loop().create_task(server.serve())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

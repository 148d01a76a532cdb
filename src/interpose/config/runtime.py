"""What serves in one process: the listeners of a configuration, their servers, and everything they share.

`WorkerRuntime` is what `engine.worker` drives in a worker process and `config.serve` in this one. A reload builds new
chains beside the running ones (`prepare`) and swaps them in (`commit`): connections ask their server for its handler
anew for every request.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from interpose.config import (
    access,
    balancing,
    build,
    certificates,
    deliveries,
    experiments,
    explaining,
    firewall,
    interception,
    limiting,
    scripts,
    steps,
    streams,
)
from interpose.config.auto import AutoChain, own_handlers
from interpose.config.cache_questions import answered
from interpose.config.counting import counters_of
from interpose.config.datagrams import Ways, datagram_chain_of
from interpose.config.descriptors import check_descriptors
from interpose.config.desk import holder_of
from interpose.config.dialling import Dialling
from interpose.config.faults import connection_chances
from interpose.config.model import HTTP_ROLES, Config, Listener, Upstream
from interpose.config.name_check import NameCheck
from interpose.config.outgoing import Outgoing
from interpose.config.parts import Parts
from interpose.config.retired import Retired
from interpose.config.running import AtWork, Chain, ConversationChain, Entry, HttpChain, Running
from interpose.config.running_datagrams import DatagramChain, RunningDatagrams
from interpose.core.exchange import Attempt
from interpose.core.handler import Handler
from interpose.core.networks import Networks
from interpose.core.stream import Stream
from interpose.core.tally import Tally
from interpose.core.target import Origin
from interpose.engine.calls import Calls, DirectCalls, NoOffice
from interpose.engine.client import Dial, UpstreamClient
from interpose.engine.courier import Courier
from interpose.engine.live_group import LiveGroup
from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.pace import Timeouts
from interpose.engine.records import Records
from interpose.engine.spool_reaper import Reaper
from interpose.engine.tunnel import Tunnels
from interpose.filters.cache.keeper import Keeper
from interpose.filters.hold.filter import Hold
from interpose.filters.meter import Counts
from interpose.filters.recorder import Recorder
from interpose.filters.script.script import Script
from interpose.net.listen import ListenOptions, connections_possible
from interpose.protocol.head import HeadLimits, HeadParser
from interpose.storage.line_writer import LineWriter

log = logging.getLogger("interpose")

DRAIN_LOOK_S = 0.05

QUEUE_S = 0.25
"""How long a drain goes on accepting who is in the kernel's queue already: closing the socket would reset them."""

IDLE_SHARE, MOST_IDLE_S = 0.1, 2.0
"""How long a drain leaves idle connections open, as a share of the grace and at most: a request that is on its way on
one of them is answered, with `Connection: close`, instead of running into its end."""


class Prepared(NamedTuple):
    """A configuration built whole, without effect yet."""

    config: Config
    chains: dict[str, Chain]
    datagram_chains: dict[str, DatagramChain]


class WorkerRuntime:
    """Everything that serves in one process. See `engine.worker.Runtime` for what each method promises."""

    def __init__(self, config: Config, number: int = 0, calls: Calls | None = None) -> None:
        self._config = config
        self._number = number
        self._exchange_numbers = itertools.count(1)
        self._calls = calls or DirectCalls(NoOffice())
        self._parts = Parts()
        self._retired = Retired()
        self._running: dict[str, AtWork] = {}
        self._own_handlers: dict[str, Handler] = {}
        self._gone: list[AtWork] = []
        self._past: Counter[str] = Counter()
        self._tunnels: Tunnels | None = None
        self._addresses: list[str] = []
        self._datagram_addresses: list[str] = []
        self._level = MemoryLevel.OK
        self._most_upstream = connections_possible()
        self._upstream_parser = HeadParser()
        self._name_check = NameCheck()
        self._dialling = Dialling(self._parts, lambda: self._addresses)
        self._deliveries = deliveries.Deliveries(number, lambda: self._parts.every(Recorder))

    async def start(self, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Serve on `sockets`. ValueError when the configuration cannot be built."""
        self._tunnels = Tunnels(self._config.timeouts.tunnel_timeout_s)
        await self.commit(self.prepare(self._config), sockets)

    def prepare(self, config: Config) -> object:
        """Build the chains of `config`. ValueError, a sentence, when something that they need is broken."""
        self._retired.add(self._parts.begin())
        self._dialling.prepare(config)
        check_descriptors(config)
        if config.holds or access.holds(config) or config.uses_scripts:
            holder_of(config, self._parts, self._calls)
        experiments.notebook_of(config, self._parts, self._calls)
        limiting.prepare(config, self._parts, self._calls)
        interception.share_what_is_learned(config, self._parts, self._calls)
        self._records = self._parts.get(Records, None, lambda: Records(self._calls))
        self._counts = self._parts.get(Counts, None, Counts)
        means = build.Means(
            self._parts, self._dial_for, self._dialling.judge_for, self._open_tunnels(), self._upstream_parser
        )
        self._parts.get(Outgoing, None, lambda: Outgoing(partial(build.upstream_client, means=means)))
        chains = {one.name: self._chain(config, one, means) for one in config.listeners if not one.udp}
        datagram_chains = {one.name: self._datagram_chain(config, one, means) for one in config.listeners if one.udp}
        return Prepared(config, chains, datagram_chains)

    def _dial_for(self, config: Config, what: Listener | Upstream) -> Dial:
        dial = self._dialling.dial_for(config, what)

        def dial_with_room(
            origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
        ) -> Awaitable[Stream]:
            self._make_room()
            return dial(origin, attempt, configured=configured, opening=opening)

        return dial_with_room

    def _make_room(self) -> None:
        """Before a connection to an origin is made: unused ones go when the descriptors meant for them are taken."""
        clients = self._parts.every(UpstreamClient)
        if sum([client.open_connections for client in clients]) + len(self._open_tunnels()) >= self._most_upstream:
            for client in clients:
                client.close_oldest()

    def _chain(self, config: Config, listener: Listener, means: build.Means) -> Chain:
        limits = config.limits_of(listener)
        timeouts = config.timeouts_of(listener)
        access_log = steps.access_log(config, self._parts) if config.log.access != "off" else None
        entry = Entry(
            options=ListenOptions(
                max_connections=limits.max_connections or connections_possible(len(config.listeners)),
                max_connections_per_client=limits.max_connections_per_client,
            ),
            timeouts=Timeouts(**{name: getattr(timeouts, name) for name in Timeouts.__struct_fields__}),
            identities=certificates.identities_of(config, listener, self._parts),
            proxies=Networks(listener.proxy_protocol_from) if listener.proxy_protocol_from else None,
            access_log=access_log,
            chances=connection_chances(listener, self._parts),
        )
        if listener.role == "auto":
            socks = self._conversation_chain(config, listener, means, entry)
            return AutoChain(self._http_chain(config, listener, means, entry), socks)
        if listener.role not in HTTP_ROLES:
            return self._conversation_chain(config, listener, means, entry)
        return self._http_chain(config, listener, means, entry)

    def _http_chain(self, config: Config, listener: Listener, means: build.Means, entry: Entry) -> HttpChain:
        limits = config.limits_of(listener)
        line_bytes = max(limits.max_field_bytes, limits.max_target_bytes)
        handlers = build.handlers_of(config, listener, means)
        return HttpChain(
            name=listener.name,
            handler=handlers.clients,
            own_handler=handlers.own,
            interception=handlers.interception,
            recorder=self._recorder(config),
            render=steps.error_answer(config, listener),
            parser=HeadParser(
                HeadLimits(line_bytes, limits.max_head_bytes, limits.max_fields),
                merge_slashes=listener.role == "gateway",
                underscores=listener.role != "gateway",
            ),
            entry=entry,
            access_log=entry.access_log,
            needs_tasks=scripts.uses_any(config, listener, steps.routes_of(config, listener)),
            meter=steps.meter(config, listener, self._parts) if config.metrics is not None else None,
        )

    def _conversation_chain(
        self, config: Config, listener: Listener, means: build.Means, entry: Entry
    ) -> ConversationChain:
        serve, narration = streams.serve_of(config, listener, means), streams.narration_of(listener, means)
        networks, recorder = Networks(listener.allow_from), self._recorder(config)
        return ConversationChain(listener.name, serve, entry, entry.access_log, networks, narration, recorder)

    def _recorder(self, config: Config) -> Recorder | None:
        return steps.recorder(config, self._parts) if config.journal is not None else None

    def _datagram_chain(self, config: Config, listener: Listener, means: build.Means) -> DatagramChain:
        access_log = steps.access_log(config, self._parts) if config.log.access != "off" else None
        recorder = self._recorder(config)
        ways = Ways(self._dialling.prepare(config), lambda: self._datagram_addresses, access_log, recorder)
        return datagram_chain_of(config, listener, means, ways)

    async def commit(self, prepared: object, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Swap in what was prepared. What it no longer has goes on for the connections and exchanges that have it."""
        assert isinstance(prepared, Prepared)
        await scripts.start(self._parts)
        await firewall.start_pools(self._parts, is_first=not self._running)
        self._config = prepared.config
        self._own_handlers = own_handlers(prepared.chains)
        balancing.settle(self._parts)
        self._open_tunnels().idle_timeout_s = prepared.config.timeouts.tunnel_timeout_s
        chains: dict[str, Any] = {**prepared.chains, **prepared.datagram_chains}
        for name, running in list(self._running.items()):
            if name not in chains or not running.can_be(chains[name]):
                running.close()
                self._gone.append(self._running.pop(name))
        for name, chain in chains.items():
            if name in self._running:
                self._running[name].swap(chain)
            else:
                kind = RunningDatagrams if name in prepared.datagram_chains else Running
                self._running[name] = kind(chain, self._number, self._exchange_numbers, self._level)
        await self.listen(sockets)
        if self._number == 0:  # one worker's warning is enough
            self._name_check.begin(self._config, self._dialling.prepare(self._config))
        self._retired.add(self._parts.unasked())

    async def listen(self, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Accept on exactly these sockets."""
        for name, running in self._running.items():
            await running.listen(sockets.get(name, ()))
        everybody = self._running.values()
        datagrams = [running for running in everybody if isinstance(running, RunningDatagrams)]
        self._datagram_addresses = [address for running in datagrams for address in running.addresses]
        self._addresses = [
            address for running in everybody if running not in datagrams for address in running.addresses
        ]

    @property
    def _all(self) -> list[AtWork]:
        return [*self._running.values(), *self._gone]

    def _open_tunnels(self) -> Tunnels:
        assert self._tunnels is not None
        return self._tunnels

    @property
    def addresses(self) -> dict[str, str]:
        """The real address of each listener."""
        return {name: running.addresses[0] for name, running in self._running.items() if running.addresses}

    def tick(self, now: float) -> None:
        """Sweep deadlines, look at files that may have changed."""
        for running in self._all:
            running.tick(now)
        for gone in [gone for gone in self._gone if gone.is_empty]:
            self._gone.remove(gone)
            self._past.update(gone.totals)
        for client in self._parts.every(UpstreamClient):
            client.tick(now)
            if self._level >= MemoryLevel.SHED:
                client.close_idle()
        for group in self._parts.serving(LiveGroup):
            group.tick(now)
        for script in self._parts.serving(Script):
            script.tick()
        certificates.refresh(self._parts)
        for courier in self._parts.serving(Courier):
            courier.tick()
        for reaper in self._parts.serving(Reaper):
            reaper.tick(now)
        self._open_tunnels().tick(now)
        self._retired.tick(now)

    def relieve(self, level: MemoryLevel) -> None:
        """Give up what this level of memory says."""
        self._level = level
        for running in self._all:
            running.relieve(level)

    def reopen_logs(self) -> None:
        """Open log files anew."""
        for writer in self._parts.every(LineWriter):
            writer.reopen()

    async def answer(self, question: bytes) -> bytes:
        """What is asked after the topic: see `config.cache_questions` and `config.deliveries`."""
        topic, _, rest = question.partition(b" ")
        if topic == deliveries.TOPIC:
            return await self._deliveries.answer(rest, self._own_handlers, self._parts.every(Hold))
        if topic == certificates.TOPIC:
            return certificates.told(self._config, self._parts)
        if topic == explaining.TOPIC:
            return await explaining.answered(rest, self._config, self._parts, self._dialling.judge_for)
        if topic == interception.TOPIC:
            return interception.answered(self._parts, rest, asyncio.get_running_loop().time())
        if topic == scripts.TOPIC:
            return scripts.told(self._parts)
        if topic == b"upstreams":
            return balancing.told(self._parts, asyncio.get_running_loop().time())
        return await answered(self._parts.every(Keeper), rest)

    def counters(self) -> dict[str, float]:
        """Counts for the status."""
        clients = self._parts.every(UpstreamClient)
        writers = self._parts.every(LineWriter)
        totals = Counter(self._past)
        for running in self._all:
            totals.update(running.totals)
        sessions = [running.sessions for running in self._all if isinstance(running, RunningDatagrams)]
        return {
            "connections": float(sum(running.connections for running in self._all)),
            "exchanges": float(sum(running.running_exchanges for running in self._all)),
            **totals,
            **({"datagram_sessions": float(sum(sessions))} if sessions else {}),
            "upstream_connections": float(
                sum(client.open_connections for client in clients) + self._retired.open_connections
            ),
            "accepting": float(not any(running.is_full for running in self._running.values())),
            "tunnels": float(len(self._open_tunnels())),
            "log_lines_dropped_total": float(sum(writer.dropped for writer in writers) + self._retired.dropped_lines),
            **counters_of(self._parts),
            "records_total": float(self._records.total),
            "records_dropped_total": float(self._records.dropped),
        }

    def tallies(self) -> list[Tally]:
        """What was counted by route and server, as far as it has changed."""
        return self._counts.changed()

    async def drain(self, grace_s: float, *, keep_idle: bool = False) -> None:
        """Accept no more; let exchanges, answers that clients still take, and tunnels end, for at most `grace_s`.

        Idle connections end with their next answer, or after a moment (see IDLE_SHARE); with `keep_idle` all the
        grace is theirs.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        end = began + grace_s
        idle_end = end if keep_idle else began + min(grace_s * IDLE_SHARE, MOST_IDLE_S)
        running = self._all
        ending: list[AtWork | Courier] = [*running, *self._parts.every(Courier)]
        for part in ending:
            part.begin_drain()
        while loop.time() < min(end, began + QUEUE_S) and any(one.has_waiting for one in running):  # noqa: ASYNC110
            await asyncio.sleep(0)  # a turn of the loop accepts one of each queue
        for one in running:
            one.close()
        while (now := loop.time()) < end and not all(part.is_empty for part in ending):
            if now >= idle_end:
                self._close_idle()
                if not len(self._open_tunnels()) and not any(part.connections for part in ending):
                    break  # what is left has not even shaken hands
            await asyncio.sleep(DRAIN_LOOK_S)
        self._close_idle()

    def _close_idle(self) -> None:
        for running in self._all:
            running.close_idle()

    async def stop(self) -> None:
        """Cut what is left, write out what is buffered."""
        self._name_check.end()
        for running in self._all:
            running.cut()
        self._open_tunnels().close()
        for _ in range(100):  # what was aborted is told so in a next turn of the loop, and then has its line in the log
            if all(running.is_empty for running in self._all):
                break
            await asyncio.sleep(0)
        self._records.flush()
        self._running.clear()
        self._gone.clear()
        self._retired.add([*self._parts.begin(), *self._parts.unasked()])
        await self._retired.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

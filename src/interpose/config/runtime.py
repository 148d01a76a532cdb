"""What serves in one process: the listeners of a configuration, their servers, and everything they share.

`WorkerRuntime` is what `engine.worker` drives in a worker process and `config.serve` in this one. A reload builds new
chains beside the running ones (`prepare`) and swaps them in (`commit`): connections ask their server for its handler
anew for every request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from interpose.config import build
from interpose.config.dialling import Dialling
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.stream import StreamHandler
from interpose.engine.client import UpstreamClient
from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.engine.tunnel import Tunnels
from interpose.filters.access_log import AccessLog
from interpose.filters.error_answer import ErrorAnswer
from interpose.filters.script import Script
from interpose.net.certificate import Identities, Identity
from interpose.net.listen import Listening, ListenOptions, connections_possible
from interpose.net.resolve import Resolver
from interpose.net.terminate import TlsTermination
from interpose.protocol.client_hello import read_client_hello
from interpose.protocol.head import HeadLimits, HeadParser
from interpose.storage.line_writer import LineWriter

log = logging.getLogger("interpose")

DRAIN_LOOK_S = 0.05

IDLE_SHARE, MOST_IDLE_S = 0.1, 2.0
"""How long a drain leaves idle connections open, as a share of the grace and at most: a request that is on its way on
one of them is answered, with `Connection: close`, instead of running into its end."""

_NOT_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS; use https:// here.\n"
)


class Chain(NamedTuple):
    """What a commit swaps in for one listener."""

    listener: Listener
    handler: Handler
    render: ErrorAnswer
    parser: HeadParser
    timeouts: Timeouts
    access_log: AccessLog | None
    identities: Identities | None
    needs_tasks: bool


class Prepared(NamedTuple):
    """A configuration built whole, without effect yet."""

    config: Config
    chains: dict[str, Chain]


class Running:
    """One listener at work. `entry` is what streams begin with: its server, or TLS with `identities` before it."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.entry: StreamHandler = server
        self.identities: Identities | None = None
        self.listening: Listening | None = None
        self.sockets: list[Any] = []


class WorkerRuntime:
    """Everything that serves in one process. See `engine.worker.Runtime` for what each method promises."""

    def __init__(self, config: Config, number: int = 0) -> None:
        self._config = config
        self._number = number
        self._parts = Parts()
        self._running: dict[str, Running] = {}
        self._gone: list[Running] = []
        self._past: Counter[str] = Counter()
        self._tunnels: Tunnels | None = None
        self._addresses: list[str] = []
        self._level = MemoryLevel.OK
        self._upstream_parser = HeadParser()
        self._dialling = Dialling(self._parts, lambda: self._addresses)

    async def start(self, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Serve on `sockets`. ValueError when the configuration cannot be built."""
        self._tunnels = Tunnels(self._config.timeouts.tunnel_timeout_s)
        await self.commit(self.prepare(self._config), sockets)

    def prepare(self, config: Config) -> object:
        """Build the chains of `config`. ValueError, a sentence, when something that they need is broken."""
        self._parts.begin()
        self._dialling.prepare(config)
        means = build.Means(self._parts, self._dialling.dial_for, self._open_tunnels(), self._upstream_parser)
        chains = {}
        for listener in config.listeners:
            limits = config.limits_of(listener)
            head_limits = HeadLimits(
                max(limits.max_field_bytes, limits.max_target_bytes), limits.max_head_bytes, limits.max_fields
            )
            identities = None
            if listener.tls is not None:
                files = (listener.tls.certificate, listener.tls.key)
                identities = self._parts.get(Identities, files, partial(_identities, *files))
                for warning in identities.warnings():
                    log.warning("%s", warning)
            chains[listener.name] = Chain(
                listener,
                build.handler_of(config, listener, means),
                build.error_answer(config, listener),
                HeadParser(
                    head_limits,
                    merge_slashes=listener.role == "gateway",
                    underscores=listener.role == "proxy",
                ),
                Timeouts(**{name: getattr(config.timeouts_of(listener), name) for name in Timeouts.__struct_fields__}),
                build.access_log(config, self._parts) if config.log.access != "off" else None,
                identities,
                bool(build.scripts_of(config, listener)) or any(r.scripts for r in build.routes_of(config, listener)),
            )
        return Prepared(config, chains)

    async def commit(self, prepared: object, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Swap in what was prepared."""
        assert isinstance(prepared, Prepared)
        self._config = prepared.config
        for name, chain in prepared.chains.items():
            running = self._running.get(name)
            if running is None:
                running = self._running[name] = self._begin(chain)
            self._swap(running, chain)
        for name in [name for name in self._running if name not in prepared.chains]:
            self._let_go_of(self._running.pop(name))
        await self.listen(sockets)
        for part in self._parts.unasked():
            await _let_go(part)

    async def listen(self, sockets: Mapping[str, Sequence[Any]]) -> None:
        """Accept on exactly these sockets."""
        for name, running in self._running.items():
            wanted = list(sockets.get(name, ()))
            if wanted == running.sockets and running.listening is not None:
                continue
            before, running.listening = running.listening, None
            running.sockets = wanted
            if wanted:
                listener = next(listener for listener in self._config.listeners if listener.name == name)
                limits = self._config.limits_of(listener)
                options = ListenOptions(
                    max_connections=limits.max_connections or connections_possible(len(self._config.listeners)),
                    max_connections_per_client=limits.max_connections_per_client,
                )
                own = [sock.dup() for sock in wanted]
                running.listening = Listening(own, running.entry, options, on_full=running.server.close_idle)
                if self._level < MemoryLevel.STOP:
                    await running.listening.start()
                else:
                    running.listening.pause()
            if before is not None:
                before.close()
        self._addresses = [
            address
            for running in self._running.values()
            if running.listening
            for address in running.listening.addresses
        ]

    def _begin(self, chain: Chain) -> Running:
        return Running(
            HttpServer(chain.listener.name, chain.handler, chain.render, chain.parser, chain.timeouts, self._number)
        )

    def _let_go_of(self, gone: Running) -> None:
        """A listener that the configuration no longer has: each of its connections ends with its next answer."""
        if gone.listening is not None:
            gone.listening.close()
        gone.server.is_draining = True
        self._gone.append(gone)

    @property
    def _servers(self) -> list[HttpServer]:
        return [running.server for running in (*self._running.values(), *self._gone)]

    def _swap(self, running: Running, chain: Chain) -> None:
        server = running.server
        if chain.identities is not running.identities:
            running.identities = chain.identities
            running.entry = server
            if chain.identities is not None:
                running.entry = TlsTermination(
                    chain.identities.choose,
                    server,
                    read_client_hello,
                    handshake_timeout_s=chain.timeouts.handshake_timeout_s,
                    not_tls=_NOT_TLS,
                )
            if running.listening is not None:
                running.listening.handler = running.entry
        server.handler = chain.handler
        server.render = chain.render
        server.parser = chain.parser
        server.needs_tasks = chain.needs_tasks
        server.timeouts = chain.timeouts
        server.observe_refused = None if chain.access_log is None else chain.access_log.without_request

    def _open_tunnels(self) -> Tunnels:
        assert self._tunnels is not None
        return self._tunnels

    @property
    def addresses(self) -> dict[str, str]:
        """The real address of each listener."""
        return {
            name: running.listening.addresses[0]
            for name, running in self._running.items()
            if running.listening is not None
        }

    def tick(self, now: float) -> None:
        """Sweep deadlines, look at files that may have changed."""
        for server in self._servers:
            server.tick(now)
        for gone in [gone for gone in self._gone if not gone.server.connections]:
            self._gone.remove(gone)
            self._past.update(_totals(gone.server))
        for client in self._parts.every(UpstreamClient):
            client.tick(now)
        for script in self._parts.every(Script):
            script.tick()
        for identities in self._parts.every(Identities):
            for warning in identities.refresh():
                log.warning("%s", warning)
        self._open_tunnels().tick(now)

    def relieve(self, level: MemoryLevel) -> None:
        """Give up what this level of memory says."""
        before, self._level = self._level, level
        for server in self._servers:
            if level >= MemoryLevel.SHED:
                server.close_idle()
            server.overload = _OVERLOAD if level >= MemoryLevel.REFUSE else None
        for running in self._running.values():
            if running.listening is not None:
                if level >= MemoryLevel.STOP > before:
                    running.listening.pause()
                elif level < MemoryLevel.STOP <= before:
                    running.listening.resume()
        if level >= MemoryLevel.SHED:
            for client in self._parts.every(UpstreamClient):
                client.close_idle()

    def reopen_logs(self) -> None:
        """Open log files anew."""
        for writer in self._parts.every(LineWriter):
            writer.reopen()

    def counters(self) -> dict[str, float]:
        """Counts for the status."""
        servers = self._servers
        totals = Counter(self._past)
        for server in servers:
            totals.update(_totals(server))
        listenings = [running.listening for running in self._running.values() if running.listening is not None]
        return {
            "connections": float(sum(len(server.connections) for server in servers)),
            "exchanges": float(sum(server.running_exchanges for server in servers)),
            **totals,
            "refused_connections_total": float(sum(listening.refused for listening in listenings)),
            "upstream_connections": float(sum(client.open_connections for client in self._parts.every(UpstreamClient))),
            "accepting": float(not any(listening.is_full for listening in listenings)),
            "tunnels": float(len(self._open_tunnels())),
            "log_lines_dropped_total": float(sum(writer.dropped for writer in self._parts.every(LineWriter))),
            "script_errors_total": float(sum(script.errors for script in self._parts.every(Script))),
        }

    async def drain(self, grace_s: float, *, keep_idle: bool = False) -> None:
        """Accept no more; let exchanges, answers that clients still take, and tunnels end, for at most `grace_s`.

        Idle connections end with their next answer, or after a moment (see IDLE_SHARE); with `keep_idle` all the
        grace is theirs.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        end = began + grace_s
        idle_end = end if keep_idle else began + min(grace_s * IDLE_SHARE, MOST_IDLE_S)
        servers = self._servers
        for running in self._running.values():
            running.server.is_draining = True
            if running.listening is not None:
                running.listening.close()
        while (now := loop.time()) < end and (len(self._open_tunnels()) or any(s.connections for s in servers)):
            if now >= idle_end:
                for server in servers:
                    server.close_idle()
            await asyncio.sleep(DRAIN_LOOK_S)
        for server in servers:
            server.close_idle()

    async def stop(self) -> None:
        """Cut what is left, write out what is buffered."""
        for running in self._running.values():
            if running.listening is not None:
                running.listening.close()
                running.listening.cut()
        for server in self._servers:
            server.cut()
        self._running.clear()
        self._gone.clear()
        self._open_tunnels().close()
        # What was aborted is told so in the next turn of the loop, and then its exchange has its line in the log.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._parts.begin()
        for part in self._parts.unasked():
            await _let_go(part)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def _identities(certificate: str, key: str) -> Identities:
    return Identities([Identity(certificate, key)])


def _totals(server: HttpServer) -> dict[str, int]:
    """What only grows, of one server."""
    return {
        "connections_total": server.accepted,
        "requests_total": server.exchanges,
        "failures_total": server.failures,
    }


async def _let_go(part: Any) -> None:
    """End a part that nothing asks for any more."""
    if isinstance(part, Resolver):
        await part.close()
    elif isinstance(part, UpstreamClient):
        part.close_idle()
    elif isinstance(part, LineWriter):
        part.close()


_OVERLOAD = Failure("destination_unavailable", Side.INTERNAL, "The proxy is short of memory; try again in a moment.")

"""From a configuration to running processes: the supervisor in this one, and what each worker process runs first.

This module is what a worker is started as (`python -m interpose.config.launch DESCRIPTOR`), and it wires together what
the supervisor is given from floors above it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpose.config.limit_places import needs_service
from interpose.config.model import HTTP_ROLES, Config, Listener
from interpose.engine.plan import ListenerPlan, Plan

if TYPE_CHECKING:
    from interpose.engine.calls import Calls
    from interpose.engine.worker import Runtime

WORKER_COMMAND = (sys.executable, "-P", "-m", "interpose.config.launch")
"""What a worker process is started with. `-P`: a `socket.py` in the directory one happens to be in is not Python's."""


def supervise(
    config: Config,
    *,
    load: Callable[[], Config] | None = None,
    interactive: bool = False,
    watched: Path | None = None,
) -> int:
    """Run `config` until it is told to end; the exit status. `load` reads it anew for a reload (ValueError: bad).

    `watched`: the file that it is read from, when its changes are to be noticed.
    """
    from interpose.config.console_place import ConsolePlace
    from interpose.config.firewall import checked
    from interpose.config.live_faults import LiveFaults
    from interpose.config.live_upstreams import LiveUpstreams
    from interpose.config.metrics_place import MetricsPlace
    from interpose.config.watching import watch
    from interpose.engine.calls import NoOffice
    from interpose.engine.supervisor import Supervisor, refuse
    from interpose.net.listen import raise_descriptor_limit

    set_up_logging(config)
    raise_descriptor_limit()
    try:
        checked(config)
        console = ConsolePlace.bound(config.console) if config.console is not None else None
        metrics = MetricsPlace(config.metrics) if config.metrics is not None else None
    except ValueError as error:
        return refuse(error, 2, _log_format(config))
    places = [place for place in (console, metrics) if place is not None]

    def in_place(config: Config) -> Config:
        for place in places:
            config = place.in_place(config)
        return config

    config = in_place(config)

    def read() -> Config:
        return config if load is None else checked(in_place(load()))

    async def run() -> int:
        planned = _planned_with_experiments() if config.experiments else plan_of
        live_upstreams = LiveUpstreams(planned)
        live_faults = LiveFaults(read, live_upstreams.plan_of)
        office, serve_control = (
            _office(config, live_faults, live_upstreams, console, metrics)
            if keeps_anything(config)
            else (NoOffice(), None)
        )
        supervisor = Supervisor(
            planned(config),
            command=WORKER_COMMAND,
            load=live_faults.load,
            serve_control=serve_control or partial(_serve_control, live_faults, live_upstreams),
            office=office,
            log_format=_log_format(config),
            interactive=interactive,
        )
        live_faults.begin(supervisor.reloading)
        live_upstreams.begin(live_faults, supervisor.ask_workers, supervisor.tallies)
        if watched is None:
            return await supervisor.run()
        watching = asyncio.create_task(watch(watched, supervisor.reloading))
        try:
            return await supervisor.run()
        finally:
            watching.cancel()

    return asyncio.run(run())


def keeps_anything(config: Config) -> bool:
    """Whether the supervisor has to keep or show something for its workers: loading what it takes delays the start."""
    tables = (config.journal, config.console, config.metrics, config.acme, config.experiments or None)
    has_spool = any(listener.spool is not None for listener in config.listeners)
    has_holds = config.holds or config.blocklists or any(rule.action == "hold" for rule in config.access)
    has_tables = any(table is not None for table in tables)
    has_tables = has_tables or (config.interception is not None and config.process.workers != 1)  # who tell each other
    return bool(has_tables or has_holds or config.uses_scripts or has_spool or needs_service(config))


def _office(config: Config, live_faults: Any, live_upstreams: Any, console: Any, metrics: Any) -> tuple[Any, Any]:
    """What keeps, and what serves the control socket."""
    from interpose.config.office import Office

    front: Any = None

    def make_front(office: Office) -> Any:
        from interpose.config.front import Front

        nonlocal front
        front = Front(office, live_faults, live_upstreams, console, metrics, _log_format(config))
        return front

    return Office(config, make_front), lambda instance, sock: front.serve_control(instance, sock)


def _planned_with_experiments() -> Callable[[Config], Plan]:
    """What plans configurations with what was decided of their experiments."""
    from interpose.config.live_experiments import LiveExperiments

    return LiveExperiments(plan_of).plan_of


def plan_of(config: Config) -> Plan:
    """What the supervisor needs to know of `config`."""
    import msgspec

    from interpose.config.load import state_dir

    process = config.process
    return Plan(
        name=process.name,
        state_dir=str(state_dir(process.state_dir)),
        workers=process.workers or len(os.sched_getaffinity(0)),
        listeners=tuple(
            ListenerPlan(
                name=listener.name,
                role=listener.role,
                address=listener.address,
                scheme=_scheme_of(listener),
                udp=listener.udp,
            )
            for listener in config.listeners
        ),
        config=msgspec.msgpack.encode(config),
        grace_s=process.grace_s,
        pre_drain_s=process.pre_drain_s,
        max_lag_s=process.max_lag_s,
        memory_limit_bytes=process.memory_limit_bytes,
    )


def _scheme_of(listener: Listener) -> str:
    """How a person would spell the protocol of the listener's address."""
    if listener.role in HTTP_ROLES:
        return "http" if listener.tls is None else "https"
    if listener.role == "auto":
        return "http"  # with a certificate too: TLS is one of the things that it tells apart
    if listener.role == "socks":
        return "socks5"
    if listener.udp:
        return "udp"
    return "tcp" if listener.tls is None else "tls"


def _serve_control(live_faults: Any, live_upstreams: Any, instance: Any, sock: Any) -> Any:
    """The server of the control socket, loaded when it is wanted: after the ready line, which it would delay."""
    from interpose.config.cache_questions import LiveCaches
    from interpose.config.live_access import LiveAccess
    from interpose.config.live_certificates import LiveCertificates
    from interpose.config.live_interception import LiveInterception
    from interpose.config.live_scripts import LiveScripts
    from interpose.console.control import serve_control

    ask = instance.ask_workers
    caches, learned, certificates = LiveCaches(ask), LiveInterception(ask), LiveCertificates(ask)
    return serve_control(
        instance,
        sock,
        live_faults,
        caches,
        upstreams=live_upstreams,
        access=LiveAccess(instance),
        learned=learned,
        certificates=certificates,
        scripts=LiveScripts(ask),
    )


# --- in a worker process -------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Be a worker; the exit status."""
    import uvloop

    from interpose.engine.worker import serve_as_worker

    return serve_as_worker(arguments, make_runtime=_make_runtime, decode=_decode, run=uvloop.run)


def _make_runtime(encoded: bytes, number: int, calls: Calls) -> Runtime:
    config = _decode(encoded)
    set_up_logging(config, f"worker {number}")
    from interpose.config.runtime import WorkerRuntime

    return WorkerRuntime(config, number, calls)


def _decode(encoded: bytes) -> Config:
    import msgspec

    return msgspec.msgpack.decode(encoded, type=Config)


# --- logging -------------------------------------------------------------------------------------------------------


def set_up_logging(config: Config, who: str = "") -> None:
    """Messages of this process on standard error, as text or as JSON lines."""
    from interpose.config.messages import configure

    configure(config.log.level, _log_format(config), who)


def _log_format(config: Config) -> str:
    return "json" if config.log.format == "json" else "text"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How one peer is measured once in one kind of work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import cpu, hold, load, memory
from bench.datagrams import Clients, echo
from bench.origin import GIB, KIB, MIB, SIZES_BYTES, DeafOrigin
from bench.peers import ROOT, Peer, Role, Running, fresh_setup, started
from bench.process import MeasureError, free_port, running
from bench.results import Measurement

WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement of a run shares."""

    origin: int
    directory: Path
    certificate: tuple[Path, Path]
    seconds: float
    bulk_bytes: int = GIB
    bulk_limit_s: float = 15.0
    idle_count: int = 2000
    held_count: int = 32
    share_count: int = 400
    datagram_clients: int = 200

    @contextlib.contextmanager
    def started(
        self, peer: Peer, role: Role, *, upstream: int | None = None, before: Callable[[Running], object] | None = None
    ) -> Iterator[Running]:
        """The peer in front of the origin (or of another port), after its first right answer. What is to happen
        `before` happens with other processes of it, which then end: what they have stored stays."""
        upstream = upstream or self.origin
        setup = fresh_setup(peer, role, upstream=upstream, directory=self.directory, certificate=self.certificate)
        if before is not None:
            with started(peer, setup, again=True) as earlier:
                before(earlier)
        with started(peer, setup) as answering:
            if role not in (Role.TUNNEL, Role.DATAGRAMS, Role.INTERCEPTING):
                _first_answer(setup.port, self._target(role, "/1k", upstream), f"127.0.0.1:{upstream}", role)
            yield answering

    def load(
        self,
        answering: Running,
        path: str,
        *,
        connections: int,
        seconds: float,
        close: bool = False,
        anew: bool = False,
        among: int = 1,
    ) -> load.Load:
        """Requests for one path of the origin, in the form that the peer's role asks for."""
        role = answering.setup.role
        return load.wrk(
            answering.setup.port,
            self._target(role, path, self.origin),
            # The rule set has something against addresses in Host.
            host="www.example.org" if role is Role.FIREWALL else f"127.0.0.1:{self.origin}",
            directory=self.directory,
            connections=connections,
            seconds=seconds,
            tls=role is Role.TLS_GATEWAY,
            close=close,
            anew=anew,
            among=among,
        )

    @staticmethod
    def _target(role: Role, path: str, upstream: int) -> str:
        return f"http://127.0.0.1:{upstream}{path}" if role is Role.PROXY else path


def requests(
    peer: Peer,
    bench: Bench,
    *,
    role: Role,
    path: str = "/1k",
    connections: int = 32,
    close: bool = False,
    anew: bool = False,
    among: int = 1,
    stored_before: bool = False,
) -> Measurement:
    """CPU seconds per answer, from as many keep-alive (or new) connections as wrk can drive; `anew`: each request for
    another URL, `among`: for the next one of so many. `stored_before`: other processes have fetched and stored it."""
    ask = partial(bench.load, path=path, connections=connections, close=close, anew=anew, among=among)
    fill = partial(ask, seconds=WARM_UP_S) if stored_before else None
    with bench.started(peer, role, before=fill) as answering:
        logged_before = answering.log_lines()
        drive = partial(ask, answering)
        warm = drive(seconds=WARM_UP_S)
        before = cpu.snapshot(answering.program.pids())
        seen = drive(seconds=bench.seconds)
        after = cpu.snapshot(answering.program.pids())
        used_s = sum(cpu.spent(before, after).values())
        # Of large bodies many are half-way when the time is over: what counts is the bytes that came.
        answers = seen.received_bytes / SIZES_BYTES[path] if SIZES_BYTES[path] >= 64 * KIB else seen.requests
        if not answers:
            raise MeasureError("gave no answer under load")
        notes = oddities(seen, is_whole=before.keys() <= after.keys())
        logged, asked = answering.log_lines() - logged_before, warm.requests + seen.requests
        if logged < 0.9 * asked:
            notes.append(f"logged {logged} lines for {asked} requests")
        return Measurement(
            cost=used_s / answers,
            rate_per_s=answers / seen.seconds,
            p50_us=seen.p50_us,
            p99_us=seen.p99_us,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / seen.seconds,
            largest_share=_largest_share(answering, bench) if peer.workers > 1 else None,
            notes=notes,
        )


def oddities(seen: load.Load, *, is_whole: bool) -> list[str]:
    """What the load has to say about the peer, for the table."""
    notes = []
    if seen.bad_statuses:
        notes.append(f"{seen.bad_statuses} answers of {seen.requests} were not 2xx or 3xx")
    if seen.broken:
        notes.append(f"{seen.broken} connections broke or timed out")
    if not is_whole:
        notes.append("one of its processes ended while it was measured")
    return notes


def _largest_share(answering: Running, bench: Bench) -> float:
    """The part of many new connections that the busiest process holds."""
    port = answering.setup.port
    with hold.idle_connections(port, f"127.0.0.1:{bench.origin}", bench.share_count, tls=False):
        held = memory.connections_by_pid(answering.program.pids(), port)
    return max(held.values()) / max(1, sum(held.values()))


def bulk(peer: Peer, bench: Bench, *, role: Role = Role.TUNNEL) -> Measurement:
    """CPU seconds per GiB through one tunnel, or through one relayed connection."""
    with bench.started(peer, role) as answering:
        fetch = partial(
            load.bulk,
            answering.setup.port,
            bench.origin,
            "/10m",
            through_connect=role is Role.TUNNEL and peer.name != "haproxy",
        )
        try:
            fetch(total_bytes=64 * MIB, limit_s=1.0)
            before = cpu.snapshot(answering.program.pids())
            moved = fetch(total_bytes=bench.bulk_bytes, limit_s=bench.bulk_limit_s)
        except OSError as error:
            raise MeasureError(f"its tunnel failed: {error}") from error
        after = cpu.snapshot(answering.program.pids())
        used_s = sum(cpu.spent(before, after).values())
        return Measurement(
            cost=used_s / (moved.received_bytes / GIB),
            rate_per_s=moved.received_bytes / GIB / moved.seconds,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / moved.seconds,
        )


def datagrams(peer: Peer, bench: Bench) -> Measurement:
    """CPU seconds per datagram that is relayed, question or answer, for many clients at once."""
    with echo(bench.directory) as upstream, bench.started(peer, Role.DATAGRAMS, upstream=upstream) as answering:
        with Clients(answering.setup.port, bench.datagram_clients) as clients:
            clients.ask(WARM_UP_S)
            before = cpu.snapshot(answering.program.pids())
            seen = clients.ask(bench.seconds)
            after = cpu.snapshot(answering.program.pids())
        used_s = sum(cpu.spent(before, after).values())
        if not seen.answers:
            raise MeasureError("gave no answer under load")
        relayed = 2 * seen.answers
        return Measurement(
            cost=used_s / relayed,
            rate_per_s=relayed / seen.seconds,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / seen.seconds,
            notes=[f"{seen.silences} silences of half a second"] if seen.silences else [],
        )


def idle(peer: Peer, bench: Bench, *, role: Role) -> Measurement:
    """Bytes of memory per open connection that has had its answer and waits."""
    with bench.started(peer, role) as answering:
        port = answering.setup.port
        pids = answering.program.pids()
        empty = memory.settled_pss_bytes(pids)
        host = f"127.0.0.1:{bench.origin}"
        try:
            with hold.idle_connections(port, host, bench.idle_count, tls=role is Role.TLS_GATEWAY):
                full = memory.settled_pss_bytes(pids)
                held = sum(memory.connections_by_pid(pids, port).values())
        except OSError as error:
            raise MeasureError(f"{bench.idle_count} connections were too many: {error}") from error
        notes = [] if held >= bench.idle_count else [f"held only {held} of {bench.idle_count} connections"]
        return Measurement(cost=(full - empty) / bench.idle_count, pss_bytes=full, notes=notes)


def held(peer: Peer, bench: Bench, *, upload: bool) -> Measurement:
    """Bytes of memory per exchange that one side holds up, at the worst moment."""
    with contextlib.ExitStack() as opened:
        upstream = opened.enter_context(DeafOrigin()).port if upload else bench.origin
        answering = opened.enter_context(bench.started(peer, Role.GATEWAY, upstream=upstream))
        pids = answering.program.pids()
        empty = memory.settled_pss_bytes(pids)
        drive = hold.stalled_uploads if upload else hold.slow_readers
        host = f"127.0.0.1:{upstream}"
        sample = partial(memory.pss_bytes, pids)
        try:
            peak = drive(answering.setup.port, host, bench.held_count, seconds=bench.seconds, sample=sample)
        except OSError as error:
            raise MeasureError(f"did not hold the exchange: {error}") from error
        return Measurement(cost=max(0, peak - empty) / bench.held_count, pss_bytes=peak)


def start(peer: Peer, bench: Bench) -> Measurement:
    """Seconds from `script/run` to the first answer through it, on a machine that is set up."""
    script = ROOT / "script" / "run"
    if peer.find() is None or not script.exists():
        raise MeasureError("not installed")
    port = free_port()
    directory = bench.directory / f"run-{port}"
    directory.mkdir()
    listen = ["--listen", f"127.0.0.1:{port}", "--no-console", "--state", str(directory / "state")]
    begin = time.monotonic()
    with running([str(script), "proxy", *listen], directory=ROOT, output=directory / "output") as process:
        process.wait_until_accepting(port, deadline_s=30)
        host = f"127.0.0.1:{bench.origin}"
        _first_answer(port, f"http://{host}/1k", host, Role.PROXY)
        return Measurement(cost=time.monotonic() - begin, pss_bytes=memory.pss_bytes(process.pids()))


def _first_answer(port: int, target: str, host: str, role: Role) -> None:
    try:
        with load.connected(port, tls=role is Role.TLS_GATEWAY) as connection:
            load.probe(connection, target, host)
    except OSError as error:
        raise MeasureError(f"its first answer did not come: {error}") from error

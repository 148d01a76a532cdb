"""How the instance stands: what was counted second by second, which hosts were asked, what is wrong.

Everything here is of a fixed size: SECONDS values of each series, one histogram a second for the last few of them, and
MOST_HOSTS hosts, of which the least asked make way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interpose.console.events import Events
from interpose.console.flow_views import row_of
from interpose.console.latencies import Latencies, percentiles
from interpose.console.problems import Problem, Seen, problems_of
from interpose.core.journal import Summary, Trait
from interpose.storage.journal.thread import JournalThread

log = logging.getLogger("interpose")

SECONDS: Final = 900
SMOOTHED_S: Final = 10
HIT_RATIO_S: Final = 60
MOST_HOSTS: Final = 1000
KEPT_HOSTS: Final = 500
SHOWN_HOSTS: Final = 10
MOST_MISSED_S: Final = 5.0

_PARTS = (0.5, 0.95, 0.99)
_HITS = ("cache_hits_total", "cache_stale_total", "cache_validated_total")
_LOOKS = (*_HITS, "cache_misses_total")


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """The last second; times to answer are of the last ten."""

    requests_per_s: float
    errors_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    connections: float
    exchanges: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    hit_ratio: float | None
    waiting_holds: int
    blocked: int | None = None
    """What the firewall refused; None where there is none."""
    detected: int | None = None
    """What it would have refused, where it only detects."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One value a second, the oldest first; `at` are seconds since 1970."""

    at: list[float]
    requests: list[float]
    errors: list[float]
    bytes_in: list[float]
    bytes_out: list[float]
    connections: list[float]
    p50_ms: list[float]
    p95_ms: list[float]
    p99_ms: list[float]
    hit_ratio: list[float | None]
    """Of the minute before each second; None where nothing was asked."""
    blocked: list[int | None]
    """How many, in each second."""
    detected: list[int | None]


class Host(msgspec.Struct, kw_only=True):
    """A host that was asked. Counts of hosts that were forgotten for a while begin anew."""

    host: str
    requests: int = 0
    bytes: int = 0
    errors: int = 0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process."""

    slot: int
    pid: int | None
    state: str
    connections: float
    exchanges: float
    memory_bytes: float
    restarts: int


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """The journal."""

    records: int
    bytes: int
    dropped_total: int
    index_lag_s: float
    index_cpu_s: float
    """CPU time that went into the index of texts so far."""


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """The instance."""

    name: str
    version: str
    uptime_s: float
    listeners: list[dict[str, str]]


class OverviewView(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    instance: InstanceView
    now: Now
    series: Series
    top_hosts: list[Host]
    workers: list[WorkerView]
    journal: JournalView | None
    problems: list[Problem]


_NOTHING = Now(
    requests_per_s=0, errors_per_s=0, bytes_in_per_s=0, bytes_out_per_s=0, connections=0, exchanges=0, p50_ms=0,
    p95_ms=0, p99_ms=0, hit_ratio=None, waiting_holds=0,
)  # fmt: skip


class Overview:
    """See the module. `status` gives the instance's; `waiting` how many holds wait; `more` further problems.

    `run` belongs to a task of whoever made it. `take` hears of records.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        events: Events,
        *,
        journal: JournalThread | None = None,
        waiting: Callable[[], int] = lambda: 0,
        more: Callable[[], Iterable[Problem]] = tuple,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = _NOTHING
        self._status = status
        self._events = events
        self._journal = journal
        self._waiting = waiting
        self._more = more
        self._wall = wall
        self._clock = clock
        self._at: deque[float] = deque(maxlen=SECONDS)
        self._series: deque[Now] = deque(maxlen=SECONDS)
        self._latencies: deque[Latencies] = deque([Latencies()], maxlen=SMOOTHED_S)
        self._looks: deque[tuple[float, float]] = deque(maxlen=HIT_RATIO_S)
        self._hosts: dict[str, Host] = {}
        self._seen = Seen()
        self._bytes_in = self._bytes_out = 0
        self._before: Mapping[str, float] = {}
        self._sampled_at: float | None = None

    # --- what happens ----------------------------------------------------------------------------------------------

    def take(self, summaries: Sequence[Summary]) -> None:
        """These records are new: count them, and tell whoever watches."""
        latencies = self._latencies[-1]
        for summary in summaries:
            self._bytes_in += summary.request_size
            self._bytes_out += summary.response_size
            if summary.kind == "http":
                latencies.add(summary.duration_s * 1000)
            if summary.host:
                self._count(summary)
        if self._events.has_clients:
            for summary in summaries:
                self._events.publish("flow", row_of(summary))
        else:
            self._events.skip(len(summaries))

    def _count(self, summary: Summary) -> None:
        host = self._hosts.get(summary.host)
        if host is None:
            if len(self._hosts) >= MOST_HOSTS:
                kept = sorted(self._hosts.values(), key=lambda host: host.requests, reverse=True)[:KEPT_HOSTS]
                self._hosts = {host.host: host for host in kept}
            host = self._hosts[summary.host] = Host(host=summary.host)
        host.requests += 1
        host.bytes += summary.request_size + summary.response_size
        host.errors += bool(summary.traits & Trait.ERROR)

    # --- once a second ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sample once a second, until cancelled."""
        due = self._clock()
        while True:
            try:
                self.sample()
            except Exception:  # one second less in the charts, and not all from here on
                log.exception("the overview of this second could not be made")
            due += 1.0
            left = due - self._clock()
            if left < -MOST_MISSED_S:  # the machine slept, or stood still
                due = self._clock()
            await asyncio.sleep(max(0.0, left))

    def sample(self) -> None:
        """Take down the second that has passed."""
        status, at = self._status(), self._clock()
        counters: Mapping[str, float] = status.get("counters", {})
        elapsed_s = max(0.1, at - self._sampled_at) if self._sampled_at is not None else 1.0

        def grown(name: str) -> float:
            return max(0.0, counters.get(name, 0.0) - self._before.get(name, counters.get(name, 0.0)))

        def per_s(name: str) -> float:
            return round(grown(name) / elapsed_s, 2)

        looks = sum(counters.get(name, 0.0) for name in _LOOKS)
        self._looks.append((sum(counters.get(name, 0.0) for name in _HITS), looks))
        times = percentiles(self._latencies, _PARTS) or [0.0, 0.0, 0.0]
        self.now = Now(
            requests_per_s=per_s("requests_total"), errors_per_s=per_s("failures_total"),
            bytes_in_per_s=round(self._bytes_in / elapsed_s), bytes_out_per_s=round(self._bytes_out / elapsed_s),
            connections=counters.get("connections", 0.0), exchanges=counters.get("exchanges", 0.0),
            p50_ms=times[0], p95_ms=times[1], p99_ms=times[2], hit_ratio=self._hit_ratio(),
            waiting_holds=self._waiting(), **{
                name: round(grown(f"firewall_{name}_total"))
                for name in ("blocked", "detected")
                if f"firewall_{name}_total" in counters
            },
        )  # fmt: skip
        self._seen.look(status, self._journal, at)
        self._at.append(round(self._wall(), 3))
        self._series.append(self.now)
        self._latencies.append(Latencies())
        self._bytes_in = self._bytes_out = 0
        self._before, self._sampled_at = dict(counters), at
        self._events.publish("second", self.now)

    def _hit_ratio(self) -> float | None:
        """The part of the last minute's requests that caches answered; None when none was asked."""
        (hits_before, looks_before), (hits, looks) = self._looks[0], self._looks[-1]
        asked = looks - looks_before
        return round(max(0.0, hits - hits_before) / asked, 4) if asked > 0 else None

    # --- what is shown ---------------------------------------------------------------------------------------------

    def view(self) -> OverviewView:
        """All of it, as it is now."""
        status = self._status()
        hosts = sorted(self._hosts.values(), key=lambda host: host.requests, reverse=True)[:SHOWN_HOSTS]
        return OverviewView(
            instance=InstanceView(
                name=status.get("name", ""), version=status.get("version", ""), uptime_s=status.get("uptime_s", 0.0),
                listeners=list(status.get("listeners", ())),
            ),
            now=self.now,
            series=self._series_view(),
            top_hosts=hosts,
            workers=[_worker(worker) for worker in status.get("workers", ())],
            journal=_journal(self._journal) if self._journal is not None else None,
            problems=[*problems_of(status, self._seen, self._clock()), *self._more()],
        )  # fmt: skip

    def _series_view(self) -> Series:
        names = {
            "requests": "requests_per_s", "errors": "errors_per_s", "bytes_in": "bytes_in_per_s",
            "bytes_out": "bytes_out_per_s", "connections": "connections", "p50_ms": "p50_ms", "p95_ms": "p95_ms",
            "p99_ms": "p99_ms", "hit_ratio": "hit_ratio", "blocked": "blocked", "detected": "detected",
        }  # fmt: skip
        values = {name: [getattr(second, of) for second in self._series] for name, of in names.items()}
        return Series(at=list(self._at), **values)


def _worker(worker: Mapping[str, Any]) -> WorkerView:
    counters = worker.get("counters", {})
    return WorkerView(
        slot=worker.get("number", 0), pid=worker.get("pid"), state=worker.get("state", ""),
        connections=counters.get("connections", 0.0), exchanges=counters.get("exchanges", 0.0),
        memory_bytes=counters.get("memory_bytes", 0.0), restarts=worker.get("restarts", 0),
    )  # fmt: skip


def _journal(journal: JournalThread) -> JournalView:
    totals = journal.totals
    return JournalView(
        records=totals.records, bytes=totals.bytes, dropped_total=journal.dropped,
        index_lag_s=round(journal.index_lag_s, 1), index_cpu_s=round(journal.index_cpu_s, 3),
    )  # fmt: skip

"""How the servers of upstreams stood in the last quarter of an hour: what charts show, and what has changed.

Workers are asked every EVERY_S seconds, as long as there are upstreams. All of it is of a fixed size: KEPT values of
each series of an upstream, KEPT_OF_SERVER of each of a server's, of MOST_SERVERS servers, and MOST_CHANGES changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from interpose.console.problems import Problem

log = logging.getLogger("interpose")

EVERY_S: Final = 2.0
KEPT: Final = 450
KEPT_OF_SERVER: Final = 90
MOST_SERVERS: Final = 200
MOST_CHANGES: Final = 50

USABLE: Final = frozenset(("up", "trying", "lone"))
"""Servers in these states get requests."""

Row = Mapping[str, Any]
Key = tuple[str, str]
"""Upstream and server."""


class UpstreamSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One value for each time; None where it is not known, or where nothing was asked."""

    upstream: str
    requests: list[float | None]
    """A second."""
    failed: list[float | None]
    """A second: without an answer, or answered with 5xx."""
    active: list[float | None]
    latency_ms: list[float | None]
    """To the first byte of an answer: the mean of what was asked."""
    slowest_ms: list[float | None]
    """That of the slowest server that was asked."""


class ServerSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The last values of one server, the newest of which belongs to the last time."""

    upstream: str
    server: str
    requests: list[float | None]
    failed: list[float | None]
    latency_ms: list[float | None]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A server has come to stand otherwise; `before` is empty for one that is new, `after` for one that is gone."""

    at: float
    upstream: str
    server: str
    before: str
    after: str
    why: str


class UpstreamsHistory(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `at` are seconds since 1970; changes come with the latest first."""

    every_s: float
    at: list[float]
    upstreams: list[UpstreamSeries]
    servers: list[ServerSeries]
    changes: list[Change]


class Moment(NamedTuple):
    """What was seen of one server, or of an upstream, at one time."""

    requests: float | None = None
    failed: float | None = None
    active: float | None = None
    latency_ms: float | None = None
    slowest_ms: float | None = None


class UpstreamHistory:
    """See the module. `rows` gives how the servers stand. `run` belongs to a task of whoever made it."""

    def __init__(
        self,
        rows: Callable[[], Awaitable[Sequence[Row]]],
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows: Sequence[Row] = ()
        """How they stood when they were asked last."""
        self._ask = rows
        self._wall = wall
        self._clock = clock
        self._at: deque[float] = deque(maxlen=KEPT)
        self._upstreams: dict[str, deque[Moment]] = {}
        self._servers: dict[Key, deque[Moment]] = {}
        self._changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._before: dict[Key, Row] = {}
        self._asked_at = 0.0

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            try:
                await self.sample()
            except Exception:  # a gap in the charts, and not their end
                log.exception("the servers of upstreams could not be asked about")
            await asyncio.sleep(EVERY_S)

    async def sample(self) -> None:
        """Take down how they stand."""
        rows = await self._ask()
        now, wall = self._clock(), round(self._wall(), 3)
        elapsed_s = max(0.1, now - self._asked_at)
        found = {(row["upstream"], row["server"]): row for row in rows}
        if not found and not self._before:
            return
        moments = {key: seen(row, self._before.get(key), elapsed_s) for key, row in found.items()}
        self._note_changes(found, wall)
        self._at.append(wall)
        names = dict.fromkeys(upstream for upstream, _ in found)
        for name in names:
            of_servers = [moment for (upstream, _), moment in moments.items() if upstream == name]
            self._upstreams.setdefault(name, deque(maxlen=KEPT)).append(together(of_servers))
        self._upstreams = {name: self._upstreams[name] for name in names}
        shown = dict(list(moments.items())[:MOST_SERVERS])
        for key, moment in shown.items():
            self._servers.setdefault(key, deque(maxlen=KEPT_OF_SERVER)).append(moment)
        self._servers = {key: self._servers[key] for key in shown}
        self.rows, self._before, self._asked_at = rows, found, now

    def _note_changes(self, found: Mapping[Key, Row], wall: float) -> None:
        known = {upstream for upstream, _ in self._before}
        for (upstream, server), row in found.items():
            before = self._before.get((upstream, server))
            state = "" if before is None else before["state"]
            if upstream in known and state != row["state"]:
                self._changes.appendleft(
                    Change(at=wall, upstream=upstream, server=server, before=state, after=row["state"], why=row["why"])
                )
        there = {upstream for upstream, _ in found}
        for (upstream, server), row in self._before.items():
            if upstream in there and (upstream, server) not in found:
                self._changes.appendleft(
                    Change(at=wall, upstream=upstream, server=server, before=row["state"], after="", why="")
                )

    def view(self) -> UpstreamsHistory:
        """What has been seen. Series that began later than others begin with None."""
        length = len(self._at)
        return UpstreamsHistory(
            every_s=EVERY_S,
            at=list(self._at),
            upstreams=[
                UpstreamSeries(
                    upstream=name,
                    **{
                        of: [*[None] * (length - len(kept)), *(getattr(one, of) for one in kept)]
                        for of in Moment._fields
                    },
                )
                for name, kept in self._upstreams.items()
            ],
            servers=[
                ServerSeries(
                    upstream=upstream,
                    server=server,
                    requests=[one.requests for one in kept],
                    failed=[one.failed for one in kept],
                    latency_ms=[one.latency_ms for one in kept],
                )
                for (upstream, server), kept in self._servers.items()
            ],
            changes=list(self._changes),
        )

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them."""
        for name in dict.fromkeys(row["upstream"] for row in self.rows):
            servers = [row for row in self.rows if row["upstream"] == name]
            out = [row for row in servers if row["state"] not in USABLE]
            ill = [row for row in out if row["state"] != "drained"]
            if len(out) == len(servers):
                because = f": {_reason(ill[0])}" if ill else ", since all are drained"
                yield Problem(text=f"No server of {name} gets requests{because}.", link="#/upstreams")
            elif ill:
                less = (
                    f"{len(ill)} of {len(servers)} servers of {name} {'gets' if len(ill) == 1 else 'get'} no requests"
                )
                yield Problem(text=f"{less}: {_reason(ill[0])}.", link="#/upstreams")


def _reason(row: Row) -> str:
    return f"{row['server']} is {row['state']}" + (f", {row['why']}" if row["why"] else "")


def seen(row: Row, before: Row | None, elapsed_s: float) -> Moment:
    """What a server did since `before`. Rates are not known while not the same number of workers tell of it."""
    active = row.get("active")
    if before is None or _workers(row) != _workers(before):
        return Moment(active=active)
    grown = {name: max(0, row[name] - before[name]) for name in ("requests", "failures", "errors")}
    requests = grown["requests"]
    latency_s = row["latency_s"] if requests else 0.0
    if "answered_s" in row:  # nobody estimates how long the next one will take: the mean of those that came
        answers = row["answers"] - before["answers"]
        latency_s = (row["answered_s"] - before["answered_s"]) / answers if answers > 0 else 0.0
    return Moment(
        round(requests / elapsed_s, 2),
        round((grown["failures"] + grown["errors"]) / elapsed_s, 2),
        active,
        round(latency_s * 1000, 3) if latency_s > 0 else None,
    )


def together(moments: Sequence[Moment]) -> Moment:
    """What all servers of an upstream did."""
    timed = [(one.requests, one.latency_ms) for one in moments if one.requests and one.latency_ms is not None]
    asked = sum(requests for requests, _ in timed)
    mean = sum(requests * latency_ms for requests, latency_ms in timed) / asked if asked else None
    return Moment(
        _sum([one.requests for one in moments]),
        _sum([one.failed for one in moments]),
        _sum([one.active for one in moments]),
        None if mean is None else round(mean, 3),
        max((latency_ms for _, latency_ms in timed), default=None),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum of those that are known; None when none is."""
    known = [value for value in values if value is not None]
    return round(sum(known), 2) if known else None


def _workers(row: Row) -> int:
    """How many workers have told of it."""
    return sum(row.get("workers", {}).values())

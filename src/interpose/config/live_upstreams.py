"""The upstreams of a running instance: what they are, how their servers stand, and draining one of them.

What is drained is applied by a reload in place, as live faults are: so every worker does it, and those that start later
too. `interpose reload` does not undo it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from interpose.config.kinds import server as server_text
from interpose.config.live_faults import LiveFaults
from interpose.config.model import Config
from interpose.config.origins import origin_of
from interpose.config.upstream_model import Upstream
from interpose.core.tally import STATUSES, Tally
from interpose.core.target import Origin
from interpose.engine.plan import Plan
from interpose.engine.reload import Result

QUESTION = b"upstreams "
"""What workers are asked, see `config.balancing.told`."""


class LiveUpstreams:
    """See the module. What its `plan_of` gives is to run; `begin` comes before anything is asked."""

    def __init__(self, plan_of: Callable[[Config], Plan]) -> None:
        self._plan_of = plan_of
        self._drained: dict[Origin, bool] = {}
        self._changing: LiveFaults | None = None
        self._ask: Callable[[bytes], Awaitable[list[bytes]]] | None = None
        self._tallies: Callable[[], Iterable[Tally]] = tuple

    def begin(
        self,
        changing: LiveFaults,
        ask: Callable[[bytes], Awaitable[list[bytes]]],
        tallies: Callable[[], Iterable[Tally]] = tuple,
    ) -> None:
        """Change the instance by the same reloads as `changing`, which knows what was written; `ask` its workers.
        `tallies` are what they have counted."""
        self._changing = changing
        self._ask = ask
        self._tallies = tallies

    def plan_of(self, config: Config) -> Plan:
        """The plan of `config` with what is drained."""
        upstreams = tuple(self._applied(upstream) for upstream in config.upstreams)
        return self._plan_of(msgspec.structs.replace(config, upstreams=upstreams) if self._drained else config)

    def _applied(self, upstream: Upstream) -> Upstream:
        """An upstream with exactly those drained that its table names, but for what was said live."""
        named = {origin_of(server) for server in upstream.drained}
        drained = [
            server for server in upstream.servers if self._drained.get(origin_of(server), origin_of(server) in named)
        ]
        return msgspec.structs.replace(upstream, drained=tuple(drained))

    async def rows(self) -> list[dict[str, Any]]:
        """How the servers stand in all workers together, by upstream. What a lone server does nobody judges, and only
        `[metrics]` counts. `drain` is what `drain` knows a server by; empty for one that nobody has named."""
        assert self._ask is not None
        written = self.written
        if not written.upstreams and not written.upstream_proxies:
            return []
        rows = together([msgspec.json.decode(answer) for answer in await self._ask(QUESTION)])
        upstreams = written.upstreams
        rows += lone(upstreams, self._tallies(), known={row["upstream"] for row in rows})
        named = {(one.name, str(origin_of(server))): server for one in upstreams for server in one.servers}
        for row in rows:
            row["drain"] = named.get((row["upstream"], row["server"].partition(" (")[0]), "")
        return rows

    @property
    def written(self) -> Config:
        """The configuration as it was read, without what is changed live."""
        assert self._changing is not None
        return self._changing.written

    def told(self) -> list[dict[str, Any]]:
        """What each upstream is, in the order of the configuration."""
        return [in_short(upstream) for upstream in self.written.upstreams]

    async def drain(self, server: str, *, undo: bool) -> Result:
        """Let a server get no new requests, in whichever upstreams it is; or let it have them again."""
        assert self._changing is not None
        known = {origin_of(one): one for upstream in self.written.upstreams for one in upstream.servers}
        try:
            origin = origin_of(server_text(Path(), server))
        except ValueError as error:
            return self._changing.refused(f"{server!r} {error}")
        if origin not in known:
            listed = ", ".join(known.values()) or "none at all"
            return self._changing.refused(f"{server!r} is no server of an upstream; there are {listed}")
        before = dict(self._drained)
        self._drained[origin] = not undo
        result = await self._changing.again()
        if result.errors:
            self._drained = before
        return result


def together(answers: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each server: numbers added up, the latency that of the slowest, the state that of most workers.

    `workers` counts them by state, since each judges by its own requests.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for rows in answers:
        for row in rows:
            found.setdefault((row["upstream"], row["server"]), []).append(row)
    told = []
    for (upstream, server), same in found.items():
        states = Counter(row["state"] for row in same)
        told.append(
            {
                "upstream": upstream,
                "server": server,
                "state": states.most_common(1)[0][0],
                "workers": dict(states),
                "why": next((row["why"] for row in same if row["why"]), ""),
                "weight": same[0]["weight"],
                "active": sum(row["active"] for row in same),
                "requests": sum(row["requests"] for row in same),
                "failures": sum(row["failures"] for row in same),
                "errors": sum(row["errors"] for row in same),
                "latency_s": max(row["latency_s"] for row in same),
            }
        )
    return told


def lone(upstreams: Iterable[Upstream], tallies: Iterable[Tally], known: Container[str]) -> list[dict[str, Any]]:
    """A row for each server that was counted and is in none of the `known` upstreams: those choose and judge nothing.

    Its `latency_s` is the mean of all its `answers`, which took `answered_s` together.
    """
    servers = {(one.name, server) for one in upstreams if one.name not in known for server in one.servers}
    return [_counted(tally) for tally in tallies if tally.what == "upstream" and tally.names in servers]


def _counted(tally: Tally) -> dict[str, Any]:
    by_status = dict(zip(STATUSES, tally.statuses, strict=True))
    upstream, server = tally.names
    answers = sum(tally.times)
    return {
        "upstream": upstream,
        "server": str(origin_of(server)),
        "state": "lone",
        "why": "",
        "requests": sum(tally.statuses),
        "failures": by_status["none"],
        "errors": by_status["5xx"],
        "answers": answers,
        "answered_s": tally.seconds,
        "latency_s": round(tally.seconds / answers, 6) if answers else 0.0,
    }


def in_short(upstream: Upstream) -> dict[str, Any]:
    """What of an upstream explains how its servers get requests."""
    check = upstream.check
    return {
        "name": upstream.name,
        "servers": list(upstream.servers),
        "srv": list(upstream.srv),
        "balance": upstream.balance,
        "hash_on": upstream.hash_on if upstream.balance == "hash" else "",
        "sticky_cookie": upstream.sticky_cookie,
        "check": None if check is None else msgspec.to_builtins(check),
        "backup": upstream.backup,
        "mirror": upstream.mirror,
        "mirror_share": upstream.mirror_share,
    }

"""The upstreams of a running instance: how their servers stand, and draining one of them.

What is drained is applied by a reload in place, as live faults are: so every worker does it, and those that start later
too. `interpose reload` does not undo it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from interpose.config.kinds import server as server_text
from interpose.config.live_faults import LiveFaults
from interpose.config.model import Config
from interpose.config.origins import origin_of
from interpose.config.upstream_model import Upstream
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

    def begin(self, changing: LiveFaults, ask: Callable[[bytes], Awaitable[list[bytes]]]) -> None:
        """Change the instance by the same reloads as `changing`, which knows what was written; `ask` its workers."""
        self._changing = changing
        self._ask = ask

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
        """How the servers stand in all workers together, by upstream."""
        assert self._ask is not None
        return together([msgspec.json.decode(answer) for answer in await self._ask(QUESTION)])

    async def drain(self, server: str, *, undo: bool) -> Result:
        """Let a server get no new requests, in whichever upstreams it is; or let it have them again."""
        assert self._changing is not None
        written = self._changing.written
        known = {origin_of(one): one for upstream in written.upstreams for one in upstream.servers}
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
                "latency_s": max(row["latency_s"] for row in same),
            }
        )
    return told

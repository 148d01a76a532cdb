"""A simulation of a group of servers under load, in virtual time: `upstream.group` as it is, and servers made up.

    simulation = Simulation(servers(10), GroupOptions(balance="fastest"), rate=1000)
    simulation.run(60.0)
    simulation.rows                     one for each request: when, which server, how long, whether it failed

Requests come at random (a Poisson process), each takes a time drawn from an exponential distribution around what its
server needs at that moment, and a server works on as many as it has places; what is above waits in its queue.
`bench.balancing_charts` draws docs/balancing-*.svg with it; tests/unit/upstream hold the choosing to its bounds.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from interpose.core.target import Origin
from interpose.upstream.group import Group, Member
from interpose.upstream.options import GroupOptions
from interpose.upstream.server import Server


class Row(NamedTuple):
    """One request."""

    started: float
    server: int
    """-1 when none was up."""
    took_s: float
    failed: bool


class Machine:
    """A made-up server: `needs_s` gives seconds of work for a request that begins at a time; None refuses it."""

    def __init__(self, needs_s: Callable[[float], float | None], places: int = 8) -> None:
        self.needs_s = needs_s
        self.places = places
        self.working = 0
        self.queue: deque[tuple[float, Server]] = deque()


def steady(needs_s: float) -> Callable[[float], float | None]:
    """A server that never changes."""
    return lambda now: needs_s


def members(number: int, weights: Sequence[float] = ()) -> list[Member]:
    """So many servers."""
    return [
        Member(Origin("http", f"10.0.{index // 250}.{index % 250}", 80), weights[index] if weights else 1.0)
        for index in range(number)
    ]


class Simulation:
    """See the module."""

    def __init__(
        self,
        machines: Sequence[Machine],
        options: GroupOptions,
        *,
        rate: float,
        weights: Sequence[float] = (),
        seed: int = 1,
        key: Callable[[random.Random], bytes] = lambda chance: b"",
    ) -> None:
        self.chance = random.Random(seed)
        self.machines = machines
        self.group = Group("simulated", self.chance.random)
        self.group.configure(members(len(machines), weights), options)
        self.rate = rate
        self.key = key
        self.rows: list[Row] = []
        self._next = count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(self, when: float, do: Callable[[float], None]) -> None:
        """Have something happen."""
        heappush(self._events, (when, next(self._next), do))

    def run(self, seconds: float) -> None:
        """Let requests come for so long, and end."""
        self.at(self.chance.expovariate(self.rate), lambda now: self._arrive(now, seconds))
        for second in range(1, int(seconds) + 1):
            self.at(float(second), self.group.tick)
        while self._events:
            now, _, do = heappop(self._events)
            do(now)

    def counts(self, since: float = 0.0, until: float = 1e9) -> Counter[int]:
        """Requests of each server."""
        return Counter(row.server for row in self.rows if since <= row.started < until)

    def quantile(self, share: float, since: float = 0.0) -> float:
        """The duration that so many requests stay below."""
        took = sorted(row.took_s for row in self.rows if row.started >= since)
        return took[int(share * len(took))]

    def _arrive(self, now: float, until: float) -> None:
        following = now + self.chance.expovariate(self.rate)
        if following < until:
            self.at(following, lambda then: self._arrive(then, until))
        self._send(now, now, self.key(self.chance), ())

    def _send(self, began: float, now: float, key: bytes, avoid: tuple[Server, ...]) -> None:
        server = self.group.choose(key, now, avoid)
        if server is None:
            self.rows.append(Row(began, -1, 0.0, True))
            return
        machine = self.machines[server.index]
        if machine.needs_s(now) is None:
            self.group.failed(server, "refuses", now, unreachable=True)
            self.group.ended(server)
            if avoid:
                self.rows.append(Row(began, server.index, now - began, True))
            else:
                self._send(began, now, key, (server,))
        elif machine.working < machine.places:
            self._work(began, now, server)
        else:
            machine.queue.append((began, server))

    def _work(self, began: float, now: float, server: Server) -> None:
        machine = self.machines[server.index]
        machine.working += 1
        needs_s = self.chance.expovariate(1.0 / (machine.needs_s(now) or 0.001))
        self.at(now + needs_s, lambda then: self._done(began, then, server))

    def _done(self, began: float, now: float, server: Server) -> None:
        machine = self.machines[server.index]
        machine.working -= 1
        died = machine.needs_s(now) is None
        if died:
            self.group.failed(server, "breaks off", now, unreachable=False)
        else:
            self.group.answered(server, 200, now - began, now)
        self.group.ended(server)
        self.rows.append(Row(began, server.index, now - began, died))
        if machine.queue:
            self._work(machine.queue[0][0], now, machine.queue.popleft()[1])

"""A group of servers of which any will do: who gets the next request, and what is learnt from how it went.

Whoever sends a request says `choose`, then `answered` or `failed`, and `ended` in any case; and `tick` once a second.
Nothing here waits or connects. Where no server can be had, `lack` says whether it is of use to wait.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import Any, NamedTuple

from interpose.core.target import Origin
from interpose.upstream.budget import RetryBudget
from interpose.upstream.fastest import Fastest
from interpose.upstream.first import First
from interpose.upstream.hash_ring import HashRing
from interpose.upstream.least_active import LeastActive
from interpose.upstream.options import Balance, GroupOptions
from interpose.upstream.picker import Picker, Random
from interpose.upstream.round_robin import RoundRobin
from interpose.upstream.server import Server

FAILED_LATENCY_S = 1.0
"""What an answer that broke off counts as among latencies: who breaks off at once must not look fast."""

PICKERS: dict[Balance, Callable[[Random], Picker]] = {
    "round_robin": RoundRobin,
    "least_active": LeastActive,
    "fastest": Fastest,
    "hash": lambda random: HashRing(),
    "first": lambda random: First(),
}


class Lack(enum.Enum):
    """Why there is no server for a request."""

    DOWN = "none is up"
    FULL = "all are full"


class Member(NamedTuple):
    """A server as it is configured. `limit`: requests at the same time, 0 for any number. `tier`: see `Server`."""

    origin: Origin
    weight: float = 1.0
    limit: int = 0
    tier: int = 0


class Group:
    """The servers of one upstream. `random` gives numbers from 0 to just below 1."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self.options = GroupOptions()
        self.servers: tuple[Server, ...] = ()
        self.active = 0
        self.budget = RetryBudget()
        self._random = random
        self._picker: Picker = RoundRobin(random)
        self._usable: list[Server] = []
        self._next_try = inf

    def configure(self, members: Sequence[Member], options: GroupOptions) -> None:
        """Have these servers, and choose like this. Who is a member already keeps what is known of it."""
        known = {server.origin: server for server in self.servers}
        servers = []
        for index, (origin, weight, limit, tier) in enumerate(members):
            server = known.get(origin) or Server(origin, index, weight, limit, tier)
            if server.weight != weight:
                server.share = server.weight = weight
            server.index, server.limit, server.tier = index, limit, tier
            servers.append(server)
        changed_ways = options.balance != self.options.balance or tuple(servers) != self.servers
        self.servers, self.options = tuple(servers), options
        if changed_ways or options.balance == "hash":  # places on a ring follow from weights
            self._picker = PICKERS[options.balance](self._random)
        self._refresh()

    def choose(
        self, key: bytes, now: float, avoid: Collection[Server] = (), prefer: Server | None = None
    ) -> Server | None:
        """The server for one more request, which counts as under way on it from now on; None: see `lack`.

        Not one of `avoid`, which have failed with this request; `prefer` if it can be had.
        """
        limit = self.options.max_active
        if 0 < limit <= self.active:
            return None
        server: Server | None
        if now >= self._next_try and (server := self._on_trial(now, avoid)) is not None:
            pass
        elif prefer is not None and prefer in self._usable and not prefer.is_full and prefer not in avoid:
            server = prefer
        elif (server := self._picker.pick(key, self.active, now, avoid)) is None:
            return None
        server.active += 1
        server.chosen += 1
        self.active += 1
        return server

    @property
    def lack(self) -> Lack:
        """Why nothing was chosen. Servers that are still being looked up are waited for."""
        return Lack.FULL if self._usable or not self.servers else Lack.DOWN

    def may_serve(self, now: float) -> bool:
        """Whether somebody is up, or ought to be tried."""
        return bool(self._usable) or now >= self._next_try

    def answered(self, server: Server, status: int, latency_s: float, now: float) -> None:
        """The head of an answer has come, `latency_s` after the request was sent."""
        health = server.health
        if health.is_trying:  # what was under way when it was ejected says nothing about whether it is back
            if status < 500 or not self._usable:
                self._return(server, now)
            else:
                self._eject(server, f"answers {status}", now)
        health.unreachable = 0
        health.answers += 1.0
        if status < 500:
            server.took(latency_s, now)
        else:  # an error that comes quickly must not look like a fast server
            server.errors += 1
            server.took(max(latency_s, server.latency_s(now)), now)
            self._erred(server, f"answers {status}", now)

    def failed(self, server: Server, why: str, now: float, *, unreachable: bool) -> None:
        """There was no answer, or none that is whole. `unreachable`: no connection could be made."""
        health = server.health
        server.failures += 1
        if health.is_trying:
            self._eject(server, why, now)
        elif unreachable:
            health.unreachable += 1
            most = self.options.eject_failures
            has_others = len(self.servers) > 1 or self.options.has_backup
            if 0 < most <= health.unreachable and not health.is_ejected and has_others:
                self._eject(server, why, now)
        else:
            health.answers += 1.0
            server.took(max(FAILED_LATENCY_S, server.latency_s(now)), now)
            self._erred(server, why, now)

    def ended(self, server: Server) -> None:
        """The request is over: its answer has been passed on to the last byte, or there is none."""
        server.active -= 1
        self.active -= 1
        self._picker.ended(server)
        if server.health.is_trying:  # nobody learnt anything: the client left
            server.health.is_trying = False
            self._refresh()

    def checked(self, server: Server, why: str, now: float, *, rise: int, fall: int) -> bool:
        """A check of `server` went well (`why` is empty) or not; whether it changed how the server stands."""
        if not server.health.checked(why, rise, fall):
            return False
        if not why:
            self._begin_slowly(server, now)
        self._refresh()
        return True

    def drain(self, origins: Collection[Origin], now: float) -> None:
        """Exactly these get no new requests from now on; whoever is named without an address, at all of them."""
        changed = [server for server in self.servers if server.health.is_drained != _is_named(server.origin, origins)]
        for server in changed:
            server.health.is_drained = not server.health.is_drained
            if not server.health.is_drained:
                self._begin_slowly(server, now)
        if changed:
            self._refresh()

    def tick(self, now: float) -> None:
        """Once a second: what was long ago fades, and who has come back gets a little more."""
        self.budget.tick()
        warming = False
        for server in self.servers:
            server.health.fade()
            if server.warming_since is not None:
                server.warm(now, self.options.slow_start_s)
                warming = True
        if warming:
            self._refresh()

    def _on_trial(self, now: float, avoid: Collection[Server]) -> Server | None:
        """A server whose rest is over; this one request shows whether it is back."""
        soonest = self._soonest_s
        due = [one for one in self.servers if one.health.tried_from(soonest) <= now and one not in avoid]
        if not due:
            return None
        server = min(due, key=lambda one: one.health.until)
        server.health.is_trying = True
        self._refresh()
        return server

    def _erred(self, server: Server, why: str, now: float) -> None:
        health, options = server.health, self.options
        health.errors += 1.0
        share = health.error_share
        if not 0 < options.eject_share <= share or health.is_ejected or len(self.servers) < 2:
            return
        others = [one.health for one in self._usable if one is not server]
        elsewhere = sum(one.errors for one in others) / max(1.0, sum(one.answers for one in others))
        ejected = sum(one.health.is_ejected for one in self.servers)
        if others and elsewhere < share / 2 and ejected < max(1, int(options.max_ejected_share * len(self.servers))):
            self._eject(server, f"{share:.0%} of its answers are errors; it {why}", now)

    def _eject(self, server: Server, why: str, now: float) -> None:
        server.health.eject(why, now, self.options, self._random())
        self._refresh()

    def _return(self, server: Server, now: float) -> None:
        server.health.restore(now)
        self._begin_slowly(server, now)
        self._refresh()

    def _begin_slowly(self, server: Server, now: float) -> None:
        if self.options.slow_start_s > 0:
            server.warming_since = now
            server.warm(now, self.options.slow_start_s)

    @property
    def _soonest_s(self) -> float:
        """When nobody is up, no rest is longer than the shortest: whoever comes back first is found at once."""
        return inf if self._usable else self.options.eject_s

    def _refresh(self) -> None:
        """Somebody's standing has changed."""
        usable = [server for server in self.servers if server.health.is_usable]
        first = min((server.tier for server in usable), default=0)
        self._usable = [server for server in usable if server.tier == first]
        self._picker.have(self._usable)
        soonest = self._soonest_s
        self._next_try = min((server.health.tried_from(soonest) for server in self.servers), default=inf)

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Every server as plain values, for people."""
        return [
            {
                "upstream": self.name,
                "server": str(server.origin),
                "state": server.health.state.value,
                "why": server.health.why,
                "weight": server.weight,
                "active": server.active,
                "requests": server.chosen,
                "failures": server.failures,
                "errors": server.errors,
                "latency_s": round(server.latency_s(now), 6),
            }
            for server in self.servers
        ]


def _is_named(origin: Origin, names: Collection[Origin]) -> bool:
    return origin in names or (origin.at != "" and origin._replace(at="") in names)

"""Counts exchanges by status and time, for each route, and what went upstream, for each server.

What clients can make different (paths, hosts, the servers that they name to a proxy) is no label: there are as many
counts as the configuration has routes and servers, whatever passes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Mapping
from typing import Final

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.tally import BOUNDS_S, STATUSES, Key, Tally
from interpose.core.target import Origin

NO_ROUTE: Final = "(none)"
NAMED_BY_CLIENTS: Final = "(named by clients)"
_BOUNDS: Final = BOUNDS_S
_CLASSES: Final = tuple([min(status // 100, len(STATUSES) - 1) for status in range(1000)])
"""Where a status is counted, by the status: a look into a table, which is half of what a division costs."""


class Count:
    """What a `Tally` is made of, while it is counted."""

    __slots__ = ("content_bytes", "has_changed", "seconds", "statuses", "times")

    def __init__(self) -> None:
        self.statuses = [0] * len(STATUSES)
        self.times = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.content_bytes = 0
        self.has_changed = False

    def hit(self) -> None:
        """One more, of what has neither status nor time."""
        self.statuses[0] += 1
        self.has_changed = True


class Counts:
    """All counts of a worker, by what they count. They outlive reloads, so that none ever falls."""

    def __init__(self) -> None:
        self._counts: dict[Key, Count] = {}

    def of(self, key: Key, *, shown: bool = False) -> Count:
        """The count of `key`, from nothing when there was none; `shown` before there is anything to count."""
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = Count()
        count.has_changed = count.has_changed or shown
        return count

    def changed(self) -> list[Tally]:
        """Those that have changed since this was asked last, as they stand now."""
        tallies = []
        for (what, names), count in self._counts.items():
            if count.has_changed:
                count.has_changed = False
                times = (list(count.statuses), list(count.times), count.seconds, count.content_bytes)
                tallies.append(Tally(what, names, *times))
        return tallies


class RouteCounts:
    """The counts of one route: of its exchanges, and of its servers. `others` is for servers that are not listed."""

    __slots__ = ("exchanges", "others", "servers")

    def __init__(self, exchanges: Count, servers: Mapping[Origin, Count], others: Count) -> None:
        self.exchanges = exchanges
        self.servers = dict(servers)
        self.others = others


class Ending:
    """Counts one exchange when it is called with the outcome. (A class, since a `partial` costs more once compiled.)"""

    __slots__ = ("_exchange", "_meter")

    def __init__(self, meter: Meter, exchange: Exchange) -> None:
        self._meter = meter
        self._exchange = exchange

    def __call__(self, outcome: Outcome) -> None:
        """Count it."""
        self._meter.count(self._exchange, outcome)


class Meter:
    """The filter (phase OBSERVE). `routes` by name; what has no route, or an unknown one, is counted in `rest`."""

    def __init__(self, routes: Mapping[str, RouteCounts], rest: RouteCounts) -> None:
        self._routes = dict(routes)
        self._rest = rest

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. (No coroutine of its own, as for the access log.)"""
        exchange.at_end(Ending(self, exchange))
        return forward(exchange, request)

    def without_request(self, exchange: Exchange) -> None:
        """Count an exchange whose request could not be read."""
        exchange.at_end(Ending(self, exchange))

    def count(self, exchange: Exchange, outcome: Outcome) -> None:
        """Count an exchange that has ended."""
        route = self._routes.get(exchange.route)
        if route is None:
            route = self._rest
        count = route.exchanges
        seconds = outcome.ended - exchange.started
        count.statuses[_CLASSES[outcome.status]] += 1
        count.times[bisect_left(_BOUNDS, seconds)] += 1
        count.seconds += seconds
        count.content_bytes += outcome.body_bytes
        count.has_changed = True
        if attempts := exchange.attempts:
            for attempt in attempts:
                _count_attempt(route, attempt)


def _count_attempt(route: RouteCounts, attempt: Attempt) -> None:
    """Count what went to a server, and how long its answer took if there was one."""
    origin = attempt.origin
    count = route.servers.get(origin)
    if count is None and origin.at:  # one address of a server that is configured by its name
        count = route.servers.get(origin._replace(at=""))
    if count is None:
        count = route.others
    count.statuses[_CLASSES[attempt.status]] += 1
    if attempt.first_byte:
        seconds = attempt.first_byte - attempt.started
        count.times[bisect_left(_BOUNDS, seconds)] += 1
        count.seconds += seconds
    count.has_changed = True

"""What counts the exchanges of a listener: one count for each route, and one for each server behind it."""

from __future__ import annotations

from collections.abc import Sequence

from interpose.config.model import Config, Listener, Route, Upstream
from interpose.config.origins import origin_of
from interpose.config.parts import Parts
from interpose.filters.meter import NAMED_BY_CLIENTS, NO_ROUTE, Counts, Meter, RouteCounts

OTHERS = "(others)"


def meter(config: Config, listener: Listener, routes: Sequence[Route], parts: Parts) -> Meter:
    """The meter of `listener`, which has these routes; none for one whose clients say where to go."""
    (counts,) = parts.every(Counts)

    def counts_of(name: str, upstream_name: str) -> RouteCounts:
        named = upstream_name or NAMED_BY_CLIENTS
        return RouteCounts(
            counts.of(("route", (listener.name, name)), shown=name != NO_ROUTE),
            {
                origin_of(server): counts.of(("upstream", (upstream.name, server)), shown=True)
                for upstream in reversed(with_backups(config, upstream_name))
                for server in upstream.servers
            },
            counts.of(("upstream", (named, OTHERS if upstream_name else NAMED_BY_CLIENTS))),
        )

    by_name = {route.name: counts_of(route.name, route.upstream) for route in routes}
    takes_all = len(routes) == 1 and takes_every_request(routes[0])
    return Meter(by_name, by_name[routes[0].name] if takes_all else counts_of(NO_ROUTE, ""))


def with_backups(config: Config, name: str) -> list[Upstream]:
    """The upstream of that name, its backup, the backup of that, and so on; none without a name."""
    found = []
    while name:
        found.append(next(one for one in config.upstreams if one.name == name))
        name = found[-1].backup
    return found


def takes_every_request(route: Route) -> bool:
    """Whether nothing can miss it: such a route needs no router, and exchanges do not name it."""
    return not (route.hosts or route.path != "/" or route.exact or route.methods or route.when or route.cors)

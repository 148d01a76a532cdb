"""The router: a Handler that hands each request to the most specific route its canonical target matches.

A name beats a wildcard, a longer wildcard a shorter one, any host comes last; for a host an exact path beats prefixes
and a longer prefix a shorter one; for a path a route that names the method beats one that takes all. So the order of
a file means nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.target import without_parameters


class Match(NamedTuple):
    """What a route takes, and what it is called. Hosts are lower case, `*.example` stands for every name below it, none
    for any host."""

    hosts: tuple[str, ...] = ()
    path: str = "/"
    exact: bool = False
    methods: tuple[str, ...] = ()
    name: str = ""


class Router:
    """Routes by host, then path, then method."""

    def __init__(self, routes: Iterable[tuple[Match, Handler]]) -> None:
        self._names: dict[str, list[tuple[Match, Handler]]] = {}
        self._suffixes: dict[str, list[tuple[Match, Handler]]] = {}
        self._anywhere: list[tuple[Match, Handler]] = []
        for match, handler in routes:
            for host in match.hosts or ("",):
                if not host:
                    self._anywhere.append((match, handler))
                elif host.startswith("*."):
                    self._suffixes.setdefault(host[1:], []).append((match, handler))
                else:
                    self._names.setdefault(host, []).append((match, handler))
        for table in (self._anywhere, *self._names.values(), *self._suffixes.values()):
            table.sort(key=lambda entry: (not entry[0].exact, -len(entry[0].path), not entry[0].methods))

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`. `Failure` destination_not_found (404) when nothing matches, methods included."""
        found = self.find(request.method, request.target.authority.host, request.target.path)
        if found is None:
            exchange.refused_by("router", "no route", str(request.target))
            raise Failure(
                "destination_not_found", Side.INTERNAL, f"No route is configured for {request.target}.", status=404
            )
        match, handler = found
        exchange.route = match.name
        return handler(exchange, request)

    def find(self, method: str, host: str, path: str) -> tuple[Match, Handler] | None:
        """The most specific route, else None."""
        if ";" in path:
            path = without_parameters(path)
        for table in self._tables(host):
            for entry in table:
                match = entry[0]
                if match.methods and method not in match.methods:
                    continue
                if path == match.path if match.exact else is_below(path, match.path):
                    return entry
        return None

    def _tables(self, host: str) -> Iterable[list[tuple[Match, Handler]]]:
        if host in self._names:
            yield self._names[host]
        if self._suffixes:
            dot = host.find(".")
            while dot >= 0:
                if (table := self._suffixes.get(host[dot:])) is not None:
                    yield table
                dot = host.find(".", dot + 1)
        yield self._anywhere


def is_below(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or lies below it: `/api` takes `/api` and `/api/x`, not `/apis`."""
    if not path.startswith(prefix):
        return prefix == "/" and not path  # OPTIONS *
    return len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"

"""The router: a Handler that hands each request to the most specific route its canonical target matches.

A name beats a wildcard, a longer wildcard a shorter one, any host comes last. For a host an exact path beats templates
(`/users/{id}`), one with more segments written out beats one with fewer, and all of them beat prefixes, a longer one a
shorter one. For a path the routes with a condition are asked first, in the order of the file; of the others one that
names the method beats one that takes all. So but for conditions the order of a file means nothing.

Hosts and paths are looked up and not gone through: templates by their shape (how many segments, which of them are
written out), prefixes from the longest that the path has. A thousand routes cost what three do.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.path_pattern import PathPattern, pattern_of, segments_of
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.core.target import without_parameters

PREFLIGHT = "access-control-request-method"


class Match(NamedTuple):
    """What a route takes, and what it is called. Hosts are lower case, `*.example` stands for every name below it, none
    for any host. `when` is a query. `preflights`: the question of a browser whether it may use a method comes to the
    route that takes the method."""

    hosts: tuple[str, ...] = ()
    path: str = "/"
    exact: bool = False
    methods: tuple[str, ...] = ()
    name: str = ""
    when: str = ""
    preflights: bool = False


Holds = Callable[[Matcher], bool]
"""Whether the request that is being routed meets a condition."""


class Candidate(NamedTuple):
    """A route at its place in the index."""

    methods: tuple[str, ...]
    condition: Matcher | None
    match: Match
    handler: Handler
    pattern: PathPattern | None

    @property
    def rank(self) -> tuple[bool, bool]:
        """Its place among those of the same host and path."""
        return self.condition is None, self.condition is None and not self.methods


class Found(NamedTuple):
    """The route that takes a request, and what its template found in the path."""

    match: Match
    handler: Handler
    captured: dict[str, str] | None = None


def first(candidates: Sequence[Candidate], method: str, wanted: str, holds: Holds) -> Candidate | None:
    """The first that takes a request of this method. `wanted` is the method that a preflight is about."""
    for candidate in candidates:
        methods, condition, match, _, _ = candidate
        if methods and method not in methods and not (match.preflights and wanted in methods):
            continue
        if condition is None or holds(condition):
            return candidate
    return None


def never(condition: Matcher) -> bool:
    """What holds where nobody asks."""
    return False


class Router:
    """Routes by host, then path, then conditions and method. `wall` is the clock that `time:` in a condition means."""

    def __init__(self, routes: Iterable[tuple[Match, Handler]], wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        names: dict[str, list[Candidate]] = {}
        suffixes: dict[str, list[Candidate]] = {}
        anywhere: list[Candidate] = []
        self._has_conditions = False
        for match, handler in routes:
            condition = compile_query(parse(match.when)) if match.when else None
            candidate = Candidate(match.methods, condition, match, handler, pattern_of(match.path))
            self._has_conditions = self._has_conditions or condition is not None
            for host in match.hosts or ("",):
                if not host:
                    anywhere.append(candidate)
                elif host.startswith("*."):
                    suffixes.setdefault(host[1:], []).append(candidate)
                else:
                    names.setdefault(host, []).append(candidate)
        self._names = {host: Paths(candidates) for host, candidates in names.items()}
        self._suffixes = {suffix: Paths(candidates) for suffix, candidates in suffixes.items()}
        self._anywhere = Paths(anywhere)

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`. `Failure` destination_not_found (404) when nothing matches, methods included."""
        _, _, (host, _), path, _ = request.target
        holds = self._conditions(exchange, request) if self._has_conditions else never
        is_preflight = request.method == "OPTIONS" and "origin" in request.fields
        wanted = request.fields.get(PREFLIGHT, "") if is_preflight else ""
        found = self.find(request.method, host, path, wanted, holds)
        if found is None:
            exchange.refused_by("router", "no route", str(request.target))
            raise Failure(
                "destination_not_found", Side.INTERNAL, f"No route is configured for {request.target}.", status=404
            )
        match, handler, exchange.captured = found
        exchange.route = match.name
        return handler(exchange, request)

    def _conditions(self, exchange: Exchange, request: Request) -> Holds:
        """Tells whether conditions hold for this request, which is looked at when the first of them is asked."""
        live: Live | None = None

        def holds(condition: Matcher) -> bool:
            nonlocal live
            if live is None:
                live = Live(exchange, as_routed(request), time=self._wall())
            return condition.matches(live)

        return holds

    def find(self, method: str, host: str, path: str, wanted: str = "", holds: Holds = never) -> Found | None:
        """The most specific route, else None. `wanted` is the method that a preflight is about."""
        plain = without_parameters(path) if ";" in path else path
        found = None
        if (paths := self._names.get(host)) is not None:
            found = paths.find(plain, method, wanted, holds)
        if found is None and self._suffixes:
            dot = host.find(".")
            while found is None and dot >= 0:
                if (paths := self._suffixes.get(host[dot:])) is not None:
                    found = paths.find(plain, method, wanted, holds)
                dot = host.find(".", dot + 1)
        if found is None:
            found = self._anywhere.find(plain, method, wanted, holds)
            if found is None:
                return None
        _, _, match, handler, pattern = found
        return Found(match, handler, None if pattern is None else captured(pattern, path, plain))


class Paths:
    """The routes of one host, by path."""

    __slots__ = ("_exact", "_longest", "_prefixes", "_shapes")

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._exact: dict[str, list[Candidate]] = {}
        self._prefixes: dict[str, list[Candidate]] = {}
        shapes: dict[tuple[bool, int, tuple[int, ...]], Shape] = {}
        for candidate in sorted(candidates, key=lambda candidate: candidate.rank):
            _, _, match, _, pattern = candidate
            if pattern is not None:
                key = (bool(pattern.rest), len(pattern.segments), pattern.fixed)
                shapes.setdefault(key, Shape(pattern)).add(pattern, candidate)
            else:
                table = self._exact if match.exact else self._prefixes
                table.setdefault(match.path, []).append(candidate)
        self._shapes = sorted(shapes.values(), key=lambda shape: shape.rank)
        self._longest = max(map(len, self._prefixes), default=0)

    def find(self, path: str, method: str, wanted: str, holds: Holds) -> Candidate | None:
        """The most specific route that takes the path, which has no parameters any more."""
        if (same := self._exact.get(path)) is not None and (found := first(same, method, wanted, holds)) is not None:
            return found
        if self._shapes:
            given = segments_of(path)
            for shape in self._shapes:
                if (alike := shape.of(given)) is not None and (
                    found := first(alike, method, wanted, holds)
                ) is not None:
                    return found
        return self._below(path, method, wanted, holds) if self._prefixes else None

    def _below(self, path: str, method: str, wanted: str, holds: Holds) -> Candidate | None:
        """The longest prefix: the path itself, then what stands before each of its slashes, with the slash first."""
        prefixes = self._prefixes
        known = prefixes.get(path or "/")  # OPTIONS * has none
        if known is not None and (found := first(known, method, wanted, holds)) is not None:
            return found
        slash = path.rfind("/", 0, self._longest + 1)
        while slash >= 0:
            for prefix in (path[: slash + 1], path[:slash]):
                known = prefixes.get(prefix)
                if known is not None and (found := first(known, method, wanted, holds)) is not None:
                    return found
            slash = path.rfind("/", 0, slash)
        return None


class Shape:
    """Templates that are alike: as many segments, and the same ones written out. Found by what those are."""

    __slots__ = ("_by_fixed", "_count", "_fixed", "_has_rest", "_open")

    def __init__(self, pattern: PathPattern) -> None:
        self._count = len(pattern.segments)
        self._fixed = pattern.fixed
        self._open = tuple(place for place in range(self._count) if pattern.segments[place] is None)
        self._has_rest = bool(pattern.rest)
        self._by_fixed: dict[tuple[str, ...], list[Candidate]] = {}

    @property
    def rank(self) -> tuple[int, bool, int, tuple[int, ...]]:
        """Its place among shapes: most written out first, then the one whose end is known, the longer one, and the one
        that says earlier what it means."""
        return -len(self._fixed), self._has_rest, -self._count, self._fixed

    def add(self, pattern: PathPattern, candidate: Candidate) -> None:
        """One more of this shape."""
        fixed = tuple(pattern.segments[place] or "" for place in self._fixed)
        self._by_fixed.setdefault(fixed, []).append(candidate)

    def of(self, given: Sequence[str]) -> list[Candidate] | None:
        """Those that take a path of these segments."""
        if len(given) <= self._count if self._has_rest else len(given) != self._count:
            return None
        if not all(given[place] for place in self._open):
            return None
        return self._by_fixed.get(tuple([given[place] for place in self._fixed]))


def captured(pattern: PathPattern, path: str, plain: str) -> dict[str, str]:
    """What a template that takes `plain` found in the path. Parameters stay with the segment that they belong to, where
    it is clear which one that is."""
    given, as_read = segments_of(path), segments_of(plain)
    return pattern.captured(given if len(given) == len(as_read) else as_read)


def as_routed(request: Request) -> Request:
    """The request as conditions of routes see it: with the path that routes are chosen by (THREATS A13)."""
    target = request.target
    if ";" not in target.path:
        return request
    plain = target._replace(path=without_parameters(target.path))
    routed = Request(request.method, plain, request.fields, request.body, request.version, request.received)
    routed.upgrade = request.upgrade
    return routed

"""Caches have places of their own, and users."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from interpose.config.advice import no_such
from interpose.config.model import NO_CACHE, Config, Route
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, applies, numbered
from interpose.storage.redis_place import place_of


def _caches_fit(config: Config) -> Iterator[Breach]:
    places: dict[str, str] = {}
    for where, cache in numbered("cache", config.caches):
        if cache.name in ("", NO_CACHE):
            yield Breach(f"{where}.name", cache.name, "is no name for a cache; routes say it to have none")
        if cache.dir and cache.redis:
            message = "is for a cache that is not on disk; leave out this or dir"
            yield Breach(f"{where}.redis", place_of(cache.redis), message, (f"{where}.dir",))
        first = places.setdefault(cache.dir, where) if cache.dir else where
        if first != where:
            message = f"is the directory of {first} already; give each cache its own, or use that one"
            yield Breach(f"{where}.dir", cache.dir, message, (f"{first}.dir",))
    names = {cache.name for cache in config.caches}
    needs = [f"{where}.name" for where, _ in numbered("cache", config.caches)]
    for where, table in chain(numbered("listener", config.listeners), numbered("route", config.routes)):
        is_off = isinstance(table, Route) and table.cache == NO_CACHE
        if table.cache and not is_off and table.cache not in names:
            yield Breach(f"{where}.cache", table.cache, no_such("cache", table.cache, names), needs)
    for where, route in numbered("route", config.routes):
        listeners = [one for one in config.listeners if one.role == "gateway" and applies(route, one)]
        if route.cache_rules and (route.cache == NO_CACHE or not (route.cache or any(one.cache for one in listeners))):
            message = 'is for a cache, and this route has none; give it cache = "NAME"'
            yield Breach(f"{where}.cache_rule", ABSENT, message, (f"{where}.cache", "listener"))


RULES: tuple[Rule, ...] = (_caches_fit,)

"""From the `[[cache]]` tables to what keeps answers: stores, keepers, and the filter of a route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from interpose.config.cache_model import Cache
from interpose.config.model import NO_CACHE, Config, Listener, Route
from interpose.config.parts import Parts
from interpose.core.handler import Filter
from interpose.filters.cache.filter import Cache as CacheFilter
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.options import CacheOptions
from interpose.storage.memory_store import MemoryStore
from interpose.storage.store import Store


def cache_of(config: Config, listener: Listener, route: Route | None) -> Cache | None:
    """The cache of a route of a listener; None when it has none."""
    name = (route.cache if route is not None else "") or listener.cache
    if name in ("", NO_CACHE):
        return None
    return next(cache for cache in config.caches if cache.name == name)


def cache_in_words(cache: Cache, route: Route | None) -> str:
    """What `interpose check` shows."""
    room = f"{cache.disk_bytes >> 20} MiB in {cache.dir}" if cache.dir else f"{cache.memory_bytes >> 20} MiB of memory"
    rules = len(cache.rules) + (len(route.cache_rules) if route is not None else 0)
    counted = f"; {rules} rule{'s' if rules > 1 else ''}" if rules else ""
    return f"{cache.name}: {room}{counted}"


def cache_filter(config: Config, cache: Cache, listener: Listener, route: Route | None, parts: Parts) -> Filter:
    """The filter of a route that keeps answers in `cache`."""
    options = CacheOptions(
        heuristic=listener.role != "gateway" if cache.heuristic == "auto" else cache.heuristic == "on",
        surrogate=listener.role == "gateway",
        ttl_s=cache.ttl_s,
        grace_s=cache.grace_s,
        unreachable_s=cache.unreachable_s,
        obey_requests=cache.obey_requests,
        store_cookies=cache.store_cookies,
        finish_abandoned=cache.finish_abandoned,
        ignored_parameters=cache.ignored_parameters,
        key_cookies=cache.key_cookies,
        key_fields=cache.key_fields,
        tag_fields=cache.tag_fields,
        rules=(*(route.cache_rules if route is not None else ()), *cache.rules),
        name=config.process.pseudonym,
        is_gateway=listener.role == "gateway",
        trusts=bool(listener.trusted),
    )
    return CacheFilter(options, keeper_of(cache, parts))


def keeper_of(cache: Cache, parts: Parts) -> Keeper:
    """What keeps the answers of a cache. One in memory lives on across reloads that leave its size as it is, one on
    disk across all that leave its directory: a process opens that once, with the room it had then."""
    key = (cache.dir,) if cache.dir else (cache.name, cache.memory_bytes, cache.max_object_bytes)
    keeper = parts.get(Keeper, key, lambda: Keeper(store_of(cache), name=cache.name))
    keeper.name = cache.name
    return keeper


def store_of(cache: Cache) -> Store:
    """The store of a cache. ValueError, a sentence, when its directory cannot be used."""
    if cache.dir:
        from interpose.storage.disk_store import DiskStore

        most = {"max_object_bytes": cache.max_object_bytes} if cache.max_object_bytes else {}
        return DiskStore(cache.dir, cache.disk_bytes, **most)
    return MemoryStore(cache.memory_bytes, cache.max_object_bytes or None)


def cache_counters(keepers: Iterable[Keeper]) -> dict[str, float]:
    """What the caches of a worker count, added up."""
    totals: Counter[str] = Counter()
    for keeper in keepers:
        totals.update(keeper.counters())
    return {name: float(value) for name, value in totals.items()}

"""From the `[[cache]]` tables to what keeps answers: stores, keepers, and the filter of a route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from urllib.parse import urlsplit

from interpose.config.cache_model import Cache
from interpose.config.experiments import choose_answers
from interpose.config.model import NO_CACHE, Config, Listener, Route
from interpose.config.parts import Parts
from interpose.config.redis_url import secret_of
from interpose.config.routing import realm_of
from interpose.config.told_fields import told_fields
from interpose.core.handler import Filter
from interpose.filters.cache.filter import Cache as CacheFilter
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.options import CacheOptions, CacheRule
from interpose.filters.cache.pattern import matcher
from interpose.net.address import SocketAddress, ip_address
from interpose.protocol.freshness import GATEWAY_TARGETS, Policy
from interpose.storage.keep_time import seconds_to_keep
from interpose.storage.memory_store import MemoryStore
from interpose.storage.redis_place import place_of
from interpose.storage.store import Store
from interpose.storage.tiers import Tiers

REDIS_PORT = 6379


def cache_of(config: Config, listener: Listener, route: Route | None) -> Cache | None:
    """The cache of a route of a listener; None when it has none, and where no server is asked."""
    if route is not None and not route.upstream:
        return None
    name = (route.cache if route is not None else "") or listener.cache
    if name in ("", NO_CACHE):
        return None
    return next(cache for cache in config.caches if cache.name == name)


def cache_in_words(cache: Cache, route: Route | None) -> str:
    """What `interpose check` shows."""
    room = f"{cache.memory_bytes >> 20} MiB of memory"
    if cache.dir:
        room = f"{cache.disk_bytes >> 20} MiB in {cache.dir}, {room}"
    elif cache.redis:
        room = f"Redis at {place_of(cache.redis)}, {room}"
    rules = len(cache.rules) + (len(route.cache_rules) if route is not None else 0)
    counted = f"; {rules} rule{'s' if rules > 1 else ''}" if rules else ""
    return f"{cache.name}: {room}{counted}"


def redis_addresses(config: Config) -> list[SocketAddress]:
    """Where the caches' servers are, as far as that is written as an address: no client is to be led there."""
    found: list[SocketAddress] = []
    limits = [config.limit_redis.url] if config.limit_redis is not None else []
    for parts in map(urlsplit, [*(cache.redis for cache in config.caches if cache.redis), *limits]):
        hosts = ("127.0.0.1", "::1") if parts.hostname == "localhost" else (parts.hostname or "",)
        found += [SocketAddress(host, parts.port or REDIS_PORT) for host in hosts if ip_address(host) is not None]
    return found


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
        told_fields=told_fields(config, listener, route),
        has_variants=choose_answers(config, route),
        realm=realm_of(route),
        keys_host=route is not None and route.rewrite is not None and bool(route.rewrite.host),
    )
    rules = [rule for route in config.routes for rule in route.cache_rules]
    return CacheFilter(options, keeper_of(cache, parts, rules))


def keeper_of(cache: Cache, parts: Parts, rules: Sequence[CacheRule] = ()) -> Keeper:
    """What keeps the answers of a cache. One in memory lives on across reloads that leave its size as it is, one on
    disk across all that leave its directory: a process opens that once, with the room it had then. Of one in Redis
    what is kept lives on in any case. `rules` are those of routes."""
    key: tuple[Hashable, ...] = (cache.name, cache.memory_bytes, cache.max_object_bytes)
    if cache.dir:
        key = (cache.dir,)
    elif cache.redis:
        key = (cache, *rules)
    keeper = parts.get(Keeper, key, lambda: Keeper(store_of(cache, rules), name=cache.name))
    keeper.name = cache.name
    return keeper


def store_of(cache: Cache, rules: Sequence[CacheRule] = ()) -> Store:
    """The store of a cache. ValueError, a sentence, when its directory or its key cannot be used."""
    most: dict[str, int] = {"max_object_bytes": cache.max_object_bytes} if cache.max_object_bytes else {}
    if cache.dir:
        from interpose.storage.disk_store import DiskStore

        return Tiers(MemoryStore(cache.memory_bytes), DiskStore(cache.dir, cache.disk_bytes, **most))
    if cache.redis:
        from interpose.storage.redis_link import LinkOptions
        from interpose.storage.redis_store import RedisStore

        options = LinkOptions(
            cache.redis, cache.redis_connect_timeout_s, cache.redis_timeout_s, cache.max_redis_connections
        )
        keep = seconds_to_keep(_policies(cache, rules))
        return Tiers(
            MemoryStore(cache.memory_bytes),
            RedisStore(options, secret_of(cache.redis, cache.redis_key_file), cache.name, matcher, keep, **most),
        )
    return MemoryStore(cache.memory_bytes, cache.max_object_bytes or None)


def _policies(cache: Cache, rules: Sequence[CacheRule]) -> list[Policy]:
    """Every way in which an answer's time may be read, for who has to know how long one can be of use."""
    plain = Policy(heuristic=cache.heuristic != "off", default_ttl_s=cache.ttl_s, grace_s=cache.grace_s)
    policies = [plain]
    for rule in (*rules, *cache.rules):
        policies.append(
            plain._replace(
                default_ttl_s=rule.ttl_s if rule.ttl_s is not None else cache.ttl_s,
                override_ttl_s=rule.override_ttl_s,
                grace_s=rule.grace_s if rule.grace_s is not None else cache.grace_s,
            )
        )
    return [*policies, *[policy._replace(targets=GATEWAY_TARGETS) for policy in policies]]


def cache_counters(keepers: Iterable[Keeper]) -> dict[str, float]:
    """What the caches of a worker count, added up."""
    totals: Counter[str] = Counter()
    for keeper in keepers:
        totals.update(keeper.counters())
    return {name: float(value) for name, value in totals.items()}

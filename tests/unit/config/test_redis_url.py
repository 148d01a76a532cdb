from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interpose.config.cache_model import Cache
from interpose.config.caches import cache_in_words, keeper_of, store_of
from interpose.config.load import config_of
from interpose.config.parts import Parts
from interpose.config.problem import ConfigError
from interpose.config.redis_url import redis_url
from interpose.storage.redis_place import place_of
from interpose.storage.redis_store import RedisStore
from interpose.storage.tiers import Tiers


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://cache.example", "cache.example"),
        ("redis://127.0.0.1:6380/3", "127.0.0.1:6380/3"),
        ("redis://[::1]:6380", "[::1]:6380"),
        ("redis://:geheim@cache.example/", "cache.example"),
        ("rediss://app:p%40ss@cache.example:6390/0", "cache.example:6390/0"),
        ("rediss://cache.example?ssl_ca_certs=/etc/ca.pem", "cache.example"),
        ("unix:///run/redis.sock", "unix:/run/redis.sock"),
        ("unix://app:geheim@/run/redis.sock?db=2", "unix:/run/redis.sock"),
    ],
)
def test_a_url_says_where_redis_is_and_a_place_does_not_say_the_password(url: str, place: str) -> None:
    assert redis_url(url) == url
    assert place_of(url) == place


def test_no_url_is_none() -> None:
    assert redis_url("") == ""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("cache.example:6379", "is not the URL of a Redis"),
        ("http://cache.example", "is not the URL of a Redis"),
        ("redis://cache.example /", "is not the URL of a Redis"),
        ("redis://", "names no host"),
        ("redis:///1", "names no host"),
        ("redis://cache.example:port", "host or port"),
        ("redis://cache.example:70000", "host or port"),
        ("redis://[::1", "host or port"),
        ("redis://cache.example/main", "database"),
        ("redis://cache.example/1/2", "database"),
        ("redis://cache.example?socket_timeout=60", "'socket_timeout' behind its question mark; nothing may"),
        ("rediss://cache.example?ssl_cert_reqs=none", "only ssl_ca_certs, ssl_certfile, ssl_keyfile"),
        ("unix://run/redis.sock", "whole path"),
        ("unix://", "whole path"),
    ],
)
def test_what_is_no_url_of_a_redis_is_told_why(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        redis_url(url)


def complaints(**cache: Any) -> list[str]:
    table = {"name": "a", **cache}
    listener = {"address": "127.0.0.1:0", "role": "gateway", "upstream": "app", "cache": "a"}
    raw = {"cache": [table], "listener": [listener], "upstream": [{"name": "app", "servers": ["127.0.0.1:1"]}]}
    with pytest.raises(ConfigError) as caught:
        config_of(raw)
    return [str(problem) for problem in caught.value.problems]


def test_a_cache_is_on_disk_or_in_redis_and_the_password_is_not_told(tmp_path: Path) -> None:
    [complaint] = complaints(dir=str(tmp_path), redis="redis://app:geheim@cache.example")
    assert "leave out this or dir" in complaint
    assert "cache[1].redis" in complaint
    assert "geheim" not in complaint


def test_every_wrong_key_of_redis_is_told() -> None:
    told = complaints(redis="redis://", redis_key_file="/nowhere/key", redis_timeout_s=0, max_redis_connections=0)
    assert [complaint.partition(" ")[0].split(".")[-1] for complaint in sorted(told)] == [
        "max_redis_connections",
        "redis",
        "redis_key_file",
        "redis_timeout_s",
    ]


async def test_a_cache_in_redis_has_memory_over_it() -> None:
    cache = Cache(name="a", memory_bytes=1 << 20, redis="redis://app:geheim@cache.example/1")
    store = store_of(cache)
    assert isinstance(store, Tiers)
    assert isinstance(store._below, RedisStore)
    assert "cache_away" in keeper_of(cache, Parts()).counters()
    assert cache_in_words(cache, None) == "a: Redis at cache.example/1, 1 MiB of memory"
    await store.close()


async def test_a_reload_with_other_rules_takes_another_way_to_what_is_kept() -> None:
    parts, cache = Parts(), Cache(name="a", redis="redis://cache.example")
    first = keeper_of(cache, parts)
    assert keeper_of(Cache(name="a", redis="redis://cache.example"), parts) is first
    assert keeper_of(Cache(name="a", redis="redis://cache.example", grace_s=60.0), parts) is not first


@pytest.mark.parametrize("key", ["", "short", " \n"])
def test_a41_a_key_that_can_be_guessed_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key)
    with pytest.raises(ValueError, match="16 at least"):
        store_of(Cache(name="a", redis="redis://cache.example", redis_key_file=str(tmp_path / "key")))

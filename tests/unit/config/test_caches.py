"""What of a cache lives on across a reload."""

from __future__ import annotations

from pathlib import Path

from interpose.config.cache_model import Cache
from interpose.config.caches import keeper_of
from interpose.config.load import config_of
from interpose.config.parts import Parts
from interpose.config.steps import routes_of
from interpose.config.told_fields import told_fields


async def test_a_cache_in_memory_lives_on_as_long_as_its_size_is_the_same() -> None:
    parts = Parts()
    first = keeper_of(Cache(name="a", memory_bytes=1 << 20), parts)
    assert keeper_of(Cache(name="a", memory_bytes=1 << 20, grace_s=5), parts) is first
    assert keeper_of(Cache(name="b", memory_bytes=1 << 20), parts) is not first
    assert keeper_of(Cache(name="a", memory_bytes=2 << 20), parts) is not first


async def test_a_cache_on_disk_lives_on_whatever_becomes_of_its_name_and_room(tmp_path: Path) -> None:
    parts = Parts()
    first = keeper_of(Cache(name="a", dir=str(tmp_path / "a"), disk_bytes=1 << 20), parts)
    try:
        again = keeper_of(Cache(name="b", dir=str(tmp_path / "a"), disk_bytes=1 << 30, max_object_bytes=9), parts)
        assert again is first
        assert again.name == "b"
        other = keeper_of(Cache(name="a", dir=str(tmp_path / "b"), disk_bytes=1 << 20), parts)
        assert other is not first
        await other.close()
    finally:
        await first.close()


def test_a15_the_cache_knows_which_fields_tell_servers_who_asks() -> None:
    config = config_of(
        {
            "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:8080"}],
            "upstream": [{"name": "app", "servers": ["127.0.0.1:9000"]}],
            "authentication": [
                {"name": "sso", "kind": "forward", "url": "http://127.0.0.1:9/", "response_fields": ["X-Auth-User"]}
            ],
            "edit": [
                {"routes": ["mine"], "field": [{"name": "X-Shown", "value": "{cookie.theme}"}]},
                {"routes": ["other"], "when": "from:10.0.0.0/8", "field": [{"name": "X-Inside", "value": "1"}]},
                {"routes": ["other"], "when": "path:/a/*", "field": [{"name": "X-Part", "value": "a"}]},
            ],
            "route": [
                {
                    "name": "mine",
                    "path": "/mine",
                    "upstream": "app",
                    "authentication": ["sso"],
                    "field": [
                        {"name": "X-User", "value": "{user} at {host}"},
                        {"name": "X-Page", "value": "{path}"},
                        {"message": "response", "name": "X-Hello", "value": "{user}"},
                    ],
                },
                {"name": "other", "upstream": "app"},
            ],
        }
    )
    [web] = config.listeners
    mine, other = routes_of(config, web)
    assert told_fields(config, web, mine) == ("x-auth-user", "x-shown", "x-user")
    assert told_fields(config, web, other) == ("x-auth-user", "x-inside")

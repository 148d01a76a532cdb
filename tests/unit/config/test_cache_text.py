"""A cache in one line."""

import pytest

from interpose.config.cache_text import cache_table
from interpose.config.problem import ConfigError
from interpose.config.roles import gateway_config


@pytest.mark.parametrize(
    ("text", "octets"),
    [("1MiB", 1 << 20), ("256MiB", 256 << 20), ("256m", 256 << 20), ("1.5GB", 3 << 29), ("2097152", 2 << 20)],
)
def test_a_size_is_memory(text: str, octets: int) -> None:
    assert cache_table(text) == {"name": "cache", "memory_bytes": octets}


def test_with_a_directory_it_is_the_disk_and_a_share_of_it_memory() -> None:
    table = cache_table("2GiB, /var/cache/x")
    assert table == {"name": "cache", "memory_bytes": 256 << 20, "dir": "/var/cache/x", "disk_bytes": 2 << 30}
    assert cache_table("4MiB,/x")["memory_bytes"] == 1 << 20


@pytest.mark.parametrize("text", ["", "much", "1", "1000k", "-1GiB", "1GiB,", "1 GiB", "1e9", "\u0661GiB", "1.5.5G"])
def test_what_is_no_size_is_told_what_one_is(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 256MiB"):
        cache_table(text)


def test_every_listener_of_the_command_has_it() -> None:
    config = gateway_config(["127.0.0.1:1"], ["127.0.0.1:0", "127.0.0.1:0"], cache="16MiB")
    assert [listener.cache for listener in config.listeners] == ["cache", "cache"]
    assert config.caches[0].memory_bytes == 16 << 20

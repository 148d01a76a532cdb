"""What of a cache lives on across a reload."""

from __future__ import annotations

from pathlib import Path

from interpose.config.cache_model import Cache
from interpose.config.caches import keeper_of
from interpose.config.parts import Parts


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

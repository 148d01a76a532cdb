from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.redis_server import RedisServer
from tests.support.store_conformance import KEY, MAX_OBJECT_BYTES, StoreConformance, content_of, found, put, read

from interpose.filters.cache.pattern import matcher
from interpose.storage.disk_store import DiskStore
from interpose.storage.memory_store import MemoryStore
from interpose.storage.redis_link import LinkOptions
from interpose.storage.redis_store import RedisStore
from interpose.storage.tiers import Tiers


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def memory() -> MemoryStore:
    return MemoryStore(16 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES)


def over_disk(directory: Path) -> Tiers:
    return Tiers(memory(), DiskStore(str(directory), 64 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES))


def over_redis(server: RedisServer) -> Tiers:
    options = LinkOptions(server.url, connect_timeout_s=5.0, timeout_s=5.0)
    return Tiers(memory(), RedisStore(options, b"secret", "test", matcher, lambda head: 600.0))


class TestMemoryOverDisk(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Tiers]:
        store = over_disk(tmp_path / "cache")
        yield store
        await store.close()


class TestMemoryOverRedis(StoreConformance):
    @pytest.fixture
    async def store(self, server: RedisServer) -> AsyncIterator[Tiers]:
        with server.client() as client:
            client.flushall()
        store = over_redis(server)
        yield store
        await store.close()

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.support.redis_server import RedisServer
from tests.support.store_conformance import MAX_OBJECT_BYTES, StoreConformance

from interpose.filters.cache.pattern import matcher
from interpose.storage.redis_link import LinkOptions
from interpose.storage.redis_store import RedisStore


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def empty(server: RedisServer) -> RedisServer:
    """The server with nothing in it."""
    with server.client() as client:
        client.flushall()
    return server


def redis_store(server: RedisServer, secret: bytes = b"secret", **more) -> RedisStore:
    """A store that waits longer than a user's, for a machine that is busy."""
    options = LinkOptions(server.url, connect_timeout_s=5.0, timeout_s=5.0)
    return RedisStore(options, secret, "test", matcher, lambda head: 600.0, **more)


class TestConformance(StoreConformance):
    @pytest.fixture
    async def store(self, empty: RedisServer) -> AsyncIterator[RedisStore]:
        store = redis_store(empty, max_object_bytes=MAX_OBJECT_BYTES)
        yield store
        await store.close()

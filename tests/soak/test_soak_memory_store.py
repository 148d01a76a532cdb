"""A tenth of 100,000 objects fits into memory: more is hit than with LRU, by three points at least."""

from __future__ import annotations

import random

import pytest
from tests.support import cache_traces
from tests.support.cache_traces import Objects, hit_ratio_of, hit_ratio_of_lru

from interpose.storage.memory_store import MemoryStore

pytestmark = pytest.mark.soak

OBJECTS = 100_000
REQUESTS = 1_000_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "margin"), [("zipf", 3), ("shifting", 3), ("scanned", 3), ("lately", -5)])
def test_more_is_hit_than_with_lru(name: str, margin: int) -> None:
    objects = Objects()
    trace = getattr(cache_traces, name)(REQUESTS, OBJECTS, seed=11)
    room = sum(objects.size(number) for number in range(OBJECTS)) // 10
    store = MemoryStore(room, lot=random.Random(1))
    ratio = hit_ratio_of(store, trace, objects)
    assert store.counters()["bytes"] <= room
    assert ratio >= hit_ratio_of_lru(trace, objects, room) + margin

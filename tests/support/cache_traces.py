"""Requests that caches are measured with, and the cache that every other one is compared with."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict

from tests.support.store_conformance import head_for

from interpose.protocol.stored import StoredHead
from interpose.storage.memory_store import MemoryStore

SIZES = [kib << 10 for kib in range(1, 65)]


class Objects:
    """Objects of 1 to 64 KiB, each known by its number."""

    def __init__(self) -> None:
        self._contents = [bytes(size) for size in SIZES]
        self._head = head_for(b"", lines=())

    def size(self, number: int) -> int:
        return SIZES[number * 2654435761 % 64]

    def key(self, number: int) -> bytes:
        return b"GET http://a.example/%d" % number

    def stored(self, number: int) -> tuple[StoredHead, bytes]:
        content = self._contents[number * 2654435761 % 64]
        return self._head.replace(key=self.key(number), length=len(content)), content


def zipf(requests: int, objects: int, seed: int, exponent: float = 0.9) -> list[int]:
    """Some are asked for often and most seldom, for ever the same."""
    lot = random.Random(seed)
    names = list(range(objects))
    lot.shuffle(names)
    weights = list(itertools.accumulate((place + 1) ** -exponent for place in range(objects)))
    return lot.choices(names, cum_weights=weights, k=requests)


def shifting(requests: int, objects: int, seed: int) -> list[int]:
    """A third of all changes its popularity twenty times."""
    lot = random.Random(seed)
    phase, shift, trace = requests // 20, 0, []
    for place, name in enumerate(zipf(requests, objects, seed)):
        if place % phase == 0:
            shift = lot.randrange(objects)
        trace.append((name + shift) % objects if name % 3 == 0 else name)
    return trace


def scanned(requests: int, objects: int, seed: int) -> list[int]:
    """Three of ten requests are for something that nobody asks for again."""
    lot = random.Random(seed)
    once = itertools.count(objects)
    return [next(once) if lot.random() < 0.3 else name for name in zipf(requests, objects, seed)]


def lately(requests: int, objects: int, seed: int) -> list[int]:
    """What was asked for lately is asked for again, and later never."""
    lot = random.Random(seed)
    trace: list[int] = [0]
    for name in range(1, requests):
        back = int(lot.expovariate(20 / objects)) + 1
        trace.append(trace[-min(back, len(trace))] if lot.random() < 0.6 else name)
    return trace


def hit_ratio_of_lru(trace: list[int], objects: Objects, room: int) -> float:
    """In percent, of the last three quarters of the trace."""
    kept: OrderedDict[int, int] = OrderedDict()
    used = hits = 0
    for place, number in enumerate(trace):
        if number in kept:
            kept.move_to_end(number)
            hits += place >= len(trace) // 4
            continue
        kept[number] = objects.size(number)
        used += objects.size(number)
        while used > room:
            used -= kept.popitem(last=False)[1]
    return 100 * hits / (len(trace) - len(trace) // 4)


def hit_ratio_of(store: MemoryStore, trace: list[int], objects: Objects) -> float:
    """The same of our store, whose bound counts heads too."""
    hits = 0
    for place, number in enumerate(trace):
        if store.look(objects.key(number)):
            hits += place >= len(trace) // 4
            continue
        head, content = objects.stored(number)
        writer = store.writer(head)
        writer.write(content)
        writer.commit(head)
    return 100 * hits / (len(trace) - len(trace) // 4)

"""What all listeners of a worker share of one cache: its store, the fetches that run, and what is known of misses."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from interpose.core.fields import FieldLine
from interpose.filters.cache.fetch import Fetch, State
from interpose.filters.cache.pattern import matcher, matcher_of_url
from interpose.protocol.freshness import PROXY, Freshness, Policy, freshness_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.variants import fits
from interpose.storage.growing import Growing
from interpose.storage.spill import SpillSpace
from interpose.storage.store import Match, Store

ALONE_S = 10.0
"""For so long after an answer that could not be shared nobody waits for another's answer to the same."""

MOST_REMEMBERED = 4096
MOST_LISTED = 1000
CLOSE_TURNS = 100
MORE_COUNTS = (
    "memory_objects",
    "memory_bytes",
    "memory_hits",
    "away",
    "owed",
    "late",
    "dropped",
    "failures",
    "damaged",
)
"""What some kinds of stores count, too."""


class Miss(NamedTuple):
    """Why a request had to go to the origin, in words, and when (wall seconds)."""

    at: float
    why: str


class Use:
    """Held by who uses a keeper, for as long as it does. (Apart from the filter, so that that can be compiled.)"""

    __slots__ = ("__weakref__",)


class Keeper:
    """See the module. `counts` only grow; `close` ends what runs."""

    def __init__(
        self,
        store: Store,
        space: SpillSpace | None = None,
        wall: Callable[[], float] = time.time,
        name: str = "cache",
    ) -> None:
        self.store = store
        self.name = name
        self.users: weakref.WeakSet[Use] = weakref.WeakSet()
        self.space = SpillSpace() if space is None else space
        self.wall = wall
        self.policy = PROXY
        """By which the time of what is stored is told to people, where it was not used yet."""
        self.counts: Counter[str] = Counter()
        self._running: dict[bytes, list[Fetch]] = {}
        self._alone: OrderedDict[bytes, float] = OrderedDict()
        self._misses: OrderedDict[bytes, Miss] = OrderedDict()

    def use(self) -> Use:
        """Count the caller among `users` while it holds this."""
        use = Use()
        self.users.add(use)
        return use

    # --- fetches that run ------------------------------------------------------------------------------------------

    def joinable(self, key: bytes, lines: Sequence[FieldLine]) -> Fetch | None:
        """A running fetch whose answer this request may well have."""
        for fetch in self._running.get(key, ()):
            if not fetch.may_be_joined or fetch.state is State.ALONE or fetch.state is State.FAILED:
                continue
            if fetch.state is State.KEPT:
                assert fetch.head is not None
                if isinstance(fetch.content, Growing) and not fetch.content.is_open:
                    continue
                if not fits(fetch.head, lines):
                    continue
            return fetch
        return None

    def add(self, key: bytes, fetch: Fetch) -> None:
        """This fetch runs."""
        self._running.setdefault(key, []).append(fetch)

    def remove(self, key: bytes, fetch: Fetch) -> None:
        """This fetch has ended, or what it brought is in the store."""
        running = self._running.get(key)
        if running is not None and fetch in running:
            running.remove(fetch)
            if not running:
                del self._running[key]
            fetch.close_door()

    @property
    def running(self) -> int:
        """How many fetches run."""
        return sum([len(fetches) for fetches in self._running.values()])

    # --- what is remembered of keys --------------------------------------------------------------------------------

    def is_alone(self, key: bytes, now: float) -> bool:
        """Whether the last answer for this key could not be shared."""
        until = self._alone.get(key)
        return until is not None and now < until

    def note_alone(self, key: bytes, now: float) -> None:
        """An answer could not be shared."""
        self._alone[key] = now + ALONE_S
        if len(self._alone) > MOST_REMEMBERED:
            self._alone.popitem(last=False)

    def note_shared(self, key: bytes) -> None:
        """An answer could be."""
        self._alone.pop(key, None)

    def note_miss(self, key: bytes, now: float, why: str) -> None:
        """A request went to the origin."""
        self._misses[key] = Miss(now, why)
        self._misses.move_to_end(key)
        if len(self._misses) > MOST_REMEMBERED:
            self._misses.popitem(last=False)

    # --- what is not right any more --------------------------------------------------------------------------------

    async def invalidate(self, key: bytes) -> None:
        """Forget what is stored under `key`, and let nothing be stored that was asked for before now."""
        for fetch in self._running.get(key, ()):
            fetch.is_wrong = True
            fetch.may_be_joined = False
        self.counts["cache_invalidated_total"] += len(self.store.look(key) or ())
        self.store.forget(key)

    async def forget_url(self, key: bytes) -> None:
        """The same for everything of the URL in `key`, however it is chosen."""
        self.counts["cache_invalidated_total"] += await self._purge(matcher_of_url(key), soft=False)

    async def purge(self, pattern: str, *, soft: bool) -> int:
        """Forget, or (`soft`) let be stale, what `pattern` means: how many that were. ValueError: it is no pattern."""
        purged = await self._purge(matcher(pattern), soft=soft)
        self.counts["cache_purged_total"] += purged
        return purged

    async def _purge(self, match: Match, *, soft: bool) -> int:
        for key, fetches in self._running.items():
            for fetch in fetches:
                if match(fetch.head or StoredHead(0, b"", (), 0.0, 0.0, key=key)):
                    fetch.is_wrong = True
                    fetch.may_be_joined = False
        return await self.store.purge(match, soft=soft)

    # --- for people ------------------------------------------------------------------------------------------------

    async def listed(self, pattern: str, limit: int) -> list[dict[str, Any]]:
        """What is stored and meant by `pattern`, as plain values."""
        now = self.wall()
        heads = await self.store.entries(matcher(pattern), min(limit, MOST_LISTED))
        return [_shown(head, now, self.policy) for head in heads]

    def last_miss(self, url: str) -> dict[str, Any] | None:
        """Why a request for this URL went to the origin last."""
        is_it = matcher(url)
        for key, miss in reversed(self._misses.items()):
            if is_it(StoredHead(0, b"", (), 0.0, 0.0, key=key)):
                return {"seconds_ago": max(0.0, self.wall() - miss.at), "why": miss.why}
        return None

    def counters(self) -> dict[str, float]:
        """Counts for the status."""
        stored = self.store.counters()
        kept = {f"cache_{name}": stored[name] for name in ("objects", "bytes")}
        grown = {f"cache_{name}_total": stored[name] for name in ("stored", "evicted", "refused")}
        more = {f"cache_{name}": stored[name] for name in MORE_COUNTS if name in stored}
        return {**self.counts, **kept, **grown, **more, "cache_fetches": self.running}

    # --- the end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Break off what runs, and close the store."""
        fetches = [fetch for fetches in self._running.values() for fetch in fetches]
        for fetch in fetches:
            fetch.break_off()
        tasks = [fetch.task for fetch in fetches if fetch.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        await self.store.close()


def _shown(head: StoredHead, now: float, policy: Policy) -> dict[str, Any]:
    """A stored response for people."""
    freshness = head.memo if isinstance(head.memo, Freshness) else freshness_of(head, policy)
    return {
        "key": head.key.decode("utf-8", "replace"),
        "status": head.status,
        "bytes": head.length,
        "varies_on": [name.decode("latin-1") for name, _ in head.vary],
        "tags": [tag.decode("latin-1") for tag in head.tags],
        "stored_at": head.response_time,
        "freshness": freshness.in_words(now),
        "fresh_s": freshness.left(now),
    }

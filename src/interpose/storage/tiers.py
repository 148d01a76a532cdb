"""Memory over a store that is shared: what is used often is served from memory, and everybody sees the same.

    look      above; below, when there is nothing above. What is found below goes up, all variants of a key together
    writer    both at once. What one of them cannot take the other has alone
    changes   both at once. What others change below is told (`store.Copies`), and goes from above

Above there is either all that is below under a key, or the key is *partial*: a variant was stored while nobody knew
what else there was. Then a look goes on below until it is known.

A look below that takes time may bring back what was changed meanwhile. So it is noted which keys are being read, and
what is changed in that time does not go up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from interpose.core.failure import Failure
from interpose.protocol.stored import StoredHead
from interpose.storage.memory_store import MemoryStore
from interpose.storage.store import Content, Entry, Match, SharedStore, Writer, is_same_response

MOST_CARRIED = 4
"""So many contents are read from files into memory at the same time."""


class Tiers:
    """See the module. A `Store`; closes both."""

    def __init__(self, above: MemoryStore, below: SharedStore) -> None:
        self._above = above
        self._below = below
        self._look_above = above.look
        self._partial: set[bytes] = set()
        self._reading: Counter[bytes] = Counter()
        self._spoiled: set[bytes] = set()
        self._carried: dict[bytes, asyncio.Task[None]] = {}
        self._purging: set[asyncio.Task[int]] = set()
        self._is_listening = False

    # --- reading ---------------------------------------------------------------------------------------------------

    def look(self, key: bytes) -> Sequence[Entry] | None:
        """See `store.Store`."""
        entries = self._look_above(key)
        if entries and key not in self._partial:
            return entries
        below = self._below.look(key)
        if below is None:
            return None
        if below and not entries and not self._above.welcomes(below[0].head.length):
            return below  # the next look costs little more than this one
        return self._together(key, entries, below)

    async def find(self, key: bytes) -> Sequence[Entry]:
        """See `store.Store`."""
        if key not in self._partial and self._above.holds(key):
            return self._look_above(key)
        self._begin()
        self._reading[key] += 1
        try:
            below = await self._below.find(key)
            above = self._look_above(key) if self._above.holds(key) else ()
            return self._together(key, above, below)
        finally:
            self._reading[key] -= 1
            if not self._reading[key]:
                del self._reading[key]
                self._spoiled.discard(key)

    def _together(self, key: bytes, above: Sequence[Entry], below: Sequence[Entry]) -> Sequence[Entry]:
        """What is in both, the newest first; what is missing above goes there."""
        missing = [entry for entry in below if all(entry.head.vary != other.head.vary for other in above)]
        if not missing:
            self._partial.discard(key)
            return above
        self._begin()
        together = sorted([*above, *missing], key=lambda entry: entry.head.response_time, reverse=True)
        if key not in self._spoiled:
            self._raise(key, together, missing)
        return together if above else below

    # --- from below to above ---------------------------------------------------------------------------------------

    def _raise(self, key: bytes, together: Sequence[Entry], missing: Sequence[Entry]) -> None:
        """Have all of `missing` above, or none."""
        if any(entry.head.length > self._above.max_object_bytes for entry in missing):
            return
        if all(isinstance(entry.content, bytes) for entry in missing):
            self._put_above(key, [(entry, entry.content if entry in missing else None) for entry in together])
        elif key not in self._carried and len(self._carried) < MOST_CARRIED and self._above.wants(key):
            task = asyncio.get_running_loop().create_task(self._carry(key, missing))
            self._carried[key] = task
            task.add_done_callback(lambda _: self._carried.pop(key, None))

    async def _carry(self, key: bytes, entries: Sequence[Entry]) -> None:
        """Read contents that are in files. They go up when they are still what is below."""
        contents = []
        try:
            for entry in entries:
                contents.append(await entry.body().read(self._above.max_object_bytes))
        except Failure:
            return
        now = self._below.look(key) or ()
        still = [any(is_same_response(entry.head, other.head) for other in now) for entry in entries]
        if all(still) and not self._above.holds(key):
            self._put_above(key, zip(entries, contents, strict=True))

    def _put_above(self, key: bytes, found: Iterable[tuple[Entry, bytes | Content | None]]) -> None:
        """Have these above in this order; those without a content are there."""
        for entry, content in reversed(list(found)):
            if not isinstance(content, bytes):
                self._above.refresh(entry, entry.head)
                continue
            writer = self._above.writer(entry.head)
            writer.write(content)
            if writer.gave_up:
                self._above.forget(key)  # all of them or none
                return
            writer.commit(entry.head)
        self._partial.discard(key)

    # --- writing ---------------------------------------------------------------------------------------------------

    def writer(self, head: StoredHead) -> Writer:
        """See `store.Store`."""
        self._begin()
        return _TierWriter(self, self._above.writer(head), self._below.writer(head))

    def stored(self, head: StoredHead, *, is_above: bool, was_above: bool) -> None:
        """(for the writer) A response was stored, above too if there was room."""
        key = head.key
        self._spoil(key)
        if not is_above:
            self._above.forget(key)
        elif head.vary and not was_above:
            if len(self._partial) > 2 * self._above.counters()["objects"] + 1000:
                self._partial = {key for key in self._partial if self._above.holds(key)}
            self._partial.add(key)

    def holds_above(self, key: bytes) -> bool:
        """(for the writer) Whether something is above under this key."""
        return self._above.holds(key)

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """See `store.Store`."""
        self._spoil(entry.head.key)
        below = self._entry_below(entry)
        self._above.refresh(entry, head)
        if below is not None:
            self._below.refresh(below, head)

    def remove(self, entry: Entry) -> None:
        """See `store.Store`."""
        self._spoil(entry.head.key)
        below = self._entry_below(entry)
        self._above.remove(entry)
        if below is not None:
            self._below.remove(below)

    def _entry_below(self, entry: Entry) -> Entry | None:
        """What the store below calls the same response."""
        known = self._below.look(entry.head.key)
        if known is None:
            return entry
        return next((other for other in known if is_same_response(other.head, entry.head)), None)

    def forget(self, key: bytes) -> None:
        """See `store.Store`."""
        self.changed(key)
        self._below.forget(key)

    async def purge(self, match: Match, *, soft: bool) -> int:
        """See `store.Store`. What is below counts, and copies of it do not; while the store below is away, they do."""
        above = await self._above.purge(match, soft=soft)
        below = await self._below.purge(match, soft=soft)
        self._spoil_all()
        await self._above.purge(match, soft=soft)  # what has come up meanwhile
        return above if self._below.is_away else below

    # --- what others change (`store.Copies`) -----------------------------------------------------------------------

    def changed(self, key: bytes) -> None:
        """See `store.Copies`."""
        self._spoil(key)
        self._above.forget(key)
        self._partial.discard(key)

    def purged(self, match: Match, *, soft: bool) -> None:
        """See `store.Copies`."""
        self._spoil_all()
        task = asyncio.get_running_loop().create_task(self._above.purge(match, soft=soft))
        self._purging.add(task)
        task.add_done_callback(self._purging.discard)

    def forget_all(self) -> None:
        """See `store.Copies`."""
        self._spoil_all()
        self._above.clear()
        self._partial.clear()

    def _begin(self) -> None:
        """From the first copy on others have to tell what they change."""
        if not self._is_listening:
            self._is_listening = True
            self._below.listen(self)

    def _spoil(self, key: bytes) -> None:
        if key in self._reading:
            self._spoiled.add(key)

    def _spoil_all(self) -> None:
        self._spoiled.update(self._reading)

    # --- the whole -------------------------------------------------------------------------------------------------

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """See `store.Store`."""
        below = await self._below.entries(match, limit)
        known = {(head.key, head.vary) for head in below}
        above = await self._above.entries(match, limit)
        return [*below, *[head for head in above if (head.key, head.vary) not in known]][:limit]

    def counters(self) -> dict[str, float]:
        """See `store.Store`: those of the store below, and of the memory above `memory_objects`, `memory_bytes`,
        `memory_evicted`, and `memory_hits`, the looks that found something there."""
        above = self._above.counters()
        return {
            **self._below.counters(),
            "memory_objects": above["objects"],
            "memory_bytes": above["bytes"],
            "memory_evicted": above["evicted"],
            "memory_hits": above["looks"] - above["misses"],
        }

    async def settle(self) -> None:
        """See `store.Store`."""
        await self._below.settle()

    async def close(self) -> None:
        """See `store.Store`."""
        tasks = [*self._carried.values(), *self._purging]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._below.close()
        await self._above.close()


class _TierWriter:
    """See `store.Writer`: two of them."""

    __slots__ = ("_above", "_below", "_has_ended", "_tiers")

    def __init__(self, tiers: Tiers, above: Writer, below: Writer) -> None:
        self._tiers = tiers
        self._above = above
        self._below = below
        self._has_ended = False

    @property
    def gave_up(self) -> bool:
        """Whether neither keeps it."""
        return self._above.gave_up and self._below.gave_up

    def write(self, chunk: bytes) -> None:
        """See `store.Writer`."""
        self._above.write(chunk)
        self._below.write(chunk)

    def commit(self, head: StoredHead) -> None:
        """See `store.Writer`."""
        if self._has_ended or self.gave_up:
            return
        self._has_ended = True
        was_above = self._tiers.holds_above(head.key)
        try:
            self._above.commit(head)
            self._below.commit(head)
        except ValueError:
            self.abort()
            raise
        self._tiers.stored(head, is_above=not self._above.gave_up, was_above=was_above)

    def abort(self) -> None:
        """See `store.Writer`."""
        self._has_ended = True
        self._above.abort()
        self._below.abort()

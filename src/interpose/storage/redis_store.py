"""A store in Redis or Valkey, which several machines share. See `store.Store`; `redis_record` says what lies there.

Nothing waits for it longer than its budget, and nothing fails because of it (THREATS F10). What it has is read whole
and judged before anybody is promised any of it, so content is limited to `max_object_bytes`; many who look for the same
share one look. Changes are made one after the other by a task of the worker, from a bounded queue: while Redis is
away, what should be stored is dropped, and what has to go is *owed*: done before anything is read again. A store that
owes too much forgets everything instead.

A look takes one command for the heads of all variants and, if there is longer content, one for that. A purge goes
through the index of what it is about: everything of one host, one tag or one URL; only `*` goes through all.
Everything has an end, given by `seconds_to_keep`; Redis removes it by itself then, and what Redis evicts before is a
miss. Made for one server, or one behind a sentinel's address: keys that belong together do not share a slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from interpose.protocol.stored import StoredHead
from interpose.storage.redis_contents import Keep, Put, RedisContents
from interpose.storage.redis_link import Away, LinkOptions, NoRoom, RedisLink, Refused
from interpose.storage.redis_news import RedisNews
from interpose.storage.redis_record import INLINE_BYTES, Names, ident_of
from interpose.storage.redis_writer import RedisWriter
from interpose.storage.store import Copies, Entry, Match, Writer

log = logging.getLogger("interpose")

MAX_OBJECT_BYTES = 1 << 20
HELD_BYTES = 32 << 20
MOST_LOOKS = 256
MOST_JOBS = 10000
MOST_OWED = 1000
PAUSE_WITHOUT_ROOM_S = 1.0
CLOSE_S = 1.0


class _Job(NamedTuple):
    """A change. `is_owed`: it has to be made, whenever that is possible."""

    do: Callable[[], Awaitable[None]]
    size: int
    is_owed: bool


class RedisStore:
    """See the module. `secret` is the cluster key, `space` the cache's name: who has both shares what is stored.
    `pattern` makes a `Match` of what another node has purged, `keep` tells how long a response may be of use."""

    def __init__(
        self,
        options: LinkOptions,
        secret: bytes,
        space: str,
        pattern: Callable[[str], Match],
        keep: Keep,
        max_object_bytes: int = MAX_OBJECT_BYTES,
    ) -> None:
        names = Names(secret, space)
        self.max_object_bytes = max_object_bytes
        self.link = RedisLink(options, self._coming_back)
        self._contents = RedisContents(self.link, names, keep, max_object_bytes)
        self._news = RedisNews(self.link, names, self._heard)
        self._pattern = pattern
        self._copies: Copies | None = None
        self._looks: dict[bytes, asyncio.Task[Sequence[Entry]]] = {}
        self._jobs: deque[_Job] = deque()
        self._held_bytes = 0
        self._comes = asyncio.Event()
        self._owed: deque[_Job] = deque()
        self._gone: set[bytes] = set()
        self._forgotten: Counter[bytes] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._no_room_until = 0.0
        self._stored = self._refused = self._dropped = self._late = 0

    # --- reading ---------------------------------------------------------------------------------------------------

    def look(self, key: bytes) -> None:
        """See `store.Store`: only `find` can tell."""

    async def find(self, key: bytes) -> Sequence[Entry]:
        """See `store.Store`. Takes no longer than one command may."""
        self._begin()
        if key in self._forgotten:
            return ()
        look = self._looks.get(key)
        if look is None:
            if len(self._looks) >= MOST_LOOKS:
                self._dropped += 1
                return ()
            look = asyncio.get_running_loop().create_task(self._find(key))
            self._looks[key] = look
            look.add_done_callback(lambda _: self._looks.pop(key, None))
        done, _ = await asyncio.wait((look,), timeout=self.link.options.timeout_s)
        if not done:
            self._late += 1
            return ()
        if key in self._forgotten:
            return ()
        return [entry for entry in look.result() if not self._gone or ident_of(entry.head) not in self._gone]

    async def _find(self, key: bytes) -> Sequence[Entry]:
        try:
            await self.link.tried()
            return () if self.link.is_away else await self._contents.find(key)
        except (Away, Refused):
            return ()

    # --- writing ---------------------------------------------------------------------------------------------------

    def writer(self, head: StoredHead) -> Writer:
        """See `store.Store`."""
        self._begin()
        return RedisWriter(self, head.length)

    def takes(self, size: int) -> bool:
        """Whether content of `size` octets may be stored now; counts it when not."""
        if size <= self.max_object_bytes and asyncio.get_running_loop().time() >= self._no_room_until:
            return True
        self._refused += 1
        return False

    def reserve(self, size: int) -> bool:
        """Whether `size` more octets may be held until they are stored; less than none gives room back."""
        if size > 0 and self._held_bytes + size > HELD_BYTES:
            self._dropped += 1
            return False
        self._held_bytes += size
        return True

    def keep(self, head: StoredHead, content: bytes) -> None:
        """Store a response, soon."""
        self._put(Put(head, content))

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """See `store.Store`."""
        content = entry.content if isinstance(entry.content, bytes) else b""
        self._put(Put(head, content if len(content) <= INLINE_BYTES else b"", entry.head))

    def remove(self, entry: Entry) -> None:
        """See `store.Store`."""
        self._gone.add(ident_of(entry.head))
        self._add(_Job(partial(self._remove, entry.head), 0, True))

    def forget(self, key: bytes) -> None:
        """See `store.Store`. The other nodes hear of it, whether there was anything in Redis or not."""
        self._forgotten[key] += 1
        self._add(_Job(partial(self._forget, key), 0, True))

    async def purge(self, match: Match, *, soft: bool) -> int:
        """See `store.Store`. While Redis is away it is owed, and the number is 0."""
        self._begin()
        await self.settle()
        counted = 0

        async def do() -> None:
            nonlocal counted
            counted += await self._contents.purge(match, soft=soft)

        try:
            await do()
        except (Away, Refused) as error:
            self._owe(_Job(do, 0, True), error)
        return counted

    def _put(self, put: Put) -> None:
        if len(self._jobs) > MOST_JOBS or not self.reserve(len(put.content)):
            self._dropped += 1
            return
        self._add(_Job(partial(self._store, put), len(put.content), False))

    def _add(self, job: _Job) -> None:
        self._begin()
        self._jobs.append(job)
        self._comes.set()

    # --- the task --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Whoever comes first has everything begin, on the loop of the worker."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self.link.begin()

    async def _work(self) -> None:
        await self.link.tried()
        while True:
            await self._comes.wait()
            while self._jobs:
                job = self._jobs[0]
                await self._do(job)
                self._jobs.popleft()
                self.reserve(-job.size)
            self._comes.clear()

    async def _do(self, job: _Job) -> None:
        try:
            await job.do()
        except (Away, Refused) as error:
            if job.is_owed:
                self._owe(job, error)
            elif isinstance(error, Away):
                self._dropped += 1
            else:
                self._refused += 1
                if isinstance(error, NoRoom):
                    self._no_room_until = asyncio.get_running_loop().time() + PAUSE_WITHOUT_ROOM_S
        except Exception as error:  # an error of ours, survived
            self._refused += 1
            log.error("the cache's server at %s: a change could not be made", self.link.place, exc_info=error)

    async def _store(self, put: Put) -> None:
        try:
            self._stored += await self._contents.store(put) and put.before is None
        except ValueError:  # a head that has no form as bytes, or too long a one
            self._refused += 1

    async def _remove(self, head: StoredHead) -> None:
        await self._contents.drop(head)
        self._gone.discard(ident_of(head))

    async def _forget(self, key: bytes) -> None:
        await self._contents.forget(key)
        self._forgotten[key] -= 1
        if self._forgotten[key] <= 0:
            del self._forgotten[key]

    def _owe(self, job: _Job, error: Exception) -> None:
        """It could not be done. Who reads before it is done would read what is wrong, so nobody does."""
        self._owed.append(job)
        self.link.lost(error)
        if len(self._owed) > MOST_OWED:
            self._owed.clear()
            self._owed.append(_Job(self._purge_all, 0, True))

    async def _purge_all(self) -> None:
        await self._contents.purge(lambda head: True, soft=False)
        self._gone.clear()
        self._forgotten.clear()

    async def _coming_back(self) -> None:
        """Before anything is read again: what is owed goes, and what the others have changed is heard."""
        while self._owed:
            job = self._owed[0]
            await job.do()
            if self._owed[0] is job:  # unless there was too much of it meanwhile
                self._owed.popleft()
        await self._news.catch_up()
        self._news.begin()

    def _heard(self, kind: str, text: bytes) -> None:
        """Another node, or this one, has announced something."""
        if self._copies is None:
            return
        if kind == "key":
            self._copies.changed(text)
        elif kind in ("purge", "expire"):
            try:
                match = self._pattern(text.decode("utf-8", "surrogateescape"))
            except ValueError:  # a newer node knows more patterns
                self._copies.forget_all()
            else:
                self._copies.purged(match, soft=kind == "expire")
        else:
            self._copies.forget_all()

    @property
    def is_away(self) -> bool:
        """See `store.SharedStore`."""
        return self.link.is_away

    def listen(self, copies: Copies) -> None:
        """See `store.SharedStore`."""
        self._copies = copies

    # --- the whole -------------------------------------------------------------------------------------------------

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """See `store.Store`."""
        self._begin()
        heads: list[StoredHead] = []
        with contextlib.suppress(Away, Refused):
            await self.link.tried()
            async for record in self._contents.walk(getattr(match, "scope", None)):
                if match(record.head):
                    heads.append(record.head)
                    if len(heads) >= limit:
                        break
        return heads

    def counters(self) -> dict[str, float]:
        """See `store.Store`. `objects` and `bytes` are those of all nodes, when this one changed something last, and
        without what Redis has evicted; `dropped` came too fast or while it was away, `late` are looks that took too
        long, `damaged` records that were not sealed right; `away` is 1 while Redis is."""
        return {
            "objects": self._contents.objects,
            "bytes": self._contents.bytes,
            "stored": self._stored,
            "evicted": 0,
            "refused": self._refused,
            "dropped": self._dropped,
            "damaged": self._contents.damaged,
            "late": self._late,
            "failures": self.link.failures,
            "owed": len(self._owed),
            "away": float(self.link.is_away),
        }

    async def settle(self) -> None:
        """See `store.Store`."""
        if self._task is None:
            return
        done = asyncio.Event()

        async def is_done() -> None:
            done.set()

        self._add(_Job(is_done, 0, False))
        await done.wait()

    async def close(self) -> None:
        """See `store.Store`."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.settle(), CLOSE_S)
            tasks: Iterable[asyncio.Task[Any]] = (self._task, *self._looks.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self._news.close()
        await self.link.close()

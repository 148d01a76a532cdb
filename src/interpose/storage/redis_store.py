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
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from interpose.protocol.stored import StoredHead
from interpose.storage.redis_link import Away, LinkOptions, NoRoom, RedisLink, Refused
from interpose.storage.redis_news import RedisNews
from interpose.storage.redis_record import INLINE_BYTES, NO_BODY, Names, Record, ident_of, variant_of
from interpose.storage.redis_scripts import DROP, PUT, TELL
from interpose.storage.redis_writer import RedisWriter
from interpose.storage.store import Entry, Match, Scope, Writer

MAX_OBJECT_BYTES = 1 << 20
LONGEST_S = 7 * 86400.0
SHORTEST_S = 60.0
HELD_BYTES = 32 << 20
MOST_LOOKS = 256
MOST_JOBS = 10000
MOST_OWED = 1000
PAUSE_WITHOUT_ROOM_S = 1.0
CLOSE_S = 1.0
_WALK = 256
_KINDS = {"all": b"zset", "s": b"zset", "h": b"hash", "totals": b"hash", "news": b"stream"}

Keep = Callable[[StoredHead], float]
"""Seconds that a response is worth keeping from now on."""


class Upper(Protocol):
    """What has copies of what is stored here."""

    def changed(self, key: bytes) -> None:
        """What is stored under this key is another now."""

    def purged(self, match: Match, *, soft: bool) -> None:
        """What matches was removed, or made stale."""

    def forget(self) -> None:
        """Everything may be another now."""


class _Job(NamedTuple):
    """A change. `is_owed`: it has to be made, whenever that is possible."""

    do: Callable[[], Awaitable[None]]
    size: int
    is_owed: bool


class _Put(NamedTuple):
    """A head to store, and its content where that is new or short. `before`: the head that has to be there."""

    head: StoredHead
    content: bytes
    before: StoredHead | None = None
    is_announced: bool = True


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
        self.max_object_bytes = max_object_bytes
        self.upper: Upper | None = None
        self.link = RedisLink(options, self._coming_back)
        self._names = Names(secret, space)
        self._news = RedisNews(self.link, self._names, self._heard)
        self._pattern = pattern
        self._keep = keep
        self._looks: dict[bytes, asyncio.Task[Sequence[Entry]]] = {}
        self._jobs: deque[_Job] = deque()
        self._held_bytes = 0
        self._comes = asyncio.Event()
        self._owed: deque[_Job] = deque()
        self._is_returning = False
        self._gone: set[bytes] = set()
        self._task: asyncio.Task[None] | None = None
        self._no_room_until = 0.0
        self._objects = self._bytes = 0
        self._stored = self._refused = self._dropped = self._damaged = self._late = 0

    # --- reading ---------------------------------------------------------------------------------------------------

    def look(self, key: bytes) -> Sequence[Entry] | None:
        """See `store.Store`: None, unless there is nobody to ask."""
        return () if self.link.is_away and self._task is not None else None

    async def find(self, key: bytes) -> Sequence[Entry]:
        """See `store.Store`. Takes no longer than one command may."""
        self._begin()
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
        return [entry for entry in look.result() if not self._gone or ident_of(entry.head) not in self._gone]

    async def _find(self, key: bytes) -> Sequence[Entry]:
        try:
            await self.link.tried()
            name = self._names.key(key)
            records = [record for record in await self._records(name) if record.head.key == key]
            records.sort(key=lambda record: record.head.response_time, reverse=True)
            return await self._with_contents(name, records)
        except (Away, Refused):
            return ()

    async def _records(self, name: str, *, first: bool = False) -> list[Record]:
        """What is right of what lies under KEY `name`. Raises Away and Refused."""

        async def heads(client: Any) -> list[tuple[bytes, bytes]]:
            found = await client.hgetall(self._names.root + "h:" + name)
            return [(bytes(field), bytes(raw)) for field, raw in found.items()]

        records = []
        for field, raw in await self.link.ask(heads, first=first):
            try:
                records.append(self._names.read(name, field, raw))
            except ValueError:
                self._damaged += 1
        return records

    async def _with_contents(self, name: str, records: list[Record]) -> list[Entry]:
        """Entries of the newest of `records`, as far as their contents are right and not too much together."""
        room = 2 * self.max_object_bytes
        wanted: list[bytes] = []
        for record in records:
            if record.body != NO_BODY:
                room -= record.head.length
                if room >= 0 or not wanted:
                    wanted.append(record.body)
        contents: dict[bytes, bytes] = {}
        if wanted:
            names = [f"{self._names.root}b:{name}:{body.decode('ascii', 'replace')}" for body in wanted]
            found = await self.link.ask(lambda client: _mget(client, names))
            contents = {body: content for body, content in zip(wanted, found, strict=True) if content is not None}
        entries = []
        for record in records:
            content = record.content if record.body == NO_BODY else contents.get(record.body)
            if content is None:
                continue
            head = record.head
            if record.body != NO_BODY and (
                len(content) != head.length or hashlib.sha256(content).digest() != head.sha256
            ):
                self._damaged += 1
                continue
            entries.append(Entry(head, content))
        return entries

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
        self._put(_Put(head, content))

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """See `store.Store`."""
        content = entry.content if isinstance(entry.content, bytes) else b""
        self._put(_Put(head, content if len(content) <= INLINE_BYTES else b"", entry.head))

    def remove(self, entry: Entry) -> None:
        """See `store.Store`."""
        self._gone.add(ident_of(entry.head))
        self._add(_Job(partial(self._remove, entry.head), 0, True))

    async def purge(self, match: Match, *, soft: bool) -> int:
        """See `store.Store`. While Redis is away it is owed, and the number is 0."""
        self._begin()
        await self.settle()
        counted = 0

        async def do() -> None:
            nonlocal counted
            counted += await self._purge(match, soft=soft)

        try:
            await do()
        except (Away, Refused) as error:
            self._owe(_Job(do, 0, True), error)
        return counted

    def _put(self, put: _Put) -> None:
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

    def _owe(self, job: _Job, error: Exception) -> None:
        """It could not be done. Who reads before it is done would read what is wrong, so nobody does."""
        self._owed.append(job)
        self.link.lost(error)
        if len(self._owed) > MOST_OWED:
            self._owed.clear()
            self._owed.append(_Job(self._purge_all, 0, True))

    async def _purge_all(self) -> None:
        await self._purge(lambda head: True, soft=False)
        self._gone.clear()

    async def _coming_back(self) -> None:
        """Before anything is read again: what is owed goes, and what the others have changed is heard."""
        self._is_returning = True
        try:
            while self._owed:
                await self._owed[0].do()
                self._owed.popleft()
        finally:
            self._is_returning = False
        await self._news.catch_up()
        self._news.begin()

    # --- what it does there ----------------------------------------------------------------------------------------

    async def _script(
        self, text: str, key: str, variant: str, news: bytes, *more: Any, scopes: Sequence[str] = ()
    ) -> bool:
        """Run a script; whether it has changed something. Raises Away and Refused."""
        names = self._names

        async def run(client: Any) -> tuple[int, int, int]:
            script = client.register_script(text)
            changed, objects, octets = await script(args=[names.root, key, variant, news, *more, *scopes])
            return int(changed), int(objects), int(octets)

        try:
            changed, objects, octets = await self.link.ask(run, first=self._is_returning)
        except NoRoom:
            self._no_room_until = asyncio.get_running_loop().time() + PAUSE_WITHOUT_ROOM_S
            raise
        except Refused:
            await self._repair(f"h:{key}", *[f"s:{scope}" for scope in scopes])
            raise
        self._objects, self._bytes = max(0, objects), max(0, octets)
        return changed == 1

    async def _store(self, put: _Put) -> None:
        head, content, before, is_announced = put
        names = self._names
        body = NO_BODY if head.length <= INLINE_BYTES else names.body(before or head)
        try:
            record = names.record(head, body, content if body == NO_BODY else b"")
        except ValueError:  # too long a head, or one that is none
            self._refused += 1
            return
        seconds = round(min(max(self._keep(head), SHORTEST_S), LONGEST_S))
        changed = await self._script(
            PUT,
            names.key(head.key),
            variant_of(head),
            self._news.said("key", head.key) if is_announced else b"",
            record,
            seconds,
            body,
            b"" if body == NO_BODY or before is not None else content,
            b"" if before is None else ident_of(before),
            "" if before is None else variant_of(before),
            round(LONGEST_S),
            scopes=names.scopes(head),
        )
        self._stored += changed and before is None

    async def _remove(self, head: StoredHead) -> None:
        await self._drop(head)
        self._gone.discard(ident_of(head))

    async def _drop(self, head: StoredHead, *, is_announced: bool = True) -> bool:
        news = self._news.said("key", head.key) if is_announced else b""
        return await self._script(DROP, self._names.key(head.key), variant_of(head), news, ident_of(head))

    async def _purge(self, match: Match, *, soft: bool) -> int:
        pattern: str | None = getattr(match, "pattern", None)
        count = 0
        async for record in self._walk(getattr(match, "scope", None)):
            head = record.head
            if not match(head):
                continue
            if soft:
                expired = _Put(head.replace(expired=True), record.content, head, pattern is None)
                await self._store(expired)
                count += 1
            else:
                count += await self._drop(head, is_announced=pattern is None)
        if pattern is not None:
            kind = "expire" if soft else "purge"
            await self._script(TELL, "", "", self._news.said(kind, pattern.encode("utf-8", "surrogateescape")))
        return count

    async def _walk(self, scope: Scope | None) -> AsyncIterator[Record]:
        """Every record in a scope, or every record."""
        names = self._names
        index = names.root + ("all" if scope is None else "s:" + names.scope(scope))
        seen: set[str] = set()
        found = [] if scope is None else names.surely_in(scope)
        place: int | None = 0
        while found or place is not None:
            for name in found:
                if name not in seen:
                    seen.add(name)
                    with contextlib.suppress(Refused):
                        for record in await self._records(name, first=self._is_returning):
                            yield record
            found = []
            if place is not None:
                scan = partial(_scan, index=index, place=place)
                place, found = await self.link.ask(scan, first=self._is_returning)

    async def _repair(self, *names: str) -> None:
        """Remove what has one of our names and is of another kind than it has to be: it would refuse us for ever."""
        root = self._names.root

        async def kinds(client: Any) -> None:
            for name in ("all", "totals", "news", *names):
                kind = _KINDS[name.partition(":")[0]]
                if await client.type(root + name) not in (kind, b"none"):
                    await client.unlink(root + name)

        with contextlib.suppress(Away, Refused):
            await self.link.ask(kinds, first=self._is_returning)

    def _heard(self, kind: str, text: bytes) -> None:
        """Another node, or this one, has announced something."""
        if self.upper is None:
            return
        if kind == "key":
            self.upper.changed(text)
        elif kind in ("purge", "expire"):
            try:
                match = self._pattern(text.decode("utf-8", "surrogateescape"))
            except ValueError:  # a newer node knows more patterns
                self.upper.forget()
            else:
                self.upper.purged(match, soft=kind == "expire")
        else:
            self.upper.forget()

    # --- the whole -------------------------------------------------------------------------------------------------

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """See `store.Store`."""
        self._begin()
        heads: list[StoredHead] = []
        with contextlib.suppress(Away, Refused):
            await self.link.tried()
            async for record in self._walk(getattr(match, "scope", None)):
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
            "objects": self._objects,
            "bytes": self._bytes,
            "stored": self._stored,
            "evicted": 0,
            "refused": self._refused,
            "dropped": self._dropped,
            "damaged": self._damaged,
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


async def _mget(client: Any, names: list[str]) -> list[bytes | None]:
    found = await client.mget(names)
    if len(found) != len(names):
        raise ValueError("it answers another question than it was asked")
    return [None if content is None else bytes(content) for content in found]


async def _scan(client: Any, index: str, place: int) -> tuple[int | None, list[str]]:
    """Some KEYs of an index, and where to go on, None at its end."""
    place, members = await client.zscan(index, place, count=_WALK)
    return int(place) or None, [bytes(member).partition(b":")[0].decode("ascii", "replace") for member, _ in members]

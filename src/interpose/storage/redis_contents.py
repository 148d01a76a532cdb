"""What lies in Redis: reading, storing, removing, purging, each a command or a few, which raise Away and Refused."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from interpose.protocol.stored import StoredHead
from interpose.storage.redis_link import Away, NoRoom, RedisLink, Refused
from interpose.storage.redis_record import INLINE_BYTES, NO_BODY, Names, Record, ident_of, said, variant_of
from interpose.storage.redis_scripts import DROP, FORGET, PUT, TELL
from interpose.storage.store import Entry, Match, Scope

LONGEST_S = 7 * 86400.0
SHORTEST_S = 60.0
_WALK = 256
_KINDS = {"all": b"zset", "s": b"zset", "h": b"hash", "totals": b"hash", "news": b"stream"}

Keep = Callable[[StoredHead], float]
"""Seconds that a response is worth keeping from now on."""


class Put(NamedTuple):
    """A head to store, and its content where that is new or short. `before`: the head that has to be there."""

    head: StoredHead
    content: bytes
    before: StoredHead | None = None
    is_announced: bool = True


class RedisContents:
    """See the module. `objects` and `bytes` are what all nodes had stored when this one changed something last;
    `damaged` counts what was not sealed right."""

    def __init__(self, link: RedisLink, names: Names, keep: Keep, max_object_bytes: int) -> None:
        self.objects = self.bytes = self.damaged = 0
        self._link = link
        self._names = names
        self._keep = keep
        self._find_bytes = 2 * max_object_bytes

    # --- reading ---------------------------------------------------------------------------------------------------

    async def find(self, key: bytes) -> list[Entry]:
        """The variants under `key`, the newest first, with their contents."""
        name = self._names.key(key)
        records = [record for record in await self._records(name) if record.head.key == key]
        records.sort(key=lambda record: record.head.response_time, reverse=True)
        return await self._with_contents(name, records)

    async def _records(self, name: str) -> list[Record]:
        """What is right of what lies under KEY `name`. Raises Away and Refused."""

        async def heads(client: Any) -> list[tuple[bytes, bytes]]:
            found = await client.hgetall(self._names.root + "h:" + name)
            return [(bytes(field), bytes(raw)) for field, raw in found.items()]

        records = []
        for field, raw in await self._link.ask(heads):
            try:
                records.append(self._names.read(name, field, raw))
            except ValueError:
                self.damaged += 1
        return records

    async def _with_contents(self, name: str, records: list[Record]) -> list[Entry]:
        """Entries of the newest of `records`, as far as their contents are right and not too much together."""
        room = self._find_bytes
        wanted: list[bytes] = []
        for record in records:
            if record.body != NO_BODY:
                room -= record.head.length
                if room >= 0 or not wanted:
                    wanted.append(record.body)
        contents: dict[bytes, bytes] = {}
        if wanted:
            names = [f"{self._names.root}b:{name}:{body.decode('ascii', 'replace')}" for body in wanted]
            found = await self._link.ask(lambda client: _mget(client, names))
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
                self.damaged += 1
                continue
            entries.append(Entry(head, content))
        return entries

    async def walk(self, scope: Scope | None) -> AsyncIterator[Record]:
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
                        for record in await self._records(name):
                            yield record
            found = []
            if place is not None:
                scan = partial(_scan, index=index, place=place)
                place, found = await self._link.ask(scan)

    # --- changing --------------------------------------------------------------------------------------------------

    async def store(self, put: Put) -> bool:
        """Store a response, or give one that is still there another head; whether that was done. ValueError when the
        head is too long, or none."""
        head, content, before, is_announced = put
        names = self._names
        body = NO_BODY if head.length <= INLINE_BYTES else names.body(before or head)
        record = names.record(head, body, content if body == NO_BODY else b"")
        seconds = round(min(max(self._keep(head), SHORTEST_S), LONGEST_S))
        return await self._script(
            PUT,
            names.key(head.key),
            variant_of(head),
            said(self._names, "key", head.key) if is_announced else b"",
            record,
            seconds,
            body,
            b"" if body == NO_BODY or before is not None else content,
            b"" if before is None else ident_of(before),
            "" if before is None else variant_of(before),
            round(LONGEST_S),
            scopes=names.scopes(head),
        )

    async def drop(self, head: StoredHead, *, is_announced: bool = True) -> bool:
        """Remove a response; whether it was there."""
        news = said(self._names, "key", head.key) if is_announced else b""
        return await self._script(DROP, self._names.key(head.key), variant_of(head), news, ident_of(head))

    async def forget(self, key: bytes) -> None:
        """Remove all that is under `key`, and tell the others."""
        await self._script(FORGET, self._names.key(key), "", said(self._names, "key", key))

    async def purge(self, match: Match, *, soft: bool) -> int:
        """Remove what matches, or make it stale; how many that were. The others hear of it when it is done."""
        pattern: str | None = getattr(match, "pattern", None)
        count = 0
        async for record in self.walk(getattr(match, "scope", None)):
            head = record.head
            if not match(head) or (soft and head.expired):
                continue
            if soft:
                count += await self.store(Put(head.replace(expired=True), record.content, head, pattern is None))
            else:
                count += await self.drop(head, is_announced=pattern is None)
        if pattern is not None:
            kind = "expire" if soft else "purge"
            await self._script(TELL, "", "", said(self._names, kind, pattern.encode("utf-8", "surrogateescape")))
        return count

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
            changed, objects, octets = await self._link.ask(run)
        except NoRoom:
            raise  # nothing is wrong with what is there
        except Refused:
            await self._repair(f"h:{key}", *[f"s:{scope}" for scope in scopes])
            raise
        self.objects, self.bytes = max(0, objects), max(0, octets)
        return changed == 1

    async def _repair(self, *names: str) -> None:
        """Remove what has one of our names and is of another kind than it has to be: it would refuse us for ever."""
        root = self._names.root

        async def kinds(client: Any) -> None:
            for name in ("all", "totals", "news", *names):
                kind = _KINDS[name.partition(":")[0]]
                if await client.type(root + name) not in (kind, b"none"):
                    await client.unlink(root + name)

        with contextlib.suppress(Away, Refused):
            await self._link.ask(kinds)


async def _mget(client: Any, names: list[str]) -> list[bytes | None]:
    found = await client.mget(names)
    if len(found) != len(names):
        raise ValueError("it answers another question than it was asked")
    return [None if content is None else bytes(content) for content in found]


async def _scan(client: Any, index: str, place: int) -> tuple[int | None, list[str]]:
    """Some KEYs of an index, and where to go on, None at its end."""
    place, members = await client.zscan(index, place, count=_WALK)
    return int(place) or None, [bytes(member).partition(b":")[0].decode("ascii", "replace") for member, _ in members]

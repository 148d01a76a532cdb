"""Compressed content that a cache keeps, so that a hit is not compressed each time.

A cache below this filter keeps what the server sent. What that becomes is kept in the same store, under a key of its
own: that of the URL, the coding with its level, and the SHA-256 of the plain content. So it can never be the wrong one,
whatever becomes of the answer it was made from: freshness, validators and fields are always that answer's. What nobody
asks for any more is displaced like all else, and what is purged by URL or by tag goes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from interpose.core.fields import FieldLine
from interpose.core.target import Target
from interpose.protocol.cache_key import key_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.storing import tags_of
from interpose.storage.store import Entry, Store, Writer

MOST_KEYS = 1024

# Of the answer that is being sent, or of one client.
_NOT_KEPT = frozenset((b"age", b"cache-status", b"set-cookie", b"via"))


class Variants:
    """What is kept of the content of one cache. `wall` gives the time in seconds; `tag_fields` are the names, in lower
    case, of fields whose words one can purge by."""

    def __init__(self, store: Store, wall: Callable[[], float], tag_fields: tuple[bytes, ...] = ()) -> None:
        self._store = store
        self._wall = wall
        self._tag_fields = tag_fields
        self._keys: dict[tuple[bytes, str], tuple[Target, bytes]] = {}
        self._being_made: set[bytes] = set()

    def key_of(self, target: Target, coding: str, level: int, digest: bytes) -> bytes:
        """Where the content with this SHA-256 is kept in this coding."""
        known = self._keys.get((digest, coding))
        if known is not None and known[0] == target:
            return known[1]
        key = key_of(target, (("coding", f"{coding}-{level}"), ("of", digest.hex())))
        if len(self._keys) >= MOST_KEYS:
            self._keys.clear()
        self._keys[digest, coding] = target, key
        return key

    def look(self, key: bytes) -> Sequence[Entry] | None:
        """What is kept there, at most one; None when only `find` can tell."""
        return self._store.look(key)

    async def find(self, key: bytes) -> Sequence[Entry]:
        """What `look` would say if it could wait."""
        return await self._store.find(key)

    def keep(self, key: bytes, lines: Sequence[FieldLine]) -> Kept | None:
        """What takes in the content of an answer with these fields; None while another does, or where it is not
        kept."""
        if key in self._being_made:
            return None
        now = self._wall()
        kept = tuple([line for line in lines if line[0] not in _NOT_KEPT])
        head = StoredHead(200, b"", kept, now, now, tags=tags_of(lines, self._tag_fields), key=key)
        writer = self._store.writer(head)
        if writer.gave_up:
            writer.abort()
            return None
        self._being_made.add(key)
        return Kept(head, writer, self._being_made)


class Kept:
    """Takes in one content. See `flow.Copy`."""

    __slots__ = ("_being_made", "_digest", "_head", "_length", "_writer")

    def __init__(self, head: StoredHead, writer: Writer, being_made: set[bytes]) -> None:
        self._head = head
        self._writer = writer
        self._being_made = being_made
        self._digest = hashlib.sha256()
        self._length = 0

    def write(self, data: bytes) -> None:
        """The next octets."""
        self._digest.update(data)
        self._length += len(data)
        self._writer.write(data)

    def end(self) -> None:
        """That was all."""
        self._being_made.discard(self._head.key)
        self._writer.commit(self._head.replace(length=self._length, sha256=self._digest.digest()))

    def abort(self) -> None:
        """It broke off."""
        self._being_made.discard(self._head.key)
        self._writer.abort()

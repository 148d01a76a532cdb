"""Takes in a response for Redis: all of it in memory, since it goes there in one piece."""

from __future__ import annotations

from typing import Protocol

from interpose.protocol.stored import StoredHead

JOINED_AT = 512
"""Many small chunks cost more than their octets."""


class Keeps(Protocol):
    """What a writer asks of its store."""

    max_object_bytes: int

    def takes(self, size: int) -> bool:
        """Whether content of `size` octets may be stored now; counts it when not."""

    def reserve(self, size: int) -> bool:
        """Whether `size` more octets may be held until they are stored; less than none gives room back."""

    def keep(self, head: StoredHead, content: bytes) -> None:
        """Store a response, soon."""


class RedisWriter:
    """See `store.Writer`. `expected` is the length of the content, 0 when that is not known."""

    __slots__ = ("_chunks", "_has_ended", "_size", "_store", "gave_up")

    def __init__(self, store: Keeps, expected: int) -> None:
        self._store = store
        self._chunks: list[bytes] = []
        self._size = 0
        self._has_ended = False
        self.gave_up = not store.takes(expected)

    def write(self, chunk: bytes) -> None:
        """See `store.Writer`."""
        if self.gave_up or self._has_ended or not chunk:
            return
        if self._size + len(chunk) > self._store.max_object_bytes:
            self._store.takes(self._size + len(chunk))
            self._give_up()
            return
        if not self._store.reserve(len(chunk)):
            self._give_up()
            return
        self._size += len(chunk)
        self._chunks.append(chunk)
        if len(self._chunks) >= JOINED_AT:
            self._chunks = [b"".join(self._chunks)]

    def commit(self, head: StoredHead) -> None:
        """See `store.Writer`."""
        if self.gave_up or self._has_ended:
            return
        content = b"".join(self._chunks)
        self._end()
        if head.length != len(content):
            raise ValueError(f"a stored head says {head.length} octets of content; {len(content)} were written")
        self._store.keep(head, content)

    def abort(self) -> None:
        """See `store.Writer`."""
        self._give_up()

    def _give_up(self) -> None:
        if not self._has_ended:
            self.gave_up = True
            self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._chunks = []
        self._store.reserve(-self._size)

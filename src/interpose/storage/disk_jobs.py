"""What the loop asks of a disk store's writing thread. A batch of jobs is done in three steps:

prepare   what needs no transaction: files, encoding, looking through the index       one job after the other
apply     changes of the index                                                         all in one transaction
done      after the commit, or after it has failed
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import struct

from interpose.protocol.stored import StoredHead, encode
from interpose.storage.disk_files import Incoming, ObjectFiles
from interpose.storage.disk_index import Changes, Index, fixed_of
from interpose.storage.disk_record import decode_head, key_of
from interpose.storage.store import Match

WALK_AT_ONCE = 256


class Job:
    """Asks for nothing. `size` is what it holds in memory."""

    size = 0
    changes_index = True

    def prepare(self, index: Index | None) -> None:
        """Raises OSError."""

    def apply(self, changes: Changes) -> None:
        """Raises lmdb.Error."""

    def done(self, files: ObjectFiles, is_committed: bool) -> None:
        """Clean up, or tell who waits."""


class Append(Job):
    """More of the content of a file."""

    changes_index = False

    def __init__(self, incoming: Incoming, data: list[bytes], size: int) -> None:
        self.size = size
        self._incoming = incoming
        self._data = data

    def prepare(self, index: Index | None) -> None:
        """Write it."""
        self._incoming.append(b"".join(self._data))


class Discard(Job):
    """The response broke off."""

    changes_index = False

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def prepare(self, index: Index | None) -> None:
        """Remove the file."""
        self._incoming.discard()


class Commit(Job):
    """A response is complete; `data` is the rest of its content, all of it when `in_file` is False."""

    def __init__(self, incoming: Incoming, head: StoredHead, data: list[bytes], size: int, in_file: bool) -> None:
        self.size = size
        self._incoming = incoming
        self._head = head
        self._data = data
        self._in_file = in_file
        self._is_ready = False
        self._content = b""
        self._raw_head = b""
        self._digest = b""
        self._file_size = 0

    def prepare(self, index: Index | None) -> None:
        """Write the rest, and give the file its name."""
        try:
            self._raw_head = encode(self._head)
        except (ValueError, struct.error):
            self._incoming.discard()  # a head that cannot be kept: too long, or not a head
            return
        content = b"".join(self._data)
        if not self._in_file:
            self._content = content
            self._digest = self._head.sha256 if len(self._head.sha256) == 32 else hashlib.sha256(content).digest()
        else:
            self._incoming.append(content, self._head.sha256)
            if self._incoming.failed:
                return
            self._file_size, self._digest = self._incoming.finish()
        self._is_ready = True

    def apply(self, changes: Changes) -> None:
        """Make it known."""
        if self._is_ready:
            key = key_of(self._head)
            changes.put(key, self._incoming.ident, self._raw_head, self._content, self._digest, self._file_size)

    def done(self, files: ObjectFiles, is_committed: bool) -> None:
        """Remove a file that nobody knows."""
        if self._file_size and not is_committed:
            files.remove(self._incoming.ident)


class Refresh(Job):
    """An entry has a newer head."""

    size = 1024

    def __init__(self, key: bytes, ident: bytes, head: StoredHead) -> None:
        self._key = key
        self._ident = ident
        self._head = head
        self._raw_head = b""

    def prepare(self, index: Index | None) -> None:
        """Encode it. One that cannot be kept changes nothing."""
        with contextlib.suppress(ValueError, struct.error):
            self._raw_head = encode(self._head)

    def apply(self, changes: Changes) -> None:
        """Keep it."""
        if self._raw_head:
            changes.set_head(self._key, self._ident, self._raw_head, key_of(self._head))


class Remove(Job):
    """An entry is wrong. `gone` has its ident until that is committed, for who looks meanwhile."""

    def __init__(self, key: bytes, ident: bytes, gone: set[bytes]) -> None:
        self._key = key
        self._ident = ident
        self._gone = gone

    def apply(self, changes: Changes) -> None:
        """Remove it."""
        changes.remove(self._key, self._ident)

    def done(self, files: ObjectFiles, is_committed: bool) -> None:
        """Where it could not be removed this process goes on without it."""
        if is_committed:
            self._gone.discard(self._ident)


class Touch(Job):
    """An entry was used."""

    def __init__(self, key: bytes, ident: bytes) -> None:
        self._key = key
        self._ident = ident

    def apply(self, changes: Changes) -> None:
        """Note it."""
        changes.touch(self._key, self._ident)


class RemoveDamaged(Job):
    """A record cannot be used: it is damaged, or its file is gone."""

    def __init__(self, key: bytes, raw: bytes) -> None:
        self._key = key
        self._raw = raw

    def apply(self, changes: Changes) -> None:
        """Remove it."""
        changes.remove_damaged(self._key, self._raw)


class Ask(Job):
    """Somebody waits until this, and what was asked before it, is done."""

    changes_index = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = self._loop.create_future()
        self.is_done = False

    def done(self, files: ObjectFiles, is_committed: bool) -> None:
        """Wake who waits."""
        self.is_done = is_committed
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


class Walk(Ask):
    """Look through some entries, from the key `start` on: `heads` has those that match, up to `limit`, `next` where to
    go on. An exception of `match` is in `error`."""

    def __init__(self, start: bytes, match: Match, limit: int) -> None:
        super().__init__()
        self._start = start
        self._match = match
        self._limit = limit
        self.next: bytes | None = None
        self.heads: list[StoredHead] = []
        self.error: Exception | None = None
        self._damaged: list[tuple[bytes, bytes]] = []

    def prepare(self, index: Index | None) -> None:
        """Look."""
        if index is not None:
            self.next = index.walk(self._start, WALK_AT_ONCE, self._see)

    def _see(self, key: bytes, raw: memoryview) -> None:
        fixed = fixed_of(raw)
        try:
            head = decode_head(key, fixed, raw)
        except ValueError:
            self._damaged.append((key, bytes(raw)))
            return
        if self.error is None and len(self.heads) < self._limit:
            try:
                if self._match(head):
                    self._matched(key, fixed.ident, head)
            except Exception as error:
                self.error = error

    def _matched(self, key: bytes, ident: bytes, head: StoredHead) -> None:
        self.heads.append(head)


class Purge(Walk):
    """Remove or expire what matches among some entries; `heads` has what did."""

    changes_index = True

    def __init__(self, start: bytes, match: Match, soft: bool) -> None:
        super().__init__(start, match, WALK_AT_ONCE)
        self._soft = soft
        self._found: list[tuple[bytes, bytes, StoredHead]] = []

    def _matched(self, key: bytes, ident: bytes, head: StoredHead) -> None:
        self.heads.append(head)
        self._found.append((key, ident, head))

    def apply(self, changes: Changes) -> None:
        """Remove or expire them."""
        for key, raw in self._damaged:
            changes.remove_damaged(key, raw)
        for key, ident, head in self._found:
            if not self._soft:
                changes.remove(key, ident)
            elif not head.expired:
                changes.set_head(key, ident, encode(head.replace(expired=True)), key)

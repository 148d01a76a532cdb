"""A store on disk, which all workers of a machine share and which is there at once after a restart. See `store.Store`.

    on the loop                                          on the writing thread (`disk_thread`)
    look: the index, read through its map      jobs -->  files, then one transaction for all that has come
    Writer: collects, passes on pieces                   eviction, sweep, repair

`look` is a read from memory that the kernel maps: a record that was not used for long may cost a read from the disk.
What was read and found right is remembered for as long as the record in the index stays the same, octet for octet, so
that most hits pay for a look-up and a comparison; whatever another worker changes is seen by the next look. Large
contents are opened when they are looked up and read in turns of the event loop.

Make one per directory in each process, after the process has started (an index does not survive a fork).
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Sequence

import lmdb

from interpose.protocol.stored import StoredHead
from interpose.storage.disk_files import Incoming, StoredFile, file_size, pieces_in
from interpose.storage.disk_index import fixed_of
from interpose.storage.disk_jobs import Append, Ask, Commit, Discard, Job, Purge, Refresh, Remove, RemoveDamaged, Walk
from interpose.storage.disk_listening import Listening
from interpose.storage.disk_record import (
    IDENT_BYTES,
    SMALL_BYTES,
    Fixed,
    decode_content,
    decode_head,
    prefix_of,
)
from interpose.storage.disk_thread import WritingThread
from interpose.storage.store import Content, Copies, Entry, Match, Writer

MAX_OBJECT_BYTES = 1 << 30
QUEUE_BYTES = 64 << 20
APPEND_BYTES = 131072
KNOWN_BYTES = 16 << 20
MIN_BYTES = 1 << 20
NOT_NOW = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Why a file cannot be opened that is there."""


class DiskEntry(Entry):
    """An entry that knows where it is."""

    __slots__ = ("ident", "key")

    def __init__(self, head: StoredHead, content: bytes | Content, key: bytes, ident: bytes) -> None:
        super().__init__(head, content)
        self.key = key
        self.ident = ident


class _Known:
    """A record that was read and is right."""

    __slots__ = ("entry", "fixed", "head", "raw")

    def __init__(self, raw: bytes, fixed: Fixed, head: StoredHead, entry: DiskEntry | None) -> None:
        self.raw = raw
        self.fixed = fixed
        self.head = head
        self.entry = entry


class DiskStore:
    """Keeps up to `max_bytes` in `directory`, and nothing that is longer than `max_object_bytes`. The directory is
    made when it is not there. ValueError when it must not be used: it is another user's, others may write to it, or
    this process has it open. A disk that is full or read-only is no error: the store steps aside until that has
    changed."""

    def __init__(
        self,
        directory: str,
        max_bytes: int,
        max_object_bytes: int = MAX_OBJECT_BYTES,
        *,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        if max_bytes < MIN_BYTES:
            raise ValueError(f"a cache of {max_bytes} bytes on disk; give it {MIN_BYTES} at least.")
        self.max_object_bytes = min(max_object_bytes, max_bytes // 2)
        self._queue_bytes = queue_bytes
        self._touch_after = max_bytes // 8
        self._known: dict[bytes, _Known] = {}
        self._known_bytes = 0
        self._bytes_put = 0
        self._gone: set[bytes] = set()  # what was removed here, until everybody can see that
        self._refused = self._dropped = self._damaged = 0
        self._thread = WritingThread(os.path.abspath(directory), max_bytes)
        self._listening: Listening | None = None

    # --- reading ---------------------------------------------------------------------------------------------------

    def look(self, key: bytes) -> Sequence[Entry]:
        """See `store.Store`."""
        index = self._thread.index
        if index is None:
            return []
        try:
            found = index.look(prefix_of(key))
            entries = [known for place, raw in found if (known := self._entry(place, raw)) is not None]
        except lmdb.Error as error:
            self._thread.report(index, error)
            return []
        if len(entries) > 1:
            entries.sort(key=_serial, reverse=True)
        if self._gone:
            return [entry for _, entry in entries if entry.ident not in self._gone]
        return [entry for _, entry in entries]

    async def find(self, key: bytes) -> Sequence[Entry]:
        """See `store.Store`."""
        return self.look(key)

    def _entry(self, key: bytes, raw: bytes) -> tuple[int, DiskEntry] | None:
        """The serial and the entry of a record, None when it cannot be used."""
        known = self._known.get(key)
        if known is None or known.raw != raw:
            try:
                known = self._read(key, raw)
            except ValueError:
                self._remove_damaged(key, raw)
                return None
        fixed = known.fixed
        if fixed.stamp + self._touch_after < self._thread.clock:
            self._thread.touches.append((key, fixed.ident))
        if known.entry is not None:
            return fixed.serial, known.entry
        try:
            fd, identity = self._thread.files.open(fixed.ident, fixed.size)
        except (ValueError, OSError) as error:
            if getattr(error, "errno", None) not in NOT_NOW:
                self._remove_damaged(key, raw)
            return None
        length = known.head.length
        flags = self._thread.files.checked(fixed.ident, identity, pieces_in(length))
        content = StoredFile(fd, length, fixed.digest, flags, lambda: self._remove_damaged(key, raw))
        return fixed.serial, DiskEntry(known.head, content, key, fixed.ident)

    def _read(self, key: bytes, raw: bytes) -> _Known:
        """What is in a record, and remember it. ValueError when anything is wrong with it,
        lmdb.CorruptedError when it is no record at all."""
        fixed = fixed_of(raw)
        head = decode_head(key, fixed, raw)
        entry = None
        if fixed.size == 0:
            entry = DiskEntry(head, decode_content(fixed, head, raw), key, fixed.ident)
        elif fixed.size != file_size(head.length):
            raise ValueError("a stored record does not fit its file")
        known = _Known(raw, fixed, head, entry)
        self._forget(key)
        self._known[key] = known
        self._known_bytes += len(raw)
        while self._known_bytes > KNOWN_BYTES:
            self._forget(next(iter(self._known)))
        return known

    def _forget(self, key: bytes) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._known_bytes -= len(known.raw)

    def _remove_damaged(self, key: bytes, raw: bytes) -> None:
        self._damaged += 1
        self._forget(key)
        self._put(RemoveDamaged(key, raw))

    # --- writing ---------------------------------------------------------------------------------------------------

    def writer(self, head: StoredHead) -> Writer:
        """See `store.Store`."""
        return _DiskWriter(self, head)

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """See `store.Store`."""
        if isinstance(entry, DiskEntry):
            self.put_data(Refresh(entry.key, entry.ident, head))

    def remove(self, entry: Entry) -> None:
        """See `store.Store`."""
        if isinstance(entry, DiskEntry):
            self._gone.add(entry.ident)
            self._put(Remove(entry.key, entry.ident, self._gone))

    def forget(self, key: bytes) -> None:
        """See `store.Store`."""
        for entry in self.look(key):
            self.remove(entry)

    async def purge(self, match: Match, *, soft: bool) -> int:
        """See `store.Store`. Goes through the index in pieces, between which others write."""
        count = 0
        start: bytes | None = b""
        while start is not None:
            walk = Purge(start, match, soft)
            await self._ask(walk)
            if walk.error is not None:
                raise walk.error
            count += len(walk.heads) if walk.is_done else 0
            start = walk.next
        return count

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """See `store.Store`."""
        heads: list[StoredHead] = []
        start: bytes | None = b""
        while start is not None and len(heads) < limit:
            walk = Walk(start, match, limit - len(heads))
            await self._ask(walk)
            if walk.error is not None:
                raise walk.error
            heads += walk.heads
            start = walk.next
        return heads

    # --- the whole -------------------------------------------------------------------------------------------------

    def counters(self) -> dict[str, float]:
        """See `store.Store`. `refused` were too large or came while the store had stepped aside, `dropped` came faster
        than the disk is; `failures` of the disk or the index, `damaged` entries that were not served, `set_aside`
        indexes, `swept` files that nobody knew; `aside` is 1 while nothing is stored."""
        thread = self._thread
        objects = taken = 0
        index = thread.index
        if index is not None:
            try:
                totals = index.totals()
                objects, taken = totals.objects, totals.pages + totals.files
            except lmdb.Error as error:
                thread.report(index, error)
        return {
            "objects": objects,
            "bytes": taken,
            "stored": thread.stored,
            "evicted": thread.evicted,
            "refused": self._refused,
            "dropped": self._dropped,
            "failures": thread.failures,
            "damaged": self._damaged,
            "set_aside": thread.set_aside,
            "swept": thread.swept,
            "aside": float(thread.is_aside),
        }

    @property
    def is_away(self) -> bool:
        """See `store.SharedStore`."""
        return self._thread.is_aside

    def listen(self, copies: Copies) -> None:
        """See `store.SharedStore`."""
        self._listening = Listening(self._thread, copies)

    async def settle(self) -> None:
        """See `store.Store`."""
        await self._ask(Ask())

    async def close(self) -> None:
        """See `store.Store`."""
        if self._listening is not None:
            self._listening.end()
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()

        def stop() -> None:
            self._thread.stop()
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=stop, name="cache-closer", daemon=True).start()
        await stopped.wait()

    async def _ask(self, ask: Ask) -> None:
        self._put(ask)
        await ask.answered

    def _put(self, job: Job) -> None:
        self._bytes_put += job.size
        self._thread.put(job)

    # --- for writers -----------------------------------------------------------------------------------------------

    def begin(self) -> Incoming:
        """A file that may be begun."""
        return Incoming(self._thread.files, os.urandom(IDENT_BYTES))

    def takes(self, size: int) -> bool:
        """Whether content of `size` octets may be stored now; counts it when not."""
        if size <= self.max_object_bytes and not self._thread.is_aside:
            return True
        self._refused += 1
        return False

    def put_data(self, job: Job) -> bool:
        """Put a job that holds much, unless the disk is too far behind; whether that was done."""
        if self._bytes_put - self._thread.bytes_done + job.size > self._queue_bytes:
            self._dropped += 1
            return False
        self._put(job)
        return True

    def discard(self, incoming: Incoming) -> None:
        """Leave nothing of a file."""
        self._put(Discard(incoming))


class _DiskWriter:
    """See `store.Writer`. What is small is kept until the end; what is not goes to the thread in pieces."""

    __slots__ = ("_chunks", "_has_ended", "_held", "_in_file", "_incoming", "_size", "_store", "gave_up")

    def __init__(self, store: DiskStore, head: StoredHead) -> None:
        self._store = store
        self._chunks: list[bytes] = []
        self._held = 0
        self._size = 0
        self._in_file = False
        self._has_ended = False
        self._incoming = store.begin()
        self.gave_up = not store.takes(head.length)

    def write(self, chunk: bytes) -> None:
        """See `store.Writer`."""
        if self.gave_up or self._has_ended or not chunk:
            return
        self._size += len(chunk)
        self._held += len(chunk)
        self._chunks.append(chunk)
        if self._size > self._store.max_object_bytes or self._incoming.failed:
            self._store.takes(self._size)
            self._give_up()
        elif self._held >= APPEND_BYTES:
            if self._store.put_data(Append(self._incoming, self._chunks, self._held)):
                self._in_file = True
                self._chunks = []
                self._held = 0
            else:
                self._give_up()

    def commit(self, head: StoredHead) -> None:
        """See `store.Writer`."""
        if self._has_ended or self.gave_up:
            return
        if head.length != self._size:
            self.abort()
            raise ValueError(f"a stored head says {head.length} octets of content; {self._size} were written")
        self._has_ended = True
        in_file = self._in_file or self._size > SMALL_BYTES
        if not self._store.put_data(Commit(self._incoming, head, self._chunks, self._held, in_file)):
            self._give_up()

    def abort(self) -> None:
        """See `store.Writer`."""
        if not self._has_ended and not self.gave_up:
            self._give_up()

    def _give_up(self) -> None:
        self._has_ended = self.gave_up = True
        self._chunks = []
        if self._in_file:
            self._store.discard(self._incoming)


def _serial(pair: tuple[int, DiskEntry]) -> int:
    return pair[0]

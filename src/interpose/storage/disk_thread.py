"""The thread that writes for a disk store. The loop puts jobs into its queue and never waits for a disk.

All jobs that have come are one batch and one transaction. A batch that cannot be committed is lost as a whole, files
included: the cache *steps aside* for ASIDE_S, in which nothing new is taken in, says so once a minute, and counts. It
comes back by itself. An index that turns out to be damaged is set aside, and one that is gone is replaced.

Between batches, once a second at most, the thread tends what needs no hurry: uses that have to be noted, a step of the
sweep for files that nobody knows, slots of readers that were killed.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import resource
import threading
import time
from collections import deque
from collections.abc import Callable

import lmdb

from interpose.storage.crash_guard import CrashGuard
from interpose.storage.disk_files import ObjectFiles
from interpose.storage.disk_index import WRITING, Index
from interpose.storage.disk_jobs import Job, Touch
from interpose.storage.disk_place import DAMAGE, enter, reopen

log = logging.getLogger("interpose")

TICK_S = 1.0
LINGER_S = 0.01
ASIDE_S = 2.0
COMPLAIN_S = 60.0
TEND_S = 60.0
BATCH = 256
BATCH_BYTES = 2 << 20
MAX_EVICTIONS = 64
TIMES_ODD = 3
MAX_TOUCHES = 4096
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
THE_DISK = (*NO_SPACE, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


class WritingThread:
    """Writes into the store in `directory`. `index` is what the loop reads from, None while there is none.

    Makes the directory and opens the index at once. Raises ValueError when the directory must not be used; steps aside
    when it cannot.
    """

    def __init__(self, directory: str, max_bytes: int) -> None:
        self.files = ObjectFiles(directory)
        self.index: Index | None = None
        self.clock = 0
        self.stored = self.evicted = self.failures = self.swept = self.set_aside = 0
        self.bytes_done = 0
        self.aside_until = 0.0
        self.touches: deque[tuple[bytes, bytes]] = deque(maxlen=MAX_TOUCHES)
        self._directory = directory
        self._max_bytes = max_bytes
        self._guard: CrashGuard | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._damage: tuple[Index, lmdb.Error] | None = None
        self._no_space = False
        self._is_over = False
        self._times_odd = 0
        self._next_complaint = self._next_tick = self._next_tending = self._last_commit = self._opened_at = 0.0
        self._open()
        self._thread = threading.Thread(target=self._run, name="cache-writer", daemon=True)
        self._thread.start()

    # --- for the loop ----------------------------------------------------------------------------------------------

    def put(self, job: Job) -> None:
        """Do this, some time soon."""
        self._jobs.put(job)

    def report(self, index: Index, error: lmdb.Error) -> None:
        """Reading from `index` has failed."""
        if isinstance(error, DAMAGE):
            self._damage = (index, error)
        elif isinstance(error, lmdb.ReadersFullError):
            self._next_tending = 0.0

    @property
    def is_aside(self) -> bool:
        """Whether nothing can be stored for the moment."""
        return self.index is None or time.monotonic() < self.aside_until

    def stop(self) -> None:
        """End the thread after what was put so far, and wait for it. (Blocks; call it elsewhere than on the loop.)"""
        self._jobs.put(None)
        self._thread.join()
        if self.index is not None:
            self.index.close()
            self.index = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._next_batch()
            if batch:
                self._do(batch)
            if not is_last and time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + TICK_S
                self._goes_well(self._tick)

    def _next_batch(self) -> tuple[list[Job], bool]:
        """What has come, or nothing after a while; whether that is all that will."""
        batch: list[Job] = []
        size = 0
        try:
            job = self._jobs.get(timeout=TICK_S)
            if job is not None and (wait := self._last_commit + LINGER_S - time.monotonic()) > 0:
                time.sleep(wait)  # others come meanwhile: a commit costs as much for many as for one
            while job is not None:
                batch.append(job)
                size += job.size
                if len(batch) == BATCH or size > BATCH_BYTES:
                    return batch, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _do(self, batch: list[Job]) -> None:
        ready: list[Job] = []
        is_committed = False
        try:
            for job in batch:
                if self._goes_well(job.prepare, self.index):
                    ready.append(job)
                self.bytes_done += job.size
            is_committed = self._goes_well(self._commit, ready)
            if self._no_space:
                self._goes_well(self._make_room)
        finally:
            for job in batch:
                job.done(self.files, is_committed)

    def _commit(self, jobs: list[Job]) -> None:
        """Apply all of them, or raise."""
        if not any(job.changes_index for job in jobs):
            return
        if self.index is None:
            raise OSError(errno.ENODEV, "its index cannot be opened")
        try:
            self._change(self.index, jobs)
        except lmdb.MapFullError:
            self._make_room()
            self._change(self.index, jobs)
        self._go_on_evicting(self.index)

    def _go_on_evicting(self, index: Index) -> None:
        """What one transaction of many evictions was not enough for."""
        for _ in range(MAX_EVICTIONS):
            if not self._is_over:
                break
            self._change(index, [])

    def _change(self, index: Index, jobs: list[Job], max_bytes: int | None = None) -> None:
        """One transaction. Then the files go that it has made superfluous."""
        limit = self._max_bytes if max_bytes is None else max_bytes
        with index.change() as changes:
            for job in jobs:
                job.apply(changes)
            self._is_over = not changes.evict(limit)
        self._last_commit = time.monotonic()
        self._times_odd = 0 if jobs else self._times_odd
        self.clock = changes.clock
        self.stored += changes.stored
        self.evicted += changes.evicted
        for ident in changes.unlinked:
            self.files.remove(ident)

    def _make_room(self) -> None:
        """The disk is full: give back a sixteenth, unless there is hardly anything."""
        self._no_space = False
        if self.index is not None:
            totals = self.index.totals(WRITING)
            self._change(self.index, [], max((totals.pages + totals.files) * 15 // 16, self._max_bytes // 16))

    # --- what needs no hurry ---------------------------------------------------------------------------------------

    def _tick(self) -> None:
        index = self.index
        if index is None or not os.path.exists(index.path):
            self._reopen(None, "it is gone")
            return
        if self._damage is not None:
            damaged, error = self._damage
            self._damage = None
            if damaged is index:
                self._reopen(index.path, str(error))
                return
        self._note_uses(index)
        self.swept += self.files.sweep(index.knows_file)
        if time.monotonic() >= self._next_tending:
            self._next_tending = time.monotonic() + TEND_S
            index.check_readers()
            if self._guard is not None and self._opened_at + TEND_S < time.monotonic():
                self._guard.forgive()

    def _note_uses(self, index: Index) -> None:
        """Give what was used lately its new place in the order, and go on with an eviction that was not finished."""
        uses: list[Job] = []
        seen: set[tuple[bytes, bytes]] = set()
        while self.touches:
            use = self.touches.popleft()
            if use not in seen:
                seen.add(use)
                uses.append(Touch(*use))
        if uses or self._is_over:
            self._change(index, uses)
            self._go_on_evicting(index)
        else:
            self.clock = index.clock()

    def _reopen(self, damaged: str | None, why: str) -> None:
        """Take the index that is current now, a new one if need be."""
        if self._guard is None:
            self._open()
            return
        self.index = None  # whoever reads from it at this moment keeps it open until then
        self.set_aside += damaged is not None
        self._times_odd = 0
        self.index = reopen(self._directory, self._max_bytes, self._guard, damaged, why)
        self._opened_at = time.monotonic()

    def _open(self) -> None:
        try:
            self._guard, self.index = enter(self._directory, self._max_bytes)
            self.clock = self.index.clock()
            self._opened_at = time.monotonic()
        except (lmdb.Error, OSError) as error:
            if "already open in this process" in str(error):
                raise ValueError(f"the cache in {self._directory} is open in this process already; share it.") from None
            self._step_aside(_reason(error))

    def _goes_well(self, act: Callable[..., object], *arguments: object) -> bool:
        """Call `act`. What goes wrong with the disk or the index ends here."""
        try:
            act(*arguments)
            return True
        except (lmdb.Error, OSError) as error:
            reason = _reason(error)
            if isinstance(error, lmdb.Error) and self._is_damage(error) and self.index is not None:
                self._damage = (self.index, error)
                self._next_tick = 0.0
            self._no_space |= any(os.strerror(code) in reason for code in NO_SPACE)
            self._step_aside(reason)
        except Exception as error:  # a directory that others may write to now; or an error of ours, survived
            self._step_aside(_reason(error) if isinstance(error, ValueError) else repr(error))
        return False

    def _is_damage(self, error: lmdb.Error) -> bool:
        """Whether the database is to blame: LMDB says so, or what cannot be (a map that is full although there is room,
        more memory than there is) happens again and again."""
        impossible = [errno.EINVAL]
        if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY:
            impossible.append(errno.EFBIG)
        if isinstance(error, DAMAGE) or any(os.strerror(code) in str(error) for code in impossible):
            return True
        if not any(os.strerror(code) in str(error) for code in THE_DISK):
            self._times_odd += 1
        return self._times_odd >= TIMES_ODD

    def _step_aside(self, why: str) -> None:
        self.failures += 1
        self.aside_until = time.monotonic() + ASIDE_S
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAIN_S
            log.warning("nothing new is kept in the cache in %s for the moment: %s", self._directory, why)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

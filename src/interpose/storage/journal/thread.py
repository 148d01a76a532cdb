"""The one thread that writes the journal. Batches of records go into its queue, and nobody waits for a disk.

The queue is bounded by octets: a batch that does not fit is dropped and counted. Records that have come are written
together, every COMMIT_S or COMMIT_RECORDS. In between the thread does what needs no hurry: text is indexed when nothing
has come for a moment, or when much or old text waits; old records are removed in small steps; forgotten files are
looked for.

A disk that is full or broken costs the records that come meanwhile: they are dropped and counted, for ASIDE_S nothing
is tried, and a warning is written once a minute. It comes back by itself. A database that turns out to be damaged is
set aside, and the journal begins anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from interpose.core.journal import Summary
from interpose.core.record import Record, decode_records
from interpose.storage.journal.journal import JournalWriter, Totals
from interpose.storage.journal.place import is_damage
from interpose.storage.journal.redaction import Redaction

log = logging.getLogger("interpose")

QUEUE_BYTES: Final = 32 << 20
COMMIT_S: Final = 0.1
COMMIT_RECORDS: Final = 500
IDLE_S: Final = 0.2
INDEX_S: Final = 2.0
INDEX_RECORDS: Final = 1000
LATE_S: Final = 15.0
"""Text that has waited for so long is indexed even where much waits to be written: then a quarter of the time."""
MAX_LAG_S: Final = 30.0
"""What the manual promises. A text that waits for longer is counted."""
ASIDE_S: Final = 1.0
TEND_S: Final = 1.0
COMPLAIN_S: Final = 60.0
RETAIN_STEPS: Final = 20
BEHIND: Final = 5
"""By how much its priority is lower (its niceness higher): where all want a core, it gets a third of what they get."""
_MOST_COMMITS: Final = 4096

Result = TypeVar("Result")
Written = Callable[[list[Summary]], object]


class JournalThread:
    """Writes into the journal in `directory`. `on_written` is called on the thread, with what has just been written.

    Raises ValueError, one sentence, when the directory must not be used. One that cannot be used now is tried again.
    """

    def __init__(
        self,
        directory: str,
        *,
        redaction: Redaction | None = None,
        max_bytes: int = 0,
        max_age_s: float = 0.0,
        on_written: Written | None = None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.directory = directory
        self.written = self.dropped = self.failures = self.late = 0
        self.greatest_lag_s = self.index_cpu_s = 0.0
        self.totals = Totals(0, 0, 0, 0, 0)
        self._redaction = redaction or Redaction()
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._on_written = on_written
        self._queue_bytes = queue_bytes
        self._change = threading.Condition()
        self._batches: deque[bytes] = deque()
        self._calls: deque[tuple[Callable[[JournalWriter], Any], Future[Any]]] = deque()
        self._queued_bytes = 0
        self._is_closed = False
        # The thread's own from here on.
        self._commits: deque[tuple[int, float]] = deque()
        self._last_commit = self._next_tending = self._next_index = self._next_complaint = self._aside_until = 0.0
        self._writer: JournalWriter | None = None
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._stumble(error)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    # --- for everybody -----------------------------------------------------------------------------------------------

    def offer(self, batch: bytes) -> bool:
        """Take a batch, as `core.record.encode_records` makes them; False when there is no room, and it is dropped."""
        with self._change:
            if self._is_closed or self._queued_bytes + len(batch) > self._queue_bytes:
                self.dropped += count_of(batch)
                return False
            self._batches.append(batch)
            self._queued_bytes += len(batch)
            self._change.notify()
            return True

    def call(self, do: Callable[[JournalWriter], Result]) -> Future[Result]:
        """Do something on the thread, after what was offered before. The future raises what it raised, OSError when
        the journal cannot be used now."""
        future: Future[Result] = Future()
        with self._change:
            if self._is_closed:
                future.set_exception(OSError("the journal is closed"))
            else:
                self._calls.append((do, future))
                self._change.notify()
        return future

    def mark(self, id: int, mark: str) -> Future[bool]:
        """Give a record a mark; whether there is such a record."""
        return self.call(lambda writer: writer.mark(id, mark))

    def comment(self, id: int, comment: str) -> Future[bool]:
        """Give a record a comment; whether there is such a record."""
        return self.call(lambda writer: writer.comment(id, comment))

    @property
    def index_lag_s(self) -> float:
        """For how long the oldest record has waited whose text is not indexed."""
        with contextlib.suppress(IndexError):
            return max(0.0, time.monotonic() - self._commits[0][1])
        return 0.0

    def close(self) -> None:
        """Write what waits, then end. (Blocks.) What is not indexed is indexed at the next start."""
        with self._change:
            self._is_closed = True
            self._change.notify()
        self._thread.join()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        _step_behind()
        while True:
            batches, calls, is_last = self._next()
            if batches:
                self._write(batches)
            for do, future in calls:
                self._do(do, future)
            if is_last:
                break
            if not self._is_closed:
                self._tend(is_idle=not batches)
        if self._writer is not None:
            self._writer.close()

    def _next(self) -> tuple[list[bytes], list[tuple[Callable[[JournalWriter], Any], Future[Any]]], bool]:
        """What there is to write and to do, after a wait in which more may come; and whether that was the last."""
        with self._change:
            if not self._batches and not self._calls and not self._is_closed:
                self._change.wait(IDLE_S)
            due = self._last_commit + COMMIT_S
            while self._batches and not self._calls and not self._is_closed and (rest := due - time.monotonic()) > 0:
                if sum(map(count_of, self._batches)) >= COMMIT_RECORDS:
                    break
                self._change.wait(rest)
            batches: list[bytes] = []
            records = 0
            while self._batches and records < COMMIT_RECORDS:
                batch = self._batches.popleft()
                self._queued_bytes -= len(batch)
                records += count_of(batch)
                batches.append(batch)
            if self._batches:
                return batches, [], False
            calls = list(self._calls)
            self._calls.clear()
            return batches, calls, self._is_closed

    def _write(self, batches: list[bytes]) -> None:
        records: list[Record] = []
        for batch in batches:
            try:
                records += decode_records(batch)
            except ValueError as error:
                self.dropped += count_of(batch)
                self._complain(f"a batch of records cannot be read: {error}")
        self._last_commit = time.monotonic()
        if not records:
            return
        written: list[Summary] = []
        if time.monotonic() < self._aside_until or not self._goes_well(lambda: written.extend(self._add(records))):
            self.dropped += len(records)
            return
        self.written += len(written)
        if len(self._commits) < _MOST_COMMITS:
            self._commits.append((written[-1].id, self._last_commit))
        tell = self._on_written
        if tell is not None:
            self._goes_well(lambda: tell(written))

    def _add(self, records: list[Record]) -> list[Summary]:
        return self._opened().add(records)

    def _do(self, do: Callable[[JournalWriter], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(do(self._opened()))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._stumble(error)
            future.set_exception(OSError(f"the journal cannot be used now: {error}"))
        except Exception as error:
            future.set_exception(error)

    # --- what needs no hurry -----------------------------------------------------------------------------------------

    def _tend(self, is_idle: bool) -> None:
        now = time.monotonic()
        if now < self._aside_until:
            return
        if self._may_index(now, is_idle):
            self._goes_well(self._index)
            ended = time.monotonic()
            self._next_index = ended + 3 * (ended - now) if self._is_pressed else ended
        if now >= self._next_tending:
            self._next_tending = now + TEND_S
            self._goes_well(self._retain)

    def _may_index(self, now: float, is_idle: bool) -> bool:
        lag = self.index_lag_s
        if self._is_pressed:
            return lag >= LATE_S and now >= self._next_index
        return (is_idle and lag >= INDEX_S) or lag >= LATE_S or self._waiting >= INDEX_RECORDS

    @property
    def _is_pressed(self) -> bool:
        """Whether so much waits to be written that records might be dropped."""
        return self._queued_bytes > self._queue_bytes // 8

    @property
    def _waiting(self) -> int:
        """How many records are written and not indexed."""
        return self._commits[-1][0] - self.totals.indexed if self._commits else 0

    def _index(self) -> None:
        writer, begun = self._opened(), time.thread_time()
        lag = self.index_lag_s
        self.greatest_lag_s = max(self.greatest_lag_s, lag)
        self.late += lag > MAX_LAG_S
        writer.index_some(INDEX_RECORDS)
        self.index_cpu_s += time.thread_time() - begun
        self.totals = writer.totals
        while self._commits and self._commits[0][0] <= self.totals.indexed:
            self._commits.popleft()

    def _retain(self) -> None:
        writer = self._opened()
        for _ in range(RETAIN_STEPS):
            if not writer.retain(self._max_bytes, self._max_age_s):
                break
        writer.sweep()
        self.totals = writer.totals
        if self.totals.indexed < self.totals.newest and not self._commits:  # from the time before this start
            self._commits.append((self.totals.newest, time.monotonic()))

    # --- trouble -----------------------------------------------------------------------------------------------------

    def _opened(self) -> JournalWriter:
        if self._writer is None:
            try:
                self._open()
            except ValueError as error:  # since the start, something has happened to the directory
                raise OSError(str(error)) from None
        assert self._writer is not None
        return self._writer

    def _open(self) -> None:
        self._writer = JournalWriter(self.directory, self._redaction)

    def _goes_well(self, act: Callable[[], object]) -> bool:
        """Call `act`; once more when the database was damaged and there is a new one. What goes wrong with the disk or
        the database ends here; so does an error of ours, which costs what it was about and not the journal."""
        for _ in range(2):
            try:
                act()
                return True
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                if not self._stumble(error):
                    return False
            except Exception as error:
                self.failures += 1
                self._complain(repr(error))
                return False
        return False

    def _stumble(self, error: Exception) -> bool:
        """Something went wrong; whether it is worth trying again at once, on a new database."""
        self.failures += 1
        if is_damage(error) and self._writer is not None:
            try:
                self._writer.begin_anew(str(error))
                self._commits.clear()
                return True
            except (sqlite3.Error, OSError) as another:
                error = another
        self._aside_until = time.monotonic() + ASIDE_S
        self._complain(str(error))
        return False

    def _complain(self, why: str) -> None:
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAIN_S
            log.warning("nothing is written to the journal in %s for the moment: %s", self.directory, why)


def _step_behind() -> None:
    """Let this thread have less of a busy machine than who moves traffic. (Only Linux has this for single threads.)"""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + BEHIND))


def count_of(batch: bytes) -> int:
    """How many records are in a batch, by the head of its MessagePack array."""
    if not batch:
        return 0
    if batch[0] & 0xF0 == 0x90:
        return batch[0] & 0x0F
    size = {0xDC: 2, 0xDD: 4}.get(batch[0], 0)
    return int.from_bytes(batch[1 : 1 + size], "big")

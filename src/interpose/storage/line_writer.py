"""Lines to a file, a pipe or standard output, written so that traffic never waits for them.

The loop's side only collects: lines go to a list, and every FLUSH_S, or with BLOB_BYTES of them, the list becomes a
*blob* in a bounded queue. A thread of its own takes blobs and writes them. A disk that hangs, a pipe whose reader
sleeps, a named pipe that nobody has opened: each blocks that thread and nobody else. (Not O_NONBLOCK: on a standard
output it would change the terminal or pipe for every program that shares it.) When the queue is full the oldest blob
goes, and is counted.

The thread also looks, at most once a second and before it writes, whether the path still leads to the open file: after
a rotation it opens the new one. Every write ends at a line's end; pipes get at most PIPE_BYTES at once, which POSIX
writes in one piece, so that lines of several workers do not run into each other.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

log = logging.getLogger("interpose")

FLUSH_S = 0.2
BLOB_BYTES = 1 << 19
"""So much, because each blob costs far more than its octets: the thread needs the interpreter's lock a few times for
it, is woken whenever the loop lets go of the lock, and finds it taken again. With 64 KiB that was 3 µs for a line."""
PIPE_BYTES = 4096
CHECK_S = 1.0
COMPLAIN_S = 60.0
STANDARD_OUTPUT = 1
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Blob(NamedTuple):
    """Whole lines, and how many."""

    lines: int
    data: bytes


class LineWriter:
    """Writes lines to `target`: a path, or `-` for standard output.

    Raises ValueError, one sentence, when a file cannot be opened for writing. `dropped` counts lines that were lost.
    """

    def __init__(self, target: str, max_queued_bytes: int = 4 << 20) -> None:
        self.target = target
        self._max_queued_bytes = max_queued_bytes
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[Blob] = deque()
        self._queued_bytes = 0
        self._dropped = 0
        self._change = threading.Condition()
        self._writing_thread: threading.Thread | None = None
        self._is_closed = False
        self._is_reopening = False
        # The thread's own from here on.
        self._descriptor = -1 if target != "-" else STANDARD_OUTPUT
        self._is_pipe = is_pipe(self._descriptor)
        self._next_check = 0.0
        self._next_complaint = 0.0
        self._is_torn = False
        if target != "-" and not is_named_pipe(target):
            try:
                self._open()
            except OSError as error:
                raise ValueError(f"cannot write to {target!r}: {error.strerror}") from None

    @property
    def dropped(self) -> int:
        """Lines lost so far because the target was too slow, full or gone."""
        return self._dropped

    # --- the loop's side -------------------------------------------------------------------------------------------

    def write(self, line: bytes) -> None:
        """Take one line, with its line feed; it is written within FLUSH_S. Needs a running loop."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BLOB_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Hand what was collected to the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        blob = Blob(len(self._lines), b"".join(self._lines))
        self._lines = []
        self._size = 0
        with self._change:
            if self._is_closed:
                self._dropped += blob.lines
                return
            while self._queue and self._queued_bytes + len(blob.data) > self._max_queued_bytes:
                oldest = self._queue.popleft()
                self._queued_bytes -= len(oldest.data)
                self._dropped += oldest.lines
            self._queue.append(blob)
            self._queued_bytes += len(blob.data)
            self._change.notify()
        if self._writing_thread is None:
            self._writing_thread = threading.Thread(target=self._run, name=f"lines to {self.target}", daemon=True)
            self._writing_thread.start()

    def reopen(self) -> None:
        """Open the path anew before the next write (SIGUSR1, after a rotation)."""
        self._is_reopening = True

    def close(self, wait_s: float = 1.0) -> None:
        """Write what is left and end; after `wait_s` what still waits for its target is given up."""
        self.flush()
        with self._change:
            self._is_closed = True
            self._change.notify()
        if self._writing_thread is None:
            self._release()
        else:
            self._writing_thread.join(wait_s)

    @property
    def has_ended(self) -> bool:
        """Whether, after `close`, nothing waits for the target any more."""
        return self._writing_thread is None or not self._writing_thread.is_alive()

    # --- the thread's side -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (blob := self._next_blob()) is not None:
            left = blob.lines
            try:
                self._follow_path()
                for piece in pieces(blob.data, PIPE_BYTES if self._is_pipe else BLOB_BYTES):
                    self._write_whole(piece)
                    left -= piece.count(b"\n")
            except OSError as error:
                with self._change:
                    self._dropped += left
                self._recover(error)
        self._release()

    def _next_blob(self) -> Blob | None:
        """The oldest blob, when there is one; None at the end."""
        with self._change:
            while not self._queue and not self._is_closed:
                self._change.wait()
            if not self._queue:
                return None
            blob = self._queue.popleft()
            self._queued_bytes -= len(blob.data)
            return blob

    def _write_whole(self, data: bytes) -> None:
        rest = memoryview(b"\n" + data if self._is_torn else data)
        while rest:
            # In two steps: mypyc has the bound of a memoryview's slice evaluated twice, and all would be written twice.
            written = os.write(self._descriptor, rest)
            rest = rest[written:]
            self._is_torn = len(rest) > 0

    def _follow_path(self) -> None:
        """Make sure that the open file is the one the path leads to."""
        if self.target == "-":
            return
        now = time.monotonic()
        if self._is_reopening or self._descriptor < 0:
            self._is_reopening = False
            self._open()
        elif now >= self._next_check:
            self._next_check = now + CHECK_S
            opened = os.fstat(self._descriptor)
            try:
                there = os.stat(self.target)
            except FileNotFoundError:
                self._open()
            else:
                if (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino):
                    self._open()

    def _open(self) -> None:
        self._release()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        self._descriptor = os.open(self.target, flags, 0o640)
        self._is_pipe = is_pipe(self._descriptor)
        self._is_torn = False

    def _release(self) -> None:
        if self.target != "-" and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _recover(self, error: OSError) -> None:
        """Say once a minute that lines are lost; unless only space is lacking, open the path anew next time."""
        if error.errno not in NO_SPACE:
            self._release()
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_S
            log.warning("cannot write to %r: %s; %d lines lost so far", self.target, error.strerror, self._dropped)


def is_pipe(descriptor: int) -> bool:
    """Whether writes to it may run into those of other processes."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def is_named_pipe(path: str) -> bool:
    """Whether opening the path may wait, for a reader."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def pieces(data: bytes, most: int) -> Iterator[bytes]:
    """`data` in pieces of whole lines, each of at most `most` bytes unless one line is longer."""
    start = 0
    while len(data) - start > most:
        end = data.rfind(b"\n", start, start + most) + 1
        if end <= start:
            end = data.find(b"\n", start + most) + 1
            if end <= start:
                break
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]

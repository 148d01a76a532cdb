"""Notices that processes die inside of a library that reads a file we cannot vouch for.

A damaged database can kill whoever maps it (SIGBUS, SIGSEGV), and again after every restart. So each process has a file
of four octets, mapped into memory and locked for as long as it lives: one octet per thread says whether that thread is
inside the library, one counts *strikes*. Who starts and finds the file of a dead process that was inside inherits its
strikes and one more. MAX_STRIKES in a row mean that the file is to blame. A process killed by somebody else
is seldom inside, and hardly ever twice in a row; a cache that begins empty costs less than a worker that dies again.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

MAX_STRIKES = 2
_STRIKES = 2
_BYTES = 4


class CrashGuard:
    """This process's file in `directory`, which is made when it is not there. Raises OSError. Only one process may make
    one at a time."""

    __slots__ = ("_fd", "_map", "_path")

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, 0o700, exist_ok=True)
        strikes = _strikes_of_the_dead(directory)
        self._path = os.path.join(directory, secrets.token_hex(8))
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            os.write(self._fd, bytes(_BYTES))
            self._map = mmap.mmap(self._fd, _BYTES)
        except OSError:
            os.close(self._fd)
            os.unlink(self._path)
            raise
        self._map[_STRIKES] = min(strikes, MAX_STRIKES)

    @property
    def is_out(self) -> bool:
        """Whether the file that was read each time is to blame."""
        return self._map[_STRIKES] >= MAX_STRIKES

    def forgive(self) -> None:
        """Count from zero: that file is gone, or this process has lived with it for a while."""
        self._map[_STRIKES] = 0

    def enter(self, thread: int) -> None:
        """Thread 0 or 1 goes into the library."""
        self._map[thread] = 1

    def leave(self, thread: int) -> None:
        """It is back."""
        self._map[thread] = 0

    @contextmanager
    def inside(self, thread: int) -> Iterator[None]:
        """`enter`, and `leave` whatever happens."""
        self._map[thread] = 1
        try:
            yield
        finally:
            self._map[thread] = 0

    def close(self) -> None:
        """This process ends in peace."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._map.close()
        os.close(self._fd)


def _strikes_of_the_dead(directory: str) -> int:
    """The most strikes that a process left by dying inside. Their files go."""
    most = 0
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left = os.read(fd, _BYTES)
                if len(left) == _BYTES and any(left[:_STRIKES]):
                    most = max(most, left[_STRIKES] + 1)
                os.unlink(path)
            finally:
                os.close(fd)
    return most

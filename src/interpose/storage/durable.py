"""Files that are there after a power cut, or not there at all: written beside, synced, renamed, the directory synced.

Everything is relative to the descriptor of a directory, and no symbolic link is ever followed: what stands in a
directory that others may write to must not lead out of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(directory: int, name: str, data: bytes, *, sync: bool = True) -> None:
    """Make `name` hold `data`: after a crash it holds that or what it held before. Raises OSError, changing nothing.

    Without `sync` that is true of a killed process only, not of a power cut.
    """
    beside = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=directory)
    fd = os.open(beside, CREATE, 0o600, dir_fd=directory)
    try:
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=directory)
        raise
    if sync:
        os.fsync(directory)


def open_plain(directory: int, name: str) -> int:
    """A descriptor for reading a regular file. Raises OSError, for links, pipes and directories too."""
    fd = os.open(name, OPEN, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a plain file", name)
    return fd


def read_small(directory: int, name: str, limit: int) -> bytes:
    """The content of a file, at most `limit` octets of it. Raises OSError."""
    fd = open_plain(directory, name)
    try:
        data = b""
        while len(data) < limit and (more := os.read(fd, limit - len(data))):
            data += more
        return data
    finally:
        os.close(fd)


def lock(fd: int) -> bool:
    """Take a file or directory for oneself until its descriptor is closed, by whatever; False when somebody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_tree(directory: int, name: str) -> None:
    """Remove a directory of plain files, as far as it is there. Raises OSError."""
    try:
        inner = os.open(name, DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        for entry in os.listdir(inner):
            os.unlink(entry, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)

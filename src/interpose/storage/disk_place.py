"""The directory of a disk store: whether it may be used, and opening the index in it whatever has become of that.

    lock    guard/    index-TIME/{data.mdb,lock.mdb}    index-TIME.corrupt-TIME/    objects/    incoming/

The current index is the last by name. One that cannot be read is renamed, and the next one begins empty; processes that
still have the old one open see that its path is gone, and follow. Each index has a path of its own, since LMDB opens a
path once in a process. Of those set aside the last one is kept, for whoever wants to know.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from interpose.storage.crash_guard import CrashGuard
from interpose.storage.disk_index import Index

log = logging.getLogger("interpose")

LOCK_WAIT_S = 2.0
_INDEX, _CORRUPT = "index-", ".corrupt-"
_MAGIC = struct.pack("=II", 0xBEEFC0DE, 1)
_PAGE_BYTES = 4096
# From the begin of a meta page: where its magic and version are, the page size, the number of the last page.
_META, _META_PAGE_SIZE, _META_LAST_PAGE = 16, 40, 136
_MAY_BE_SHORT_BYTES = 1 << 20

DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.PanicError,
    lmdb.CursorFullError,
    lmdb.PageFullError,
    lmdb.BadValsizeError,
    lmdb.NotFoundError,
    lmdb.BadTxnError,
)
"""What LMDB raises when the file is not what it was."""


class Damaged(Exception):
    """The database file is not one, or not all of one."""


def prepare(directory: str) -> None:
    """Make the directory, or see that it is ours alone. ValueError, one sentence, when it must not be used; OSError
    when the file system does not let us."""
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{directory} is not a directory; name one for the cache.") from error
    status = os.stat(directory)
    if status.st_uid != os.geteuid():
        raise ValueError(f"{directory} belongs to another user (id {status.st_uid}); name a directory of your own.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{directory} may be written to by other users; run `chmod go-w {directory}`.")


def enter(directory: str, max_bytes: int) -> tuple[CrashGuard, Index]:
    """What a process needs of the store in `directory`. Raises OSError, or lmdb.Error when even a new index fails."""
    with _locked(directory):
        guard = CrashGuard(os.path.join(directory, "guard"))
        try:
            if guard.is_out:
                for path in _indexes(directory):
                    _set_aside(path, "processes that read it died")
                guard.forgive()
            return guard, _open(directory, max_bytes, guard)
        except BaseException:
            guard.close()
            raise


def reopen(directory: str, max_bytes: int, guard: CrashGuard, damaged: str | None, why: str) -> Index:
    """The index that is current now. `damaged` is the path of one that turned out to be; it is set aside unless
    somebody else did so. Raises as `enter` does."""
    with _locked(directory):
        if damaged is not None and os.path.exists(damaged):
            _set_aside(damaged, why)
        return _open(directory, max_bytes, guard)


def _open(directory: str, max_bytes: int, guard: CrashGuard) -> Index:
    for path in reversed(_indexes(directory)):
        try:
            for name in ("data.mdb", "lock.mdb"):
                if os.path.isdir(os.path.join(path, name)):
                    raise Damaged(f"{name} is a directory")
            _check(os.path.join(path, "data.mdb"))
            return Index(path, max_bytes, guard)
        except (*DAMAGE, Damaged) as error:
            _set_aside(path, str(error))
    path = os.path.join(directory, f"{_INDEX}{time.time_ns():020d}")
    os.mkdir(path, 0o700)
    try:
        return Index(path, max_bytes, guard)
    except (lmdb.Error, OSError):
        shutil.rmtree(path, ignore_errors=True)
        raise


def _check(path: str) -> None:
    """See that the file has all the pages that it says it has. A page behind its end, read through the map, would be
    the end of the process. Raises `Damaged`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            raise Damaged("it is empty")
        needed = max(_length_of(os.pread(fd, 256, 0)), _length_of(os.pread(fd, 256, _page_size(fd))))
        if size + _MAY_BE_SHORT_BYTES < needed:
            raise Damaged(f"it has {size} bytes of {needed}")
        if size < needed:
            os.posix_fallocate(fd, 0, needed)  # pages of zeros are an error to LMDB, and no more
    finally:
        os.close(fd)


def _page_size(fd: int) -> int:
    size: int = struct.unpack_from("=I", os.pread(fd, 256, 0).ljust(256, b"\0"), _META_PAGE_SIZE)[0]
    return size if size in (4096, 8192, 16384, 32768, 65536) else _PAGE_BYTES


def _length_of(meta: bytes) -> int:
    """How long the file is that this meta page belongs to."""
    if len(meta) < 256 or meta[_META : _META + 8] != _MAGIC:
        raise Damaged("its first pages are not those of an index")
    page_size: int = struct.unpack_from("=I", meta, _META_PAGE_SIZE)[0]
    last: int = struct.unpack_from("=Q", meta, _META_LAST_PAGE)[0]
    return (last + 1) * page_size


def _indexes(directory: str) -> list[str]:
    """The paths of the indexes in use, the current one last."""
    names = [name for name in os.listdir(directory) if name.startswith(_INDEX) and _CORRUPT not in name]
    return [os.path.join(directory, name) for name in sorted(names)]


def _set_aside(path: str, why: str) -> None:
    """Rename an index that cannot be read, and remove those that were renamed before."""
    directory = os.path.dirname(path)
    for name in os.listdir(directory):
        if _CORRUPT in name:
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
    aside = f"{path}{_CORRUPT}{int(time.time())}"
    os.rename(path, aside)
    log.warning("the index of the cache cannot be read (%s); it is now %s, and the cache begins empty", why, aside)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Alone among the processes that open, set aside or make an index here. OSError when that takes too long."""
    prepare(directory)
    fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, "another process is opening the cache and does not come to an end")
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)

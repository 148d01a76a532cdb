"""The files of a web site: what a path means below a directory, and nothing outside of it.

A path is taken apart before it is decoded, and each name is opened by itself, from the descriptor of the directory
before it, following no link. So there is no spelling of `..`, no link and no exchange of a directory for a link, at
whatever moment, that leads out of the root (THREATS A38). The root itself may be a link, to be turned to a new release.

Everything here blocks, since the disk does, and is called in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

MOST_SMALL_BYTES = 64 * 1024
"""Content that is read when it is looked for; the rest is read as it is sent."""

MOST_LISTED = 10_000
SETTLED_S = 2.0
"""What was changed later than so many seconds ago may change again within a tick of the file system's clock."""

ENDINGS = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
PUBLIC_HIDDEN = b".well-known"

_WAY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MISSING = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO, errno.EINVAL)
)


class Seen(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Version(NamedTuple):
    """A file as it was seen, for one content coding ("" for none).

    `content` is there when it is small. `is_settled`: it was not being changed just then.
    """

    coding: str
    seen: Seen
    content: bytes | None
    is_settled: bool


class File(NamedTuple):
    """A file that was found: `path` is the one that found it, `versions` begin with the plain one."""

    path: str
    versions: tuple[Version, ...]


class Directory(NamedTuple):
    """A directory that was asked for without the slash at its end."""

    path: str


class Listing(NamedTuple):
    """What is in a directory: names as in a path, each with its size in octets, None for directories."""

    path: str
    entries: tuple[tuple[bytes, int | None], ...]


class OpenFile:
    """A file for as long as somebody holds on to this."""

    __slots__ = ("fd", "seen")

    def __init__(self, fd: int, seen: Seen) -> None:
        self.fd = fd
        self.seen = seen

    def __del__(self) -> None:
        os.close(self.fd)

    def read(self, place: int, limit: int) -> bytes:
        """Up to `limit` octets at `place`. Raises OSError."""
        return os.pread(self.fd, limit, place)


class Site:
    """The files below `root`. `codings` are those whose files may lie beside the plain ones."""

    def __init__(self, root: str, *, index: Sequence[str], codings: Sequence[str], hidden: bool, listing: bool) -> None:
        self._root = root
        self._index = [os.fsencode(name) for name in index]
        self._codings = [(coding, ENDINGS[coding]) for coding in codings]
        self._hidden = hidden
        self._listing = listing

    def look(self, paths: Sequence[str], known: File | None = None) -> File | Directory | Listing | None:
        """What the first of `paths` means that means anything. Contents of `known` that did not change are not read
        again. Raises OSError for what is there and cannot be read."""
        for path in paths:
            names = names_of(path, hidden=self._hidden)
            if names is None:
                continue
            with contextlib.suppress(_Missing), _missing():
                return self._found(path, names, known)
        return None

    def open(self, path: str, coding: str) -> OpenFile | None:
        """The file that `look` found under `path`, for reading; None when it is no longer there. Raises OSError."""
        names = names_of(path, hidden=self._hidden)
        if not names:
            return None
        with contextlib.suppress(_Missing), _missing(), self._way(names[:-1]) as directory:
            return _opened(directory, names[-1] + ENDINGS.get(coding, b""))
        return None

    def _found(self, path: str, names: list[bytes], known: File | None) -> File | Directory | Listing:
        with self._way(names[:-1]) as directory:
            if names[-1]:
                if stat.S_ISDIR(os.stat(names[-1], dir_fd=directory, follow_symlinks=False).st_mode):
                    if self._listing or self._index_of(directory, names[-1]) is not None:
                        return Directory(path)
                    raise _Missing
                return self._file(path, directory, names[-1], known)
            for name in self._index:
                with contextlib.suppress(_Missing), _missing():
                    return self._file(path + quote(name), directory, name, known)
            if self._listing:
                return Listing(path, tuple(self._entries(directory)))
        raise _Missing

    def _index_of(self, directory: int, name: bytes) -> bytes | None:
        """The index of the directory called `name`, when it has one."""
        with _opened_directory(name, directory) as inner:
            for index in self._index:
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(os.stat(index, dir_fd=inner, follow_symlinks=False).st_mode):
                        return index
        return None

    def _file(self, path: str, directory: int, name: bytes, known: File | None) -> File:
        before = {version.coding: version for version in known.versions} if known and known.path == path else {}
        plain = _version(directory, name, "", before.get(""))
        versions = [plain]
        for coding, ending in self._codings:
            with contextlib.suppress(OSError):
                version = _version(directory, name + ending, coding, before.get(coding))
                if version.seen.mtime_ns >= plain.seen.mtime_ns:  # else it was made of what is no longer there
                    versions.append(version)
        return File(path, tuple(versions))

    def _entries(self, directory: int) -> Iterator[tuple[bytes, int | None]]:
        with _opened_directory(b".", directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as readable:
            names = sorted(os.fsencode(name) for name in os.listdir(readable))
            for name in names[:MOST_LISTED]:
                if name.startswith(b".") and not self._hidden:
                    continue
                with contextlib.suppress(OSError):
                    status = os.stat(name, dir_fd=readable, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        yield name + b"/", None
                    elif stat.S_ISREG(status.st_mode):
                        yield name, status.st_size

    @contextmanager
    def _way(self, names: Sequence[bytes]) -> Iterator[int]:
        """The descriptor of the directory that these names lead to, one after the other."""
        directory = os.open(self._root, _WAY)
        try:
            for name in names:
                inner = os.open(name, _WAY | os.O_NOFOLLOW, dir_fd=directory)
                os.close(directory)
                directory = inner
            yield directory
        finally:
            os.close(directory)


class _Missing(Exception):
    """There is no such file."""


@contextmanager
def _missing() -> Iterator[None]:
    """Errors that mean that there is nothing become `_Missing`."""
    try:
        yield
    except OSError as error:
        if error.errno in _MISSING:
            raise _Missing from None
        raise


def names_of(path: str, *, hidden: bool) -> list[bytes] | None:
    """The names that lead to a file, from a path of a URL; the last one is empty for a directory. None when it cannot
    be a file's, or when one of them is hidden and hidden ones are not to be had."""
    names = [unquote_to_bytes(segment) for segment in path.split("/")[1:]]
    for place, name in enumerate(names):
        if name in (b".", b"..") or b"/" in name or b"\0" in name or (not name and place + 1 < len(names)):
            return None
        if name.startswith(b".") and not hidden and not (place == 0 and name == PUBLIC_HIDDEN):
            return None
    return names or None


@contextmanager
def _opened_directory(name: bytes, parent: int, flags: int = _WAY) -> Iterator[int]:
    directory = os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield directory
    finally:
        os.close(directory)


def _opened(directory: int, name: bytes) -> OpenFile:
    fd = os.open(name, _OPEN, dir_fd=directory)
    status = os.fstat(fd)
    opened = OpenFile(fd, Seen(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    if not stat.S_ISREG(status.st_mode):
        raise _Missing
    return opened


def _version(directory: int, name: bytes, coding: str, known: Version | None) -> Version:
    opened = _opened(directory, name)
    seen = opened.seen
    if known is not None and known.seen == seen and known.is_settled:
        return known
    changed_ns = max(seen.mtime_ns, seen.ctime_ns)
    is_settled = time.time_ns() - changed_ns >= SETTLED_S * 1e9
    content = None
    if seen.size <= MOST_SMALL_BYTES:
        content = b""
        while len(content) < seen.size and (more := opened.read(len(content), seen.size - len(content))):
            content += more
        if len(content) != seen.size:
            raise _Missing  # it is being made shorter at this moment
    return Version(coding, seen, content, is_settled)

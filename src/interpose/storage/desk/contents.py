"""Contents of held messages that are too long for the database, in files of their own.

Names are made of a hold's id and a version, never of anything a message says. A file is opened by its name below a
directory that is ours, new ones only where nothing is, and no symbolic link is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator

from interpose.core.hold import Content
from interpose.storage.durable import write_all

PIECE_BYTES = 262144
LEFT_BEHIND_S = 86400.0

HOLD_ID = re.compile(r"[a-z2-7]{8,10}")
_FILE = re.compile(r"([a-z2-7]{8,10})\.[0-9]{1,9}")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Damaged(Exception):
    """What is stored is not what it was. The text is a sentence."""


class IncomingFile:
    """(in a worker) The content of a message that is about to be held: `write`, then `finish` or `discard`.

    Every call may wait for the disk, and raises OSError.
    """

    __slots__ = ("_fd", "_path", "_sha256", "size")

    def __init__(self, directory: str, hold_id: str) -> None:
        if HOLD_ID.fullmatch(hold_id) is None:
            raise ValueError(f"no id of a hold: {hold_id!r}")
        self._path = os.path.join(directory, "incoming", hold_id)
        self._fd = os.open(self._path, _CREATE, 0o600)
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take more of the content."""
        write_all(self._fd, data)
        self._sha256.update(data)
        self.size += len(data)

    def finish(self) -> Content:
        """The content, whole and on the disk, for `Held.message`."""
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        sync_directory(os.path.dirname(self._path))
        return Content(self.size, self._sha256.digest(), b"", self._path)

    def discard(self) -> None:
        """Close and remove the file, unless the desk has it already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


class Contents:
    """The files below `directory`. Raises OSError, and `Damaged` for a file that is not what was stored."""

    __slots__ = ("_directory", "_incoming")

    def __init__(self, directory: str) -> None:
        self._directory = os.path.join(directory, "contents")
        self._incoming = os.path.join(directory, "incoming")

    def path(self, name: str) -> str:
        """Where the file `name` is."""
        return os.path.join(self._directory, name)

    def adopt(self, hold_id: str, content: Content) -> str:
        """Take over what a worker has written and synced; the name it has now. ValueError when it is not that."""
        if content.file != os.path.join(self._incoming, hold_id):
            raise ValueError(f"the content of hold {hold_id} is not where it should be: {content.file!r}")
        with self._opened(content.file) as fd:
            if os.fstat(fd).st_size != content.size:
                raise ValueError(f"the content of hold {hold_id} has another size than was said")
            os.fchmod(fd, 0o600)
        name = f"{hold_id}.1"
        os.rename(content.file, self.path(name))
        self._sync(name)
        return name

    def write(self, hold_id: str, version: int, data: bytes) -> str:
        """Store content that was edited; the name it has."""
        name = f"{hold_id}.{version}"
        unfinished = os.path.join(self._incoming, f"{name}.part")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        fd = os.open(unfinished, _CREATE, 0o600)
        try:
            try:
                write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(unfinished, self.path(name))
        except OSError:
            os.unlink(unfinished)
            raise
        self._sync(name)
        return name

    def pieces(self, content: Content, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """The octets of `content`, wherever they are. What ends too early or late raises Damaged."""
        if not content.file:
            if len(content.data) != content.size:
                raise Damaged("The content that is stored has another length than was stored.")
            yield from (content.data[at : at + piece_bytes] for at in range(0, content.size, piece_bytes))
            return
        left = content.size
        with self._opened(content.file) as fd:
            while piece := os.read(fd, piece_bytes):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        if left != 0:
            raise Damaged(f"The file {content.file} has another length than was stored.")

    def verify(self, content: Content) -> None:
        """See that every octet is what it was when its SHA-256 was taken."""
        digest = hashlib.sha256()
        for piece in self.pieces(content):
            digest.update(piece)
        if digest.digest() != content.sha256:
            raise Damaged("The content that is stored is not the one that was stored: its SHA-256 differs.")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those that are there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))

    def sweep(self, is_known: Callable[[str], bool]) -> int:
        """Remove contents that no hold names, and what workers left unfinished for a day; how many."""
        before = time.time() - LEFT_BEHIND_S
        removed = 0
        with os.scandir(self._directory) as files:
            unknown = [file.path for file in files if _FILE.fullmatch(file.name) and not is_known(file.name)]
        with os.scandir(self._incoming) as files:
            unknown += [file.path for file in files if file.stat(follow_symlinks=False).st_mtime < before]
        for path in unknown:
            with contextlib.suppress(OSError):
                os.unlink(path)
                removed += 1
        return removed

    def _sync(self, name: str) -> None:
        """Make a new name last, or take it away again."""
        try:
            sync_directory(self._directory)
            sync_directory(self._incoming)
        except OSError:
            self.remove([name])
            raise

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        try:
            fd = os.open(path, _OPEN)
        except OSError as error:
            raise Damaged(f"The content in {path} cannot be read: {error.strerror}.") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Damaged(f"{path} is not a file.")
            yield fd
        finally:
            os.close(fd)


def sync_directory(path: str) -> None:
    """Make names last that were given or taken away in a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

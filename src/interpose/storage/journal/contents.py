"""Contents too large for a row, each in a file named by its SHA-256, however many records have it.

    contents/XX/DIGEST       octets       (written beside it and renamed, so that a name always means all of them)

Nothing is synced: what a power cut damages does not have the digest of its name any more, and is taken for gone. How
many records share a file stands in the database; a file that nobody counts is found by `sweep`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable

INLINE_BYTES = 8192
"""Content up to this stays in its record's row."""

DIGEST_BYTES = 32
_ORPHAN_S = 3600.0
_SHARDS = 256
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Contents:
    """The files below `directory`."""

    __slots__ = ("_directory", "_shard")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._shard = 0

    def put(self, data: bytes) -> bytes:
        """Its digest, once it is in a file. Raises OSError; nothing is left then."""
        digest = hashlib.sha256(data).digest()
        path = self._path(digest)
        if _has_size(path, len(data)):
            return digest
        draft = f"{path}.{os.getpid()}"
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            _write(draft, data)
            os.rename(draft, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        return digest

    def get(self, digest: bytes) -> bytes | None:
        """The octets with this digest; None when they are gone or are not what they were."""
        try:
            fd = os.open(self._path(digest), _OPEN)
            with open(fd, "rb") as file:
                data = file.read()
        except OSError:
            return None
        return data if hashlib.sha256(data).digest() == digest else None

    def remove(self, digest: bytes) -> None:
        """Remove a file. Who has it open reads on."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(digest))

    def sweep(self, is_known: Callable[[bytes], bool]) -> int:
        """Remove what nobody knows and nobody wrote in the last hour, in one of the 256 directories; how many files.
        Each call goes on where the last one ended."""
        shard = os.path.join(self._directory, f"{self._shard:02x}")
        self._shard = (self._shard + 1) % _SHARDS
        before = time.time() - _ORPHAN_S
        removed = 0
        with contextlib.suppress(OSError), os.scandir(shard) as files:
            for file in files:
                with contextlib.suppress(OSError):
                    if not _is_known(file.name, is_known) and file.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(file.path)
                        removed += 1
        return removed

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return os.path.join(self._directory, name[:2], name)


def _is_known(name: str, is_known: Callable[[bytes], bool]) -> bool:
    try:
        return is_known(bytes.fromhex(name))
    except ValueError:
        return False


def _has_size(path: str, size: int) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_size == size
    except OSError:
        return False


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, _CREATE, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)

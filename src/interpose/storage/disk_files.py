"""Contents too large for the index, each in a file of its own, checked piece by piece before anybody gets an octet.

    incoming/IDENT       being written                 objects/XX/IDENT      whole; the index knows it, or soon will

A file is the content and, when that is longer than one piece, the SHA-256 of each piece behind it; the index has the
SHA-256 of these, or of the only piece. So a range is checked as well as a whole. A piece that was right is not hashed
again in this process while the file's change time stays what it was.

A file is moved to its name before the index takes it in, and removed after the index has let go of it. Who is killed in
between leaves a file that nobody knows; `sweep` finds it an hour later. Nothing is synced: what a power cut
damages is found by its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable

from interpose.core.body import Body
from interpose.core.failure import Failure, Side
from interpose.storage.reading import PIECE_BYTES, body_of

DIGEST_BYTES = 32
ORPHAN_S = 3600.0
_SETTLED_NS = 2_000_000_000
_MAX_CHECKED = 4096
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int, int]


class ObjectFiles:
    """The files below `directory`."""

    __slots__ = ("_checked", "_incoming", "_objects", "_shard")

    def __init__(self, directory: str) -> None:
        self._incoming = os.path.join(directory, "incoming")
        self._objects = os.path.join(directory, "objects")
        self._shard = 0
        self._checked: dict[bytes, tuple[Identity, bytearray]] = {}

    def begin(self, ident: bytes) -> int:
        """A new empty file, open for writing. Raises OSError."""
        path = self._incoming_path(ident)
        try:
            return os.open(path, _CREATE, 0o600)
        except FileNotFoundError:
            _make(self._incoming)
            return os.open(path, _CREATE, 0o600)

    def discard(self, ident: bytes) -> None:
        """Remove a file that was begun."""
        with contextlib.suppress(OSError):
            os.unlink(self._incoming_path(ident))

    def publish(self, ident: bytes) -> None:
        """Give a file that was begun its name. Raises OSError."""
        path = self._path(ident)
        try:
            os.rename(self._incoming_path(ident), path)
        except FileNotFoundError:
            _make(self._objects)
            _make(os.path.dirname(path))
            os.rename(self._incoming_path(ident), path)

    def remove(self, ident: bytes) -> None:
        """Remove a file that was published. Who has it open reads on."""
        self._checked.pop(ident, None)
        with contextlib.suppress(OSError):
            os.unlink(self._path(ident))

    def open(self, ident: bytes, size: int) -> tuple[int, Identity]:
        """The descriptor of a file that was published, and which state of which file it is. Raises OSError when it is
        not there, ValueError when it has another size."""
        fd = os.open(self._path(ident), _OPEN)
        status = os.fstat(fd)
        if status.st_size != size:
            os.close(fd)
            raise ValueError("a stored file has another size")
        return fd, (status.st_ino, status.st_ctime_ns, status.st_mtime_ns)

    def checked(self, ident: bytes, identity: Identity, pieces: int) -> bytearray:
        """A flag for each piece that was right. To be kept only when the file has not changed just now: a change within
        one tick of the file system's clock would not show."""
        known = self._checked.get(ident)
        if known is not None and known[0] == identity:
            return known[1]
        flags = bytearray(pieces)
        if time.time_ns() - identity[1] > _SETTLED_NS:
            if len(self._checked) >= _MAX_CHECKED:
                self._checked.clear()
            self._checked[ident] = (identity, flags)
        return flags

    def sweep(self, is_known: Callable[[bytes], bool], limit: int = 512) -> int:
        """Remove what nobody knows and nobody touched for an hour, in one of the 256 directories of `objects` and among
        the incoming; the number of files removed. Each call goes on where the last one ended."""
        before = time.time() - ORPHAN_S
        removed = _sweep(self._incoming, before, lambda ident: False, limit)
        removed += _sweep(os.path.join(self._objects, f"{self._shard:02x}"), before, is_known, limit)
        self._shard = (self._shard + 1) % 256
        return removed

    def _incoming_path(self, ident: bytes) -> str:
        return os.path.join(self._incoming, ident.hex())

    def _path(self, ident: bytes) -> str:
        name = ident.hex()
        return os.path.join(self._objects, name[:2], name)


def _make(directory: str) -> None:
    """See that a directory is there. (os.makedirs gives its mode to the last one only.)"""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)


def _sweep(directory: str, before: float, is_known: Callable[[bytes], bool], limit: int) -> int:
    removed = 0
    with contextlib.suppress(OSError), os.scandir(directory) as files:
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                if not is_known(bytes.fromhex(file.name)) and file.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(file.path)
                    removed += 1
            if removed >= limit:
                break
    return removed


class Incoming:
    """(on the writing thread) The file of one response as it comes."""

    __slots__ = ("_fd", "_files", "_piece", "_piece_length", "_pieces", "failed", "ident", "length")

    def __init__(self, files: ObjectFiles, ident: bytes) -> None:
        self._files = files
        self._fd = -1
        self._piece = hashlib.sha256()
        self._piece_length = 0
        self._pieces: list[bytes] = []
        self.ident = ident
        self.length = 0
        self.failed = False
        """Whether it was given up. (The loop looks at this.)"""

    def append(self, data: bytes, sha256: bytes = b"") -> None:
        """The next octets. Raises OSError; nothing is left of the file then. `sha256` is theirs when they are all and
        it is known: to hash them again costs as much as to write them."""
        if self.failed:
            return
        try:
            if self._fd < 0:
                self._fd = self._files.begin(self.ident)
            self._write(data)
        except OSError:
            self.discard()
            raise
        if len(sha256) == DIGEST_BYTES and self.length == len(data) <= PIECE_BYTES:
            self._pieces.append(sha256)
            return
        view = memoryview(data)
        while view:
            part = view[: PIECE_BYTES - self._piece_length]
            self._piece.update(part)
            self._piece_length += len(part)
            view = view[len(part) :]
            if self._piece_length == PIECE_BYTES:
                self._end_piece()

    def finish(self) -> tuple[int, bytes]:
        """The file is complete and has its name: its size, and what is to be its digest. Raises OSError."""
        try:
            if self._piece_length or not self._pieces:
                self._end_piece()
            pieces = b"".join(self._pieces)
            if len(self._pieces) > 1:
                self._write(pieces)
                pieces = hashlib.sha256(pieces).digest()
            self._close()
            self._files.publish(self.ident)
        except OSError:
            self.discard()
            raise
        return self.length, pieces

    def discard(self) -> None:
        """Leave nothing of it."""
        self.failed = True
        if self._fd >= 0:
            self._close()
            self._files.discard(self.ident)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self.length += written
            view = view[written:]

    def _end_piece(self) -> None:
        self._pieces.append(self._piece.digest())
        self._piece = hashlib.sha256()
        self._piece_length = 0

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


class StoredFile:
    """The content of one entry, in an open file that is closed when nobody refers to this any more. `on_damage` is
    called when it turns out to be wrong."""

    __slots__ = ("_digest", "_fd", "_flags", "_on_damage", "_pieces", "length")

    def __init__(self, fd: int, length: int, digest: bytes, flags: bytearray, on_damage: Callable[[], None]) -> None:
        self.length = length
        self._fd = fd
        self._digest = digest
        self._flags = flags
        self._on_damage = on_damage
        self._pieces: bytes | None = None if len(flags) > 1 else digest

    def body(self, first: int, last: int) -> Body:
        """See `store.Content`."""
        return body_of(self._read, first, last)

    def _read(self, place: int, limit: int) -> bytes:
        number, offset = divmod(place, PIECE_BYTES)
        if self._flags[number]:
            return os.pread(self._fd, min(limit, self.length - place), place)
        start = number * PIECE_BYTES
        piece = os.pread(self._fd, min(PIECE_BYTES, self.length - start), start)
        if hashlib.sha256(piece).digest() != self._piece_digest(number):
            self._on_damage()
            raise _damaged()
        self._flags[number] = 1
        return piece[offset : offset + limit] if offset or limit < len(piece) else piece

    def _piece_digest(self, number: int) -> bytes:
        """What the piece's digest has to be."""
        if self._pieces is None:
            pieces = os.pread(self._fd, len(self._flags) * DIGEST_BYTES, self.length)
            if hashlib.sha256(pieces).digest() != self._digest:
                self._on_damage()
                raise _damaged()
            self._pieces = pieces
        return self._pieces[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]

    def __del__(self) -> None:
        os.close(self._fd)


def pieces_in(length: int) -> int:
    """How many pieces a content has."""
    return max(1, -(-length // PIECE_BYTES))


def file_size(length: int) -> int:
    """How long the file of a content of `length` octets is."""
    pieces = pieces_in(length)
    return length + (pieces * DIGEST_BYTES if pieces > 1 else 0)


def _damaged() -> Failure:
    return Failure("proxy_internal_error", Side.INTERNAL, "Stored content is not what was stored; it is removed.")

"""A file on its way into the spool.

It is written into `.incoming/ID/`, which nobody lists. When it is whole, content and manifest are synced and the
directory is renamed to `ID/` at once; a rename onto a directory that is there fails, so that of two uploads with one
id, in whatever process, one is stored. Who writes holds a lock on the content: it goes when its holder dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os

import msgspec

from interpose.storage.durable import DIRECTORY, lock, remove_tree, replace_file, write_all
from interpose.storage.spool_item import Busy, Item, SpoolError, State, decode_item, encode_item

INCOMING = ".incoming"
CONTENT = "content"
MANIFEST = "item.json"
HASHED_BYTES = 1 << 20
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Damaged(SpoolError):
    """What came whole is not what was announced; it was thrown away."""


class Upload:
    """A file being received; made by `Spool.begin`. Whoever began it ends it: `finish`, `keep` or `discard`.

    `offset` is how much there was already. All methods raise OSError, and then nothing is kept.
    """

    def __init__(self, root: int, item: Item) -> None:
        """`root` is the spool's directory; its descriptor is the upload's from now on."""
        self._root = root
        self.item = item
        self.offset = 0
        self.size = 0
        self._hash = hashlib.sha256()
        self._incoming = self._directory = self._content = -1
        self._is_mine = False
        try:
            self._open()
        except OSError:
            self.discard()
            raise
        except BaseException:
            self._close()
            raise

    def _open(self) -> None:
        """Take the directory of this id, and go on where somebody has stopped."""
        self._incoming = os.open(INCOMING, DIRECTORY, dir_fd=self._root)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.item.id, 0o700, dir_fd=self._incoming)
        self._directory = os.open(self.item.id, DIRECTORY, dir_fd=self._incoming)
        self._content = os.open(CONTENT, _WRITE, 0o600, dir_fd=self._directory)
        if not lock(self._content):
            raise Busy(f"{self.item.id} is being received on another connection.")
        self._is_mine = True
        earlier = self._earlier()
        if earlier is not None and (earlier.size, earlier.sha256) == (self.item.size, self.item.sha256):
            while self.offset < self.item.size:
                data = os.read(self._content, min(HASHED_BYTES, self.item.size - self.offset))
                if not data:
                    break
                self._hash.update(data)
                self.offset += len(data)
        os.ftruncate(self._content, self.offset)
        os.lseek(self._content, self.offset, os.SEEK_SET)
        self.size = self.offset
        replace_file(self._directory, MANIFEST, encode_item(self.item), sync=False)

    def _earlier(self) -> Item | None:
        try:
            fd = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
            with open(fd, "rb") as file:
                return decode_item(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def write(self, data: bytes) -> None:
        """Append."""
        try:
            write_all(self._content, data)
        except OSError:
            self.discard()
            raise
        self._hash.update(data)
        self.size += len(data)

    def finish(self, state: State, now: float, *, why: str = "", due_at: float = 0.0) -> Item:
        """Store it: when this returns it is on the disk. `Damaged` when it is not what was announced.

        When it was stored meanwhile under the same id, what is here is thrown away and the other one returned.
        """
        digest = self._hash.hexdigest()
        announced = self.item.sha256
        if announced and (announced, self.item.size) != (digest, self.size):
            self.discard()
            raise Damaged(
                f"{self.size} bytes came with the SHA-256 {digest}, announced were {self.item.size} with {announced}."
            )
        named = msgspec.structs.replace(self.item, size=self.size, sha256=digest, received_at=now, due_at=due_at)
        item = named.step(state, now, why)
        try:
            os.fsync(self._content)
            replace_file(self._directory, MANIFEST, encode_item(item))
            try:
                os.rename(item.id, item.id, src_dir_fd=self._incoming, dst_dir_fd=self._root)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                item = stored_item(self._root, item.id)
                self.discard()
                return item
            os.fsync(self._root)
        except OSError:
            self.discard()
            raise
        self._close()
        return item

    def keep(self) -> None:
        """Leave what has come, so that it can be gone on with."""
        self._close()

    def discard(self) -> None:
        """Throw away what has come."""
        if self._is_mine:
            with contextlib.suppress(OSError):
                remove_tree(self._incoming, self.item.id)
        self._close()

    def _close(self) -> None:
        for fd in (self._content, self._directory, self._incoming, self._root):
            if fd >= 0:
                os.close(fd)
        self._content = self._directory = self._incoming = self._root = -1
        self._is_mine = False


def stored_item(root: int, id_: str) -> Item:
    """The manifest of a stored item. Raises OSError, ValueError when it is damaged."""
    directory = os.open(id_, DIRECTORY, dir_fd=root)
    try:
        return item_in(directory)
    finally:
        os.close(directory)


def item_in(directory: int) -> Item:
    """The manifest in an item's directory. Raises OSError, ValueError when it is damaged."""
    fd = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb") as file:
        return decode_item(file.read())

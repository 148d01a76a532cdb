"""An item in one's hand: who changes or sends it holds a lock on its directory, which goes when its holder dies.

Readers need no lock, since manifest and content are only ever replaced as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable

import msgspec

from interpose.protocol.spool_frame import MAX_ANSWER_BYTES
from interpose.storage.durable import open_plain, read_small, replace_file
from interpose.storage.spool_item import Conflict, Item, State, encode_item
from interpose.storage.spool_upload import CONTENT, HASHED_BYTES, MANIFEST, item_in

ANSWER = "answer"


class Content:
    """What an item's content was when it was opened: size and SHA-256 are those of the descriptor's file.

    An editor that saves by renaming leaves this file as it is; one that writes in place does not, and then
    `is_unchanged` says so.
    """

    def __init__(self, fd: int) -> None:
        """`fd` belongs to the content from now on."""
        self._fd = fd
        try:
            self._state = self._stat()
            self.size, self.sha256 = digest_of(self._fd)
        except BaseException:
            os.close(self._fd)
            raise

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` octets from `offset`; b"" at the end. Raises OSError."""
        return os.pread(self._fd, size, offset)

    def is_unchanged(self) -> bool:
        """Whether nobody has written into it since."""
        return self._stat() == self._state

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Claim:
    """One item, for oneself until `close` (or use it with `with`). `item` is its manifest as it stands now."""

    def __init__(self, directory: int, wall: Callable[[], float]) -> None:
        self._directory = directory
        self._wall = wall
        try:
            self.item = item_in(directory)
        except BaseException:
            os.close(directory)
            raise

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self, state: State, why: str = "", **changes: object) -> Item:
        """Bring the item into its next state, on the disk. WrongState, OSError."""
        item = self.item.step(state, self._wall(), why, **changes)
        replace_file(self._directory, MANIFEST, encode_item(item))
        self.item = item
        return item

    def note(self, **changes: object) -> Item:
        """Write something down without a step. OSError."""
        item = msgspec.structs.replace(self.item, **changes)
        replace_file(self._directory, MANIFEST, encode_item(item))
        self.item = item
        return item

    def content(self) -> Content:
        """The content as it is now. OSError."""
        return Content(open_plain(self._directory, CONTENT))

    def replace_content(self, data: bytes, seen_sha256: str) -> None:
        """Make this the content. `Conflict` when what is there is not what the caller has seen."""
        self.check(seen_sha256)
        replace_file(self._directory, CONTENT, data)

    def check(self, seen_sha256: str) -> str:
        """The SHA-256 of the content. `Conflict` when it is not `seen_sha256` ("": whatever it is)."""
        content = self.content()
        content.close()
        if seen_sha256 and seen_sha256 != content.sha256:
            raise Conflict(
                f"the content of {self.item.id} has changed since it was seen; its SHA-256 is now {content.sha256}."
            )
        return content.sha256

    def changed_at(self) -> float:
        """When the content was written last, on the wall's clock. OSError."""
        return os.stat(CONTENT, dir_fd=self._directory, follow_symlinks=False).st_mtime

    def keep_answer(self, answer: bytes) -> None:
        """Store what the server had to say. OSError."""
        replace_file(self._directory, ANSWER, answer[:MAX_ANSWER_BYTES])

    def close(self) -> None:
        """Let others have it."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def answer_in(directory: int) -> bytes | None:
    """What the server had to say, when that is known."""
    with contextlib.suppress(FileNotFoundError):
        return read_small(directory, ANSWER, MAX_ANSWER_BYTES)
    return None


def digest_of(fd: int) -> tuple[int, str]:
    """Size and SHA-256 of a file. Raises OSError."""
    digest, offset = hashlib.sha256(), 0
    while data := os.pread(fd, HASHED_BYTES, offset):
        digest.update(data)
        offset += len(data)
    return offset, digest.hexdigest()

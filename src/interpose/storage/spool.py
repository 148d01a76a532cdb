"""The spool: a directory in which files wait to be sent on, looked at, edited, released or dropped.

    DIR/ID/content        the file; whoever may write here may edit it, with any editor
    DIR/ID/item.json      its manifest: where it is on its way, and how it came there (`storage.spool_item`)
    DIR/ID/answer         what the server had to say, once it is known
    DIR/.incoming/ID/     the same while it is being received

The directory is the only truth: no index, no database, nothing in memory that a restart would lose. Everything in it
changes by one rename, so that several processes (workers, the supervisor, a person's shell) see whole states only.

An id is random and made of letters and digits. The name that a sender gives stands in the manifest and is never a part
of a path (THREATS A38). Every method here blocks, since the disk does: an event loop calls them in a thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from interpose.storage.durable import DIRECTORY, lock, open_plain, remove_tree
from interpose.storage.spool_claim import Claim, answer_in, digest_of
from interpose.storage.spool_item import EDITABLE, Busy, Item, State, Unknown, WrongState, is_id, new_id
from interpose.storage.spool_upload import CONTENT, INCOMING, Upload, stored_item

REAP_INCOMING_S = 86_400.0
MAX_EDIT_BYTES = 2 << 20
MAX_PREVIEW_BYTES = 1 << 20


class Preview(NamedTuple):
    """A part of a content, and of which content: `sha256` is what an edit or a release has to show."""

    data: bytes
    offset: int
    size: int
    sha256: str


class Spool:
    """The items below `directory`, which is made when it is not there."""

    def __init__(self, directory: str, *, wall: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self._wall = wall

    def prepare(self) -> None:
        """Make the directories. Raises OSError."""
        os.makedirs(os.path.join(self.directory, INCOMING), mode=0o700, exist_ok=True)

    def now(self) -> float:
        """The time that manifests are written with."""
        return self._wall()

    # --- looking ---------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """The ids of everything that is stored. Raises OSError."""
        try:
            return [name for name in os.listdir(self.directory) if is_id(name)]
        except FileNotFoundError:
            return []

    def items(self) -> list[Item]:
        """Everything that is stored, in the order in which it came. What cannot be read is left out."""
        found = []
        for id_ in self.ids():
            with contextlib.suppress(OSError, ValueError):
                found.append(self._item(id_))
        return sorted(found, key=lambda item: (item.received_at, item.id))

    def incoming(self) -> list[tuple[Item, int]]:
        """What is being received, or was and may be gone on with, and how much of it there is."""
        found = []
        with contextlib.suppress(FileNotFoundError), _directory(os.path.join(self.directory, INCOMING)) as incoming:
            for name in filter(is_id, os.listdir(incoming)):
                with contextlib.suppress(OSError, ValueError):
                    status = os.stat(f"{name}/{CONTENT}", dir_fd=incoming, follow_symlinks=False)
                    found.append((stored_item(incoming, name), status.st_size))
        return found

    def get(self, start: str) -> Item:
        """The item whose id is `start` or begins so. `Unknown` when there is none, or more than one."""
        matches = [id_ for id_ in self.ids() if id_.startswith(start)] if start else []
        if len(matches) != 1:
            raise Unknown(
                f"{len(matches)} items begin with {start}; write more of the id."
                if matches
                else f"there is no item {start} in {self.directory}."
            )
        return self._item(matches[0])

    def find(self, id_: str) -> Item | None:
        """The item with exactly this id, when it is stored. Raises OSError, ValueError."""
        try:
            return self._item(id_) if is_id(id_) else None
        except FileNotFoundError:
            return None

    def path(self, id_: str) -> str:
        """Where a person finds the content."""
        return os.path.join(self.directory, id_, CONTENT)

    def preview(self, id_: str, limit: int = MAX_PREVIEW_BYTES, offset: int = 0) -> Preview:
        """A part of the content, at most `MAX_PREVIEW_BYTES` of it. Raises OSError, `Unknown`."""
        with self._opened(id_) as directory:
            fd = open_plain(directory, CONTENT)
            try:
                data = os.pread(fd, min(limit, MAX_PREVIEW_BYTES), offset)
                return Preview(data, offset, *digest_of(fd))
            finally:
                os.close(fd)

    def answer(self, id_: str) -> bytes | None:
        """What the server had to say; None while it has not, or said it when nobody waited. Raises OSError."""
        with self._opened(id_) as directory:
            return answer_in(directory)

    # --- deciding --------------------------------------------------------------------------------------------------

    def edit(self, id_: str, data: bytes, seen_sha256: str, who: str = "") -> Item:
        """Replace the content by `data`, when it is still what the caller has seen.

        Raises `Conflict`, `Busy`, `WrongState`, `Unknown`, OSError. What was approved is held again.
        """
        if len(data) > MAX_EDIT_BYTES:
            raise WrongState(f"{len(data)} bytes are too long for an edit, which may have {MAX_EDIT_BYTES}.")
        with self._taken(id_) as claim:
            item = claim.item
            if item.state not in EDITABLE:
                raise WrongState(f"{id_} is {item.state}; its content can be edited no more.")
            if item.state is State.APPROVED:
                claim.check(seen_sha256)
                claim.step(State.HELD, f"edited by {who}" if who else "edited", approved_sha256="")
            claim.replace_content(data, seen_sha256)
            return claim.note(edits=item.edits + 1)

    def release(self, id_: str, seen_sha256: str = "", who: str = "") -> Item:
        """Have the content sent as it is now, or as the caller has seen it; what failed is tried again.

        Raises `Conflict`, `Busy`, `WrongState`, `Unknown`, OSError. Nothing else is sent: who changes the content
        afterwards makes it held again.
        """
        with self._taken(id_) as claim:
            approved = claim.check(seen_sha256)
            state = State.SENDING if claim.item.state is State.SENDING else State.APPROVED
            why = f"released by {who}" if who else "released"
            return claim.step(state, why, approved_sha256=approved, next_try_at=0.0, first_try_at=0.0)

    def drop(self, id_: str, who: str = "") -> Item:
        """Never send it. Its files stay. Raises `Busy`, `WrongState`, `Unknown`, OSError."""
        with self._taken(id_) as claim:
            return claim.step(State.DROPPED, f"dropped by {who}" if who else "dropped")

    # --- receiving and sending -------------------------------------------------------------------------------------

    def begin(self, *, client: str, id_: str = "", name: str = "", size: int = 0, sha256: str = "") -> Upload | Item:
        """Receive a file; with an id, go on with what there is of it. An `Item` when it is stored already.

        Raises `Busy` when another connection is at it, OSError.
        """
        if not id_:
            id_ = new_id()
        elif (there := self.find(id_)) is not None:
            return there
        self.prepare()
        item = Item(id=id_, state=State.RECEIVING, name=name, client=client, size=size, sha256=sha256)
        upload = Upload(os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), item)
        if (there := self.find(id_)) is not None:  # it was stored while we came to lock it
            upload.discard()
            return there
        return upload

    def claim(self, id_: str) -> Claim | None:
        """The item for oneself; None when somebody else has it. Raises OSError, ValueError."""
        directory = os.open(os.path.join(self.directory, id_), DIRECTORY)
        if not lock(directory):
            os.close(directory)
            return None
        return Claim(directory, self._wall)

    def reap(self, keep_s: float | None = None) -> list[str]:
        """Remove what is left of uploads that nobody goes on with, and with `keep_s` what was confirmed or dropped so
        long ago; their ids. Raises OSError."""
        now, gone = self._wall(), []
        with contextlib.suppress(FileNotFoundError), _directory(os.path.join(self.directory, INCOMING)) as incoming:
            for name in os.listdir(incoming):
                if self._is_left(incoming, name, now):
                    remove_tree(incoming, name)
                    gone.append(name)
            if keep_s is None:
                return gone
            with _directory(self.directory) as root:
                for item in self.items():
                    is_over = item.state in (State.CONFIRMED, State.DROPPED) and item.ended_at + keep_s < now
                    if is_over and (claim := self.claim(item.id)) is not None:
                        with claim:  # out of sight first, so that a crash leaves no half of an item
                            os.rename(item.id, f"{item.id}.gone", src_dir_fd=root, dst_dir_fd=incoming)
                        remove_tree(incoming, f"{item.id}.gone")
                        gone.append(item.id)
        return gone

    def _is_left(self, incoming: int, name: str, now: float) -> bool:
        """Whether nobody has written to an unfinished upload for a day."""
        if name.endswith(".gone"):
            return True
        path = f"{name}/{CONTENT}"
        try:
            status = os.stat(path, dir_fd=incoming, follow_symlinks=False)
        except FileNotFoundError:
            status = os.stat(name, dir_fd=incoming, follow_symlinks=False)
            return status.st_mtime + REAP_INCOMING_S < now
        if status.st_mtime + REAP_INCOMING_S >= now:
            return False
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=incoming)
        try:
            return lock(fd)
        finally:
            os.close(fd)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _item(self, id_: str) -> Item:
        with _directory(self.directory) as root:
            return stored_item(root, id_)

    @contextmanager
    def _opened(self, id_: str) -> Iterator[int]:
        if not is_id(id_):
            raise Unknown(f"there is no item {id_} in {self.directory}.")
        try:
            directory = os.open(os.path.join(self.directory, id_), DIRECTORY)
        except FileNotFoundError:
            raise Unknown(f"there is no item {id_} in {self.directory}.") from None
        try:
            yield directory
        finally:
            os.close(directory)

    @contextmanager
    def _taken(self, id_: str) -> Iterator[Claim]:
        with self._opened(id_):
            claim = self.claim(id_)
        if claim is None:
            raise Busy(f"{id_} is being sent or changed at this moment; try again in a moment.")
        with claim:
            yield claim


@contextmanager
def _directory(path: str) -> Iterator[int]:
    """A directory that the operator named: it may be reached through a link."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)

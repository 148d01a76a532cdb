"""The messages of holds: their rows, and the files of long contents.

Version 1 is the message as it came, the highest one as it is now; 0 is an answer that somebody gave by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

import msgspec

from interpose.core.hold import INLINE_BYTES, Content, HeldMessage
from interpose.storage.desk.contents import Contents, Damaged
from interpose.storage.desk.database import Database
from interpose.storage.desk.kept import Kept, packed, unpacked, with_file
from interpose.storage.desk.secrets import without_secrets

ORIGINAL, ANSWER = 1, 0


class Messages:
    """The messages in `database`, with the files in `contents`."""

    __slots__ = ("_database", "contents")

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self.contents = contents

    def get(self, hold: Kept, version: int) -> HeldMessage | None:
        """One version of its message (ORIGINAL, ANSWER, `hold.version`), None when it is not kept. Damaged."""
        row = self._database.one(
            "SELECT digest, file, message FROM messages WHERE hold = ? AND version = ?", hold.n, version
        )
        if row is None:
            return None
        message = unpacked(row["message"])
        if message.digest != row["digest"] or message.content.file != row["file"]:
            raise Damaged(f"The message of hold {hold.id} is not what was stored: its SHA-256 differs.")
        return self.located(message, row["file"])

    def current(self, hold: Kept) -> HeldMessage:
        """The message as it is now. Damaged when it is not there."""
        message = self.get(hold, hold.version)
        if message is None:
            raise Damaged(f"The message of hold {hold.id} is gone.")
        return message

    def verified(self, hold: Kept) -> HeldMessage:
        """The message as it is now, every octet hashed again: what the hold's digest says, or Damaged."""
        message = self.current(hold)
        self.contents.verify(message.content)
        if message.digest != hold.digest:
            raise Damaged(f"The message of hold {hold.id} is not the one that was seen: its SHA-256 differs.")
        return message

    def located(self, message: HeldMessage, file: str) -> HeldMessage:
        """The message with the whole path of its content's file, if it has one."""
        return with_file(message, self.contents.path(file)) if file else message

    def stored(
        self, hold: Kept, version: int, before: HeldMessage | None, after: HeldMessage
    ) -> tuple[HeldMessage, str]:
        """The message as it is to be put, and the name of its content's file, "" for none. New content is in memory,
        and on the disk when this returns if it is long."""
        content = after.content
        if before is not None and content == before.content:
            return after, content.file.rpartition("/")[2]
        if content.size <= INLINE_BYTES:
            return after, ""
        file = self.contents.write(hold.id, version, content.data)
        moved = Content(content.size, content.sha256, b"", file)
        return msgspec.structs.replace(after, content=moved), file

    def put(self, n: int, version: int, message: HeldMessage, file: str) -> None:
        """Add a row."""
        self._database.execute(
            "INSERT INTO messages (hold, version, size, digest, file, message) VALUES (?, ?, ?, ?, ?, ?)",
            n, version, message.content.size, message.digest, file, packed(message, file),
        )  # fmt: skip

    def take_secrets(self, hold: Kept, names: Set[bytes]) -> None:
        """Take the values of these fields out of all that is kept of a hold. What is damaged goes altogether."""
        rows = self._database.execute("SELECT version, file, message FROM messages WHERE hold = ?", hold.n).fetchall()
        for version, file, data in rows:
            try:
                message = without_secrets(unpacked(data), names)
            except Damaged:
                self._database.execute("DELETE FROM messages WHERE hold = ? AND version = ?", hold.n, version)
                continue
            self._database.execute(
                "UPDATE messages SET digest = ?, message = ? WHERE hold = ? AND version = ?",
                message.digest, packed(message, file), hold.n, version,
            )  # fmt: skip
        row = self._database.one("SELECT request FROM holds WHERE n = ?", hold.n)
        if row is not None and row["request"] is not None:
            try:
                request = packed(without_secrets(unpacked(row["request"]), names), "")
            except Damaged:
                request = None
            self._database.execute("UPDATE holds SET request = ? WHERE n = ?", request, hold.n)

    def files(self, n: int) -> set[str]:
        """The names of all files of a hold."""
        rows = self._database.execute("SELECT file FROM messages WHERE hold = ? AND file != ''", n)
        return {name for (name,) in rows}

    def remove_files(self, names: Iterable[str]) -> None:
        """Remove files of rows that are gone."""
        self.contents.remove(name for name in names if name)

    def sweep(self) -> None:
        """Remove files that no row names: their holds were never acknowledged, or are gone."""
        self.contents.sweep(lambda name: self._database.one("SELECT 1 FROM messages WHERE file = ?", name) is not None)

"""The directory of a desk: whether it may be used, and opening the database in it whatever has become of that.

A desk holds what people were told is safe, so a damaged database is never repaired and never guessed at. It is set
aside whole, with its contents; what can be read of it is written down beside it, for people; and a new desk begins.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import stat
import time

from interpose.storage.desk.contents import Damaged, sync_directory
from interpose.storage.desk.database import APPLICATION_ID, FILE, VERSION, Database

log = logging.getLogger("interpose")

READABLE = "readable.ndjson"
_FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm")
_MAX_VERSION = 10_000
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""The second is raised for SQLite's own words when they quote what is in the file."""


class Place:
    """A desk's directory, locked from `open` to `close`. `problem` is a sentence when something was set aside."""

    __slots__ = ("_lock", "directory", "problem")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.problem = ""
        self._lock = -1

    def open(self) -> Database:
        """The database, sound and ready. ValueError, a sentence, when this directory cannot be used."""
        try:
            self._prepare()
            return self._open_database()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise ValueError(f"The desk's directory {self.directory} cannot be used: {in_words(error)}.") from error
        except ValueError:
            self.close()
            raise

    def close(self) -> None:
        """Give the directory back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _prepare(self) -> None:
        for path in (self.directory, self._path("contents"), self._path("incoming")):
            os.makedirs(path, 0o700, exist_ok=True)
            status = os.lstat(path)
            if status.st_uid != os.geteuid() or (path != self.directory and not stat.S_ISDIR(status.st_mode)):
                raise ValueError(f"{path} does not belong to this user; give the desk a directory of its own.")
            os.chmod(path, 0o700)
        self._lock = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"The desk in {self.directory} is in use by another process; give each instance a desk of its own."
            ) from None

    def _open_database(self) -> Database:
        try:
            self._look_for_damage()
            return self._opened()
        except (Damaged, sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            self._set_aside(in_words(error))
        return self._opened()

    def _opened(self) -> Database:
        path = self._path(FILE)
        if not os.path.lexists(path):
            Database.create(path)
            sync_directory(self.directory)
        database = Database(path)
        try:
            check(database)
            database.prepare()
            for name in _FILES:
                with contextlib.suppress(FileNotFoundError):
                    os.chmod(self._path(name), 0o600)
        except BaseException:
            database.close()
            raise
        return database

    def _look_for_damage(self) -> None:
        """What SQLite would not call damage: an empty file is a new database to it, as one that is gone is to us."""
        path = self._path(FILE)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            if os.path.lexists(f"{path}-wal") or os.listdir(self._path("contents")):
                raise Damaged("the database is gone, and what belongs to it is there") from None
            return
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            raise Damaged("the database is empty")

    def _set_aside(self, why: str) -> None:
        aside = self._path(time.strftime("corrupt-%Y%m%dT%H%M%SZ", time.gmtime()))
        for number in range(2, 1000):
            if not os.path.lexists(aside):
                break
            aside = f"{aside.partition('Z')[0]}Z-{number}"
        os.mkdir(aside, 0o700)
        for name in (*_FILES, "contents"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path(name), os.path.join(aside, name))
        os.mkdir(self._path("contents"), 0o700)
        sync_directory(self.directory)
        count = salvage(aside)
        self.problem = (
            f"The desk in {self.directory} was damaged ({why}). It was set aside as {aside}, with {count} holds that "
            f"can still be read in {READABLE} there; a new desk has begun, and nothing of the old one is sent."
        )
        log.error("%s", self.problem)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def check(database: Database) -> None:
    """Raises `Damaged` unless this is a sound database of a desk, ValueError when it is one of a later Interpose."""
    application = database.number("PRAGMA application_id")
    if application != APPLICATION_ID:
        raise Damaged("the database is not one of a desk")
    version = database.number("PRAGMA user_version")
    if VERSION < version < _MAX_VERSION:
        raise ValueError(
            f"The desk was written by a later version of Interpose (its format is {version}, this one knows {VERSION})."
        )
    if version != VERSION:
        raise Damaged(f"the database has the impossible format {version}")
    found = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise Damaged(f"SQLite says {' '.join(str(found[0]).split())[:200]!r}")
    if database.schema() != Database.own_schema():
        raise Damaged("the tables of the database are not those of a desk")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it is the file's contents that SQLite complains of, and not the disk or another process."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 255
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


def salvage(directory: str) -> int:
    """Write down what a damaged database still gives, one hold with its messages a line; how many. It is only read."""
    count = 0
    path = os.path.join(directory, READABLE)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as lines:
        database = os.path.join(directory, FILE)
        if not os.path.isfile(database):
            return 0
        with contextlib.suppress(*_UNREADABLE), contextlib.closing(_read_only(database)) as connection:
            for hold in connection.execute("SELECT * FROM holds NOT INDEXED"):
                messages: list[dict[str, object]] = []
                with contextlib.suppress(*_UNREADABLE):
                    found = connection.execute("SELECT * FROM messages NOT INDEXED WHERE hold = ?", (hold["n"],))
                    messages.extend(_plain(row) for row in found)
                lines.write(json.dumps({**_plain(hold), "messages": messages}) + "\n")
                count += 1
    return count


def _read_only(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=ro", uri=True
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _plain(row: sqlite3.Row) -> dict[str, object]:
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in zip(row.keys(), tuple(row), strict=True)
    }


def in_words(error: Exception) -> str:
    """What went wrong, without a full stop."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".")

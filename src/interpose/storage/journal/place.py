"""The directory of a journal: whether it may be used, and opening the database in it whatever has become of that.

    journal.db (-wal, -shm)    journal.db.corrupt-TIME    journal.db.version-N-TIME    contents/    lock

A database that cannot be read is renamed, and the next one begins empty: a journal tells what has been, and nothing
that is still to come depends on it. Of those set aside the last one is kept, for whoever wants to know; the contents
that it named stay where they are, and `Contents.sweep` removes them later. One that a newer program wrote is whole, and
stays where it was put.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
import time

from interpose.storage.journal import schema

log = logging.getLogger("interpose")

DATABASE = "journal.db"
CHECK_S = 1.5
"""How long a database is looked through when it is opened. What this does not reach is found when it is read: rows have
checksums, and damaged pages are errors."""

_CORRUPT = ".corrupt-"
_STEPS = 100_000
_PARTS = ("", "-wal", "-shm")


def is_damage(error: Exception) -> bool:
    """Whether the database is to blame, and not the disk, a lock or a mistake of ours. (Python cannot even say what
    SQLite complains about when a damaged schema is not UTF-8.)"""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def prepare(directory: str) -> None:
    """Make the directory, or see that it is ours alone. ValueError, one sentence, when it must not be used; OSError
    when the file system does not let us."""
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{directory} is not a directory; name one for the journal.") from error
    status = os.stat(directory)
    if status.st_uid != os.geteuid():
        raise ValueError(f"{directory} belongs to another user (id {status.st_uid}); name a directory of your own.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{directory} may be written to by other users; run `chmod go-w {directory}`.")


def lock(directory: str) -> int:
    """A descriptor that keeps other processes from writing here. ValueError when one does already."""
    fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ValueError(f"the journal in {directory} is in use by another process; name another directory.") from None
    return fd


def open_database(directory: str) -> sqlite3.Connection:
    """The connection that writes to the journal in `directory`, empty if what is there cannot be read. Raises OSError
    and sqlite3.Error when even a new one cannot be made."""
    path = os.path.join(directory, DATABASE)
    try:
        database = _open(path)
        _check(database)
        return database
    except schema.NewerSchema as error:
        _rename(path, f".version-{error.version}-{int(time.time())}", str(error))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not _is_hopeless(error, path):
            raise
        set_aside(path, str(error))
    return _open(path)


def set_aside(path: str, why: str) -> None:
    """Rename a database that cannot be read, and remove those that were renamed before."""
    directory = os.path.dirname(path)
    for name in os.listdir(directory):
        if _CORRUPT in name:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
    _rename(path, f"{_CORRUPT}{int(time.time())}", why)


def _rename(path: str, ending: str, why: str) -> None:
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + part, path + ending + part)
    log.warning("the journal cannot be read (%s); it is now %s%s, and the journal begins empty", why, path, ending)


def _open(path: str) -> sqlite3.Connection:
    """SQLite makes its files with the directory's mask; ours are for nobody else."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    return schema.open_writer(path)


def _check(database: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError when the database is seen to be damaged within CHECK_S."""
    deadline = time.monotonic() + CHECK_S
    database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(found)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            database.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError):
        database.close()
        raise
    finally:
        with contextlib.suppress(sqlite3.ProgrammingError):
            database.set_progress_handler(None, 0)


def damaged(found: str) -> sqlite3.DatabaseError:
    """The error that says what is wrong with a database, as if SQLite had found it."""
    error = sqlite3.DatabaseError(" ".join(found.split()))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_hopeless(error: Exception, path: str) -> bool:
    """Whether what is there will never open: it is damaged, or it is a database of something else (tables missing, or
    there that should not be). A disk that is full or broken is another matter."""
    if is_damage(error):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_ERROR and os.path.getsize(path) > 0

"""The desk's database: its schema, and transactions that are on the disk when they have ended.

`holds` has what lists show of each hold; `messages` its messages: version 1 as it came, the current version, and 0 for
an answer that somebody gave by hand. `taken` has the octets of all contents, kept up to date by the database itself,
which also sees to it that `audit` only grows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

FILE = "desk.sqlite3"
APPLICATION_ID = 0x49504453
VERSION = 1
BUSY_TIMEOUT_S = 5.0

SCHEMA = """
CREATE TABLE holds (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    what TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    rule TEXT NOT NULL,
    exchange TEXT NOT NULL,
    listener TEXT NOT NULL,
    route TEXT NOT NULL,
    client_host TEXT NOT NULL,
    client_port INTEGER NOT NULL,
    user TEXT NOT NULL,
    at REAL NOT NULL,
    timeout_s REAL NOT NULL,
    on_timeout TEXT NOT NULL,
    request BLOB,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    type TEXT NOT NULL,
    size INTEGER NOT NULL,
    verdict TEXT NOT NULL DEFAULT '',
    by TEXT NOT NULL DEFAULT '',
    why TEXT NOT NULL DEFAULT '',
    decided REAL,
    ours INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try REAL,
    under_way INTEGER NOT NULL DEFAULT 0,
    settled REAL,
    outcome_status INTEGER NOT NULL DEFAULT 0,
    outcome TEXT
) STRICT;
CREATE INDEX holds_by_state ON holds (state, n);
CREATE INDEX holds_by_settled ON holds (settled) WHERE settled IS NOT NULL;

CREATE TABLE messages (
    hold INTEGER NOT NULL REFERENCES holds (n) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    digest BLOB NOT NULL,
    file TEXT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (hold, version)
) STRICT;
CREATE INDEX messages_by_file ON messages (file) WHERE file != '';

CREATE TABLE taken (bytes INTEGER NOT NULL) STRICT;
INSERT INTO taken VALUES (0);
CREATE TRIGGER room_is_taken AFTER INSERT ON messages BEGIN UPDATE taken SET bytes = bytes + NEW.size; END;
CREATE TRIGGER room_is_given_back AFTER DELETE ON messages BEGIN UPDATE taken SET bytes = bytes - OLD.size; END;

CREATE TABLE rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    query TEXT NOT NULL,
    until REAL NOT NULL,
    who TEXT NOT NULL,
    hold TEXT NOT NULL,
    made REAL NOT NULL
) STRICT;

CREATE TABLE audit (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    hold TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    why TEXT NOT NULL,
    chain BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_hold ON audit (hold, n);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""


class Database:
    """One connection, used by one thread at a time. Raises sqlite3.Error."""

    __slots__ = ("_connection",)

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._connection.row_factory = sqlite3.Row
        # A damaged text is no reason to fail here: what reads it knows which texts there are.
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")

    @classmethod
    def create(cls, path: str) -> None:
        """Make an empty database at `path`, whole or not at all: it gets its name when it is on the disk."""
        unfinished = f"{path}.new"
        for name in (unfinished, f"{unfinished}-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        database = cls(unfinished)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.script(
                f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
            )
        finally:
            database.close()
        os.rename(unfinished, path)

    @classmethod
    def own_schema(cls) -> list[tuple[str, str, str]]:
        """What `schema` gives for a sound database."""
        database = cls(":memory:")
        try:
            database.script(SCHEMA)
            return database.schema()
        finally:
            database.close()

    def schema(self) -> list[tuple[str, str, str]]:
        """Kind, name and text of all tables, indexes and triggers."""
        rows = self.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
        return [(row["type"], row["name"], row["sql"]) for row in rows]

    def prepare(self) -> None:
        """Set what holds for this connection: nothing is acknowledged before it is on the disk, and what was removed
        is overwritten."""
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "recursive_triggers = ON",  # else an entry of the audit could be replaced
            "journal_size_limit = 4194304",
        ):
            self.execute(f"PRAGMA {setting}").fetchall()

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, values)

    def script(self, sql: str) -> None:
        """Run several statements."""
        self._connection.executescript(sql)

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row, if there is one."""
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def number(self, sql: str, *values: object) -> int:
        """The only number of the only row."""
        row = self._connection.execute(sql, values).fetchone()
        number: int = row[0]
        return number

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside, or nothing; on the disk when it has ended without an exception."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.commit()
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def commit(self) -> None:
        """Make it last."""
        self._connection.execute("COMMIT")

    def checkpoint(self) -> None:
        """Move what the log holds into the database and empty the log, so that what was removed is gone from both."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

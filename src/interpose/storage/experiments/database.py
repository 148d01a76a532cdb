"""The database of experiments: its schema, and how it is opened, whole or anew.

`units` has each unit of an experiment once, with the variant that it was shown first and when; `reached` has what each
unit came to for each goal; `early` for a moment what a unit came to of which it is not known yet what it was shown,
because another worker has not told of it. `variants`, `exposed` and `totals` are sums of those, kept in the same
transactions; `trend` has what was made of them at some times. A unit is 16 octets, a digest: no name and no address of
anybody is here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

FILE: Final = "experiments.sqlite3"
APPLICATION_ID: Final = 0x49504558
VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 5.0

_SCHEMA: Final = """
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    salt TEXT NOT NULL,
    began REAL NOT NULL,
    touched REAL NOT NULL,
    units INTEGER NOT NULL DEFAULT 0,
    turned_away INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT '',
    UNIQUE (name, salt)
) STRICT;
CREATE TABLE variants (
    id INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    requests TEXT NOT NULL DEFAULT '',
    UNIQUE (experiment, name)
) STRICT;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    shares TEXT NOT NULL,
    UNIQUE (experiment, shares)
) STRICT;
CREATE TABLE exposed (
    epoch INTEGER NOT NULL REFERENCES epochs (id) ON DELETE CASCADE,
    variant INTEGER NOT NULL REFERENCES variants (id) ON DELETE CASCADE,
    units INTEGER NOT NULL,
    PRIMARY KEY (epoch, variant)
) STRICT, WITHOUT ROWID;
CREATE TABLE units (
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    unit BLOB NOT NULL,
    variant INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (experiment, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE reached (
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    goal TEXT NOT NULL,
    unit BLOB NOT NULL,
    events INTEGER NOT NULL,
    total REAL NOT NULL,
    PRIMARY KEY (experiment, goal, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE early (
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    unit BLOB NOT NULL,
    goal TEXT NOT NULL,
    kind TEXT NOT NULL,
    value REAL NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX early_by_unit ON early (experiment, unit);
CREATE INDEX early_by_time ON early (at);
CREATE TABLE totals (
    variant INTEGER NOT NULL REFERENCES variants (id) ON DELETE CASCADE,
    goal TEXT NOT NULL,
    units INTEGER NOT NULL,
    total REAL NOT NULL,
    squares REAL NOT NULL,
    PRIMARY KEY (variant, goal)
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_experiment ON decisions (experiment, id);
"""
_TREND: Final = """
CREATE TABLE IF NOT EXISTS trend (
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    points TEXT NOT NULL,
    PRIMARY KEY (experiment, at)
) STRICT, WITHOUT ROWID;
"""
"""Apart, since there are books from before there was one."""


def opened(directory: Path) -> tuple[sqlite3.Connection, str]:
    """The database in `directory`, made when there is none; and a sentence where one was damaged, which is set aside.
    Raises sqlite3.Error and OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE
    said = ""
    if path.exists():
        try:
            connection = _checked(_connected(path))
            connection.execute(_TREND)
            return connection, ""
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # it is locked, or the disk does not give it: that is no damage
            said = _set_aside(path, str(error))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connected(path)
    connection.executescript(
        f"BEGIN; {_SCHEMA} {_TREND} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )
    return connection, said


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    connection.text_factory = lossy
    try:
        # What a worker was told is written is on the disk.
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "journal_size_limit = 4194304",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def lossy(raw: bytes) -> str:
    """A text of the database. A damaged one is no reason to fail: what reads it knows what it can be."""
    return raw.decode("utf-8", "replace")


def _checked(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The same, if it is whole and one of ours. sqlite3.DatabaseError when it is not."""
    try:
        own = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if own != [APPLICATION_ID, VERSION]:
            raise sqlite3.DatabaseError("it is no database of experiments of this version")
        if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _set_aside(path: Path, why: str) -> str:
    aside = time.strftime(f"{path.name}.corrupt-%Y%m%dT%H%M%SZ", time.gmtime())
    os.replace(path, path.with_name(aside))
    for ending in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{path.with_name(aside)}{ending}")
    return f"The books of experiments were damaged ({why}); they are kept as {path.with_name(aside)}, and begun anew."

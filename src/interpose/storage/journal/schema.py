"""The tables of the journal, and how an older database becomes a newer one.

    flow   one narrow row a record: what tables show and most queries ask. Without an index all of a million rows are
           read in a fraction of a second, because nothing else is in this table.
    seen   the values that there have been of words with few values, as long as they are few.
    kept   the record itself, and what was too small for a file of its own.
    blob   how many records share each content file.
    shelf  a run of numbers whose words are in text indexes of their own (see `shelves`).

Each index costs each record about two microseconds, so there are only those that make a query as quick on a million
records as on a thousand: host, client, status (with method), and for those few that have any: traits, marks, kinds
other than HTTP. The first three begin with the record's *chunk*, a run of numbers: so new entries go to the same few
pages, however many hosts and clients there are, and a search goes from chunk to chunk.
"""

from __future__ import annotations

import sqlite3

PAGE_BYTES = 8192
CACHE_KIB = 16384
READER_CACHE_KIB = 4096
WAL_BYTES = 32 << 20
CHUNK_BITS = 14
"""A chunk has 16,384 records: their number without the last bits is the chunk's."""


_FIRST = """
CREATE TABLE flow (
    id INTEGER PRIMARY KEY,
    exchange TEXT NOT NULL,
    kind TEXT NOT NULL,
    started REAL NOT NULL,
    duration_s REAL NOT NULL,
    listener TEXT NOT NULL,
    route TEXT NOT NULL,
    client TEXT NOT NULL,
    client_port INTEGER NOT NULL,
    user TEXT NOT NULL,
    method TEXT NOT NULL,
    scheme TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    request_type TEXT NOT NULL,
    response_type TEXT NOT NULL,
    request_size INTEGER NOT NULL,
    response_size INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    failure TEXT NOT NULL,
    traits INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    mark TEXT NOT NULL DEFAULT '',
    comment TEXT NOT NULL DEFAULT '',
    checksum INTEGER NOT NULL
);
CREATE INDEX flow_host ON flow (chunk, host);
CREATE INDEX flow_client ON flow (chunk, client);
CREATE INDEX flow_status ON flow (chunk, status, method);
CREATE INDEX flow_kind ON flow (kind) WHERE kind <> 'http';
CREATE INDEX flow_traits ON flow (traits) WHERE traits <> 0;
CREATE INDEX flow_mark ON flow (mark) WHERE mark <> '';
CREATE TABLE seen (word TEXT NOT NULL, value NOT NULL, PRIMARY KEY (word, value)) WITHOUT ROWID;
CREATE TABLE kept (
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE blob (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    uses INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE shelf (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    oldest REAL NOT NULL,
    newest REAL NOT NULL,
    is_full INTEGER NOT NULL
);
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""What makes version n + 1 of version n, in one transaction each."""

VERSION = len(MIGRATIONS)


class NewerSchema(Exception):
    """The database was written by a newer version of this program."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has version {version}, and this program knows {VERSION}")
        self.version = version


def open_writer(path: str) -> sqlite3.Connection:
    """The one connection that writes, with all migrations done. Raises sqlite3.Error, `NewerSchema`."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        database.execute("PRAGMA temp_store = MEMORY")
        database.text_factory = tolerant
        _migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def open_reader(path: str) -> sqlite3.Connection:
    """A connection that can only read. Raises sqlite3.Error when there is no database."""
    database = sqlite3.connect(
        f"file:{_escaped(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    database.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    database.execute("PRAGMA query_only = ON")
    return database


def tolerant(data: bytes) -> str:
    """Text that may not be UTF-8 any more. (As a `text_factory`; SQLite's own is faster and raises.)"""
    return data.decode("utf-8", "replace")


def _escaped(path: str) -> str:
    """The path as it stands in a URI of SQLite's."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _migrate(database: sqlite3.Connection) -> None:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerSchema(version)
    for number in range(version, VERSION):
        database.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")

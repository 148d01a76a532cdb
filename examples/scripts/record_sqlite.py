"""Writes every exchange into a database of its own.

    interpose proxy --script examples/scripts/record_sqlite.py
    sqlite3 exchanges.db 'SELECT host, count(*), avg(ms) FROM exchanges GROUP BY host'

The database is opened before the first request and closed after the last one. `DATABASE` names another file.
"""

import os
import sqlite3

import interpose
from interpose import Exchange, Handler, Outcome, Request, Response

TABLE = "CREATE TABLE IF NOT EXISTS exchanges (id TEXT, host TEXT, path TEXT, status INTEGER, bytes INTEGER, ms REAL)"
database: sqlite3.Connection


@interpose.started
async def open_database() -> None:
    global database
    database = sqlite3.connect(os.environ.get("DATABASE", "exchanges.db"), isolation_level=None)
    database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {TABLE}")


@interpose.stopped
async def close_database() -> None:
    database.close()


@interpose.filter(phase=interpose.Phase.OBSERVE)
async def record(exchange: Exchange, request: Request, forward: Handler) -> Response:
    host, path = request.target.authority.host, request.target.path

    def write(outcome: Outcome) -> None:
        row = (exchange.id, host, path, outcome.status, outcome.body_bytes, 1000 * (outcome.ended - exchange.started))
        database.execute("INSERT INTO exchanges VALUES (?, ?, ?, ?, ?, ?)", row)

    exchange.at_end(write)
    return await forward(exchange, request)

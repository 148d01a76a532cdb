"""What may pass without anybody looking, for a while: "always let this go to that host for a week"."""

from __future__ import annotations

import msgspec

from interpose.storage.desk.audit import Audit
from interpose.storage.desk.database import Database

MAX_RULES = 1000


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A query, until when it holds, who made it and from which hold."""

    id: int
    query: str
    until: float
    who: str
    hold: str
    made: float


class Rules:
    """The rules in `database`."""

    __slots__ = ("_audit", "_database")

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def all(self, now: float) -> list[Rule]:
        """Those that hold, the newest first."""
        rows = self._database.execute("SELECT * FROM rules WHERE until > ? ORDER BY id DESC", now)
        return [
            Rule(id=id, query=query, until=until, who=who, hold=hold, made=made)
            for id, query, until, who, hold, made in rows
        ]

    def add(self, query: str, for_s: float, who: str, hold: str, now: float) -> Rule:
        """Make one; those that are over go. ValueError, a sentence, when there are too many."""
        if self._database.number("SELECT COUNT(*) FROM rules WHERE until > ?", now) >= MAX_RULES:
            raise ValueError(f"There are {MAX_RULES} rules already, the most that the desk has; remove some.")
        with self._database.transaction():
            self._database.execute("DELETE FROM rules WHERE until <= ?", now)
            cursor = self._database.execute(
                "INSERT INTO rules (query, until, who, hold, made) VALUES (?, ?, ?, ?, ?)",
                query, now + for_s, who, hold, now,
            )  # fmt: skip
            assert cursor.lastrowid is not None
            self._audit.add(now, who, "rule made", hold, why=f"{for_s:.0f} s: {query}")
        return Rule(id=cursor.lastrowid, query=query, until=now + for_s, who=who, hold=hold, made=now)

    def remove(self, id: int, who: str, now: float) -> bool:
        """Take one away; whether it was there."""
        row = self._database.one("SELECT query, hold FROM rules WHERE id = ?", id)
        if row is None:
            return False
        with self._database.transaction():
            self._database.execute("DELETE FROM rules WHERE id = ?", id)
            self._audit.add(now, who, "rule removed", row["hold"], why=row["query"])
        return True

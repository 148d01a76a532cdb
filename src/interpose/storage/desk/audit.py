"""Who did what at the desk: entries that are only ever added, each bound to all before it.

An entry's `chain` is the SHA-256 of the chain before it and of everything it says, each part with its length. So an
entry that is changed, taken out or put in later breaks every chain from there on. Entries cut off at the end cannot be
told from entries that were never made: who needs that keeps the last chain elsewhere.
"""

from __future__ import annotations

import hashlib
import struct

import msgspec

from interpose.storage.desk.database import Database

BEGIN = bytes(32)
MAX_WHY_CHARACTERS = 2000
_PAGE = 1000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `digest` (hexadecimal) is of the message that it was done with."""

    n: int
    at: float
    who: str
    what: str
    hold: str
    version: int
    digest: str
    why: str
    chain: str


class Audit:
    """The entries in `database`."""

    __slots__ = ("_chain", "_checked", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checked = 0
        self._chain = BEGIN

    def add(
        self, at: float, who: str, what: str, hold: str = "", version: int = 0, digest: bytes = b"", why: str = ""
    ) -> None:
        """Append an entry; inside a transaction, with what it tells of."""
        last = self._database.one("SELECT n, chain FROM audit ORDER BY n DESC LIMIT 1")
        n, before = (1, BEGIN) if last is None else (last["n"] + 1, last["chain"])
        why = why[:MAX_WHY_CHARACTERS]
        chain = chained(before, n, at, who, what, hold, version, digest, why)
        self._database.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", n, at, who, what, hold, version, digest, why, chain
        )

    def after(self, n: int, limit: int) -> list[Entry]:
        """Entries behind number `n`, oldest first."""
        return self._entries("SELECT * FROM audit WHERE n > ? ORDER BY n LIMIT ?", n, limit)

    def of(self, hold: str, limit: int = 200) -> list[Entry]:
        """The last entries of one hold, oldest first."""
        return self._entries(
            "SELECT * FROM (SELECT * FROM audit WHERE hold = ? ORDER BY n DESC LIMIT ?) ORDER BY n", hold, limit
        )

    def is_sound(self) -> bool:
        """Whether every chain is what it has to be. What was right once is not looked at again by this process."""
        while True:
            rows = self._database.execute(
                "SELECT * FROM audit WHERE n > ? ORDER BY n LIMIT ?", self._checked, _PAGE
            ).fetchall()
            for row in rows:
                n, at, who, what, hold, version, digest, why, chain = row
                if n != self._checked + 1 or chain != chained(
                    self._chain, n, at, who, what, hold, version, digest, why
                ):
                    return False
                self._checked, self._chain = n, chain
            if len(rows) < _PAGE:
                return True

    def _entries(self, sql: str, *values: object) -> list[Entry]:
        return [
            Entry(
                n=n,
                at=at,
                who=who,
                what=what,
                hold=hold,
                version=version,
                digest=digest.hex(),
                why=why,
                chain=chain.hex(),
            )
            for n, at, who, what, hold, version, digest, why, chain in self._database.execute(sql, *values)
        ]


def chained(
    before: bytes, n: int, at: float, who: str, what: str, hold: str, version: int, digest: bytes, why: str
) -> bytes:
    """The chain of an entry."""
    parts = [before, struct.pack(">qdq", n, at, version), digest, *(text.encode() for text in (who, what, hold, why))]
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()

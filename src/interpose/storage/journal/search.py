"""Finding records: from the newest to the oldest, block by block, until there are enough.

A block is a run of numbers in one chunk, all in the same shelf or not in any yet. SQL gives its candidates in order, so
that nothing is sorted beyond a block. The newest few thousand records are read without any index first: what most
queries look for is there, and where it is frequent an index would only be a detour. Where the condition does not say
all that the query says, each candidate is read and asked.

A search ends after SEARCH_S or MOST_READ candidates read, and says where to go on: nothing is ever slow, and nothing is
ever left out in silence.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from interpose.core.journal import Counted, Found, Summary
from interpose.core.query.matching import Matcher
from interpose.core.query.tree import And, Query, Term
from interpose.core.query.values import Span
from interpose.core.query.words import BOTH_BODIES
from interpose.storage.journal import schema
from interpose.storage.journal.conditions import HAS_TEXT, Compiler, Condition
from interpose.storage.journal.contents import Contents
from interpose.storage.journal.rows import COLUMNS, stored_of, summary_of, whole
from interpose.storage.journal.shelves import indexed_up_to, shelves
from interpose.storage.journal.text import subject

SEARCH_S: Final = 1.0
COUNT_S: Final = 0.5
MOST_READ: Final = 20_000
FIRST_BLOCK: Final = 4096
_PAGE: Final = 500
_ANY_TEXT: Final = "? IS NOT NULL"


class Block(NamedTuple):
    """Numbers from `low` to `high`, and the name of their text index, if they have one."""

    low: int
    high: int
    table: str = ""
    uses_indexes: bool = True


class Search:
    """One query on one connection; None finds everything. `now` is wall clock."""

    def __init__(self, database: sqlite3.Connection, contents: Contents, query: Query | None, now: float) -> None:
        self._database = database
        self._contents = contents
        self._now = now
        self._began_after, self._began_before = _bounds(query, now)
        self._matcher = Matcher(query) if query is not None else None
        compiler = Compiler(database, now)
        self._condition = Condition("1") if query is None else compiler.condition(query)
        self._uses_text = HAS_TEXT in self._condition.sql
        self._with_texts = self._matcher is not None and bool(self._matcher.needs & BOTH_BODIES)
        judges = compiler.judges
        if judges:
            database.create_function("judge", 2, lambda place, value: judges[place](value))

    def find(self, before: int, after: int, limit: int) -> Found:
        """The newest that match, between two numbers (0: no bound)."""
        deadline = time.monotonic() + SEARCH_S
        rows: list[Summary] = []
        budget = [MOST_READ]
        for block in self._blocks(before, after):
            reached = block.high + 1
            for row in self._rows(block, limit - len(rows), budget):
                reached = row.id
                rows.append(row)
                if len(rows) == limit:
                    return Found(rows, more=self._has_below(reached, after), before=reached)
            if budget[0] < 0:
                return Found(rows, more=True, before=-budget[0])
            if time.monotonic() > deadline:
                return Found(rows, more=self._has_below(block.low, after), before=block.low)
        return Found(rows)

    def count(self) -> Counted:
        """How many match, counted for a while."""
        if self._matcher is None:
            low, high = self._ends()
            return Counted(high - low + 1 if high else 0)
        deadline = time.monotonic() + COUNT_S
        count = 0
        budget = [MOST_READ]
        for block in self._blocks(0, 0):
            if self._condition.exact:
                sql, parameters = self._sql(block, "count(*)")
                count += self._database.execute(sql, parameters).fetchone()[0]
            else:
                count += sum(1 for _ in self._rows(block, 1 << 62, budget))
            if budget[0] < 0 or (time.monotonic() > deadline and block.low > self._ends()[0]):
                return Counted(count, exact=False)
        return Counted(count)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _ends(self) -> tuple[int, int]:
        low, high = self._database.execute("SELECT (SELECT min(id) FROM flow), (SELECT max(id) FROM flow)").fetchone()
        return low or 0, high or 0

    def _has_below(self, id: int, after: int) -> bool:
        return max(self._ends()[0], after + 1) < id

    def _blocks(self, before: int, after: int) -> Iterator[Block]:
        low, high = self._ends()
        low, high = max(low, after + 1), min(high, before - 1) if before else high
        for block in self._all_blocks(high):
            if block.high >= low and block.low <= high:
                yield block._replace(low=max(block.low, low), high=min(block.high, high))

    def _all_blocks(self, high: int) -> Iterator[Block]:
        """All that there is up to `high`, in blocks that do not overlap."""
        top = high
        if not self._uses_text:
            yield from _in_chunks(Block(high - FIRST_BLOCK + 1, high, uses_indexes=False))
            top = high - FIRST_BLOCK
        indexed = indexed_up_to(self._database)
        yield from _in_chunks(Block(indexed + 1, top))
        for shelf in shelves(self._database):
            if shelf.newest >= self._began_after and shelf.oldest <= self._began_before:
                yield from _in_chunks(Block(shelf.first, min(shelf.last, top), shelf.table))

    # --- rows --------------------------------------------------------------------------------------------------------

    def _sql(self, block: Block, columns: str) -> tuple[str, tuple[Any, ...]]:
        sql = self._condition.sql
        sql = sql.replace(HAS_TEXT, HAS_TEXT.replace("@", block.table) if block.table else _ANY_TEXT)
        hint = "" if block.uses_indexes else " NOT INDEXED"
        numbers = block.low >> schema.CHUNK_BITS, block.low, block.high
        sql = f"SELECT {columns} FROM flow{hint} WHERE id BETWEEN ?2 AND ?3 AND {sql}"
        return sql, (*numbers, *self._condition.parameters)

    def _rows(self, block: Block, limit: int, budget: list[int]) -> Iterator[Summary]:
        """Rows of a block that match, the newest first. When no more candidates may be read, `budget` becomes the
        negative of the number that was reached."""
        sql, parameters = self._sql(block, COLUMNS)
        most = min(limit, 1 << 62) if self._condition.exact else budget[0] + 1
        for columns in self._database.execute(f"{sql} ORDER BY id DESC LIMIT ?", (*parameters, most)):
            row = summary_of(columns)
            if row is None:
                continue
            if not self._condition.exact:
                budget[0] -= 1
                if budget[0] < 0:
                    budget[0] = -row.id - 1
                    return
                if not self._holds(row):
                    continue
            yield row

    def _holds(self, row: Summary) -> bool:
        found = self._database.execute("SELECT record, checksum FROM kept WHERE id = ?", (row.id,)).fetchone()
        stored = found and stored_of(row.id, *found)
        if not stored or self._matcher is None:
            return False
        record = whole(stored, self._contents) if self._with_texts else stored.record
        return self._matcher.matches(subject(record, row, self._now, with_texts=self._with_texts))


def _in_chunks(block: Block) -> Iterator[Block]:
    """The block, cut where chunks begin; the last part first. Nothing, if it has no numbers."""
    high = block.high
    while high >= max(block.low, 0):
        low = max(block.low, high >> schema.CHUNK_BITS << schema.CHUNK_BITS)
        yield block._replace(low=low, high=high)
        high = low - 1


def _bounds(query: Query | None, now: float) -> tuple[float, float]:
    """The first and the last moment at which a record can have begun that the query matches, as far as `age` says."""
    first, last = float("-inf"), float("inf")
    for part in query.parts if isinstance(query, And) else (query,):
        if isinstance(part, Term) and part.word == "age" and len(part.values) == 1 and isinstance(part.values[0], Span):
            span = part.values[0]
            first = max(first, now - span.high) if span.high is not None else first
            last = min(last, now - span.low) if span.low is not None else last
    return first, last

"""What is asked of the caches of a running instance: by the supervisor, and answered by each worker.

    {"do": "list", "pattern": ..., "limit": ...}     {"stored": [...]}
    {"do": "show", "pattern": URL}                   {"stored": [...], "last_miss": {...} or null}
    {"do": "purge", "pattern": ..., "soft": ...}     {"purged": number}

A pattern that is none: {"error": a sentence}. The question follows the word `cache`, which says what it is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from interpose.filters.cache.keeper import MOST_LISTED, Keeper


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """See the module."""

    do: str
    pattern: str = "*"
    limit: int = MOST_LISTED
    soft: bool = False


async def answered(keepers: Iterable[Keeper], question: bytes) -> bytes:
    """(in a worker) What the caches of this process say."""
    asked = msgspec.json.decode(question, type=Question)
    try:
        if asked.do == "purge":
            purged = [await keeper.purge(asked.pattern, soft=asked.soft) for keeper in keepers]
            return msgspec.json.encode({"purged": sum(purged)})
        answer: dict[str, Any] = {"stored": [], "last_miss": None}
        for keeper in keepers:
            rows = await keeper.listed(asked.pattern, asked.limit)
            answer["stored"] += [{"cache": keeper.name, **row} for row in rows]
            miss = keeper.last_miss(asked.pattern) if asked.do == "show" else None
            if miss is not None:
                answer["last_miss"] = _later(answer["last_miss"], miss)
        return msgspec.json.encode(answer)
    except ValueError as error:
        return msgspec.json.encode({"error": str(error)})


class LiveCaches:
    """(in the supervisor) The caches of all workers as one. `ask` has each of them answer a question."""

    def __init__(self, ask: Callable[[bytes], Awaitable[list[bytes]]]) -> None:
        self._ask = ask

    async def stored(self, pattern: str, limit: int) -> dict[str, Any]:
        """What is stored and meant by `pattern`. ValueError when it is no pattern."""
        return _together(await self._answers(Question("list", pattern, limit)), limit)

    async def shown(self, url: str) -> dict[str, Any]:
        """What is stored for a URL, and why the last request for it that missed did."""
        return _together(await self._answers(Question("show", url)), MOST_LISTED)

    async def purge(self, pattern: str, *, soft: bool) -> dict[str, Any]:
        """Forget what is meant, or let it be stale."""
        answers = await self._answers(Question("purge", pattern, soft=soft))
        return {"purged": sum(answer["purged"] for answer in answers)}

    async def _answers(self, question: Question) -> list[dict[str, Any]]:
        answers = [msgspec.json.decode(answer) for answer in await self._ask(b"cache " + msgspec.json.encode(question))]
        for answer in answers:
            if "error" in answer:
                raise ValueError(answer["error"])
        return answers


def _together(answers: Iterable[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """The answers of all workers as one: what several of them have is one row."""
    rows: dict[Any, dict[str, Any]] = {}
    miss: Mapping[str, Any] | None = None
    for answer in answers:
        for row in answer["stored"]:
            key = (row["cache"], row["key"], row["stored_at"], row["bytes"])
            rows.setdefault(key, {**row, "workers": 0})["workers"] += 1
        miss = _later(miss, answer["last_miss"])
    found = sorted(rows.values(), key=lambda row: (row["key"], -row["stored_at"]))
    return {"stored": found[:limit], "last_miss": miss}


def _later(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if one is None or other is None:
        return one or other
    return one if one["seconds_ago"] <= other["seconds_ago"] else other

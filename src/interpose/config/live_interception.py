"""(in the supervisor) What the workers have learned about clients that do not believe our certificates, as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

TOPIC = b"interception"


class LiveInterception:
    """See `console.interception.Learned`. `ask` has each worker answer a question."""

    def __init__(self, ask: Callable[[bytes], Awaitable[list[bytes]]]) -> None:
        self._ask = ask

    async def rows(self) -> list[dict[str, Any]]:
        """Each client and host once, with the longest time that a worker has for it, and how many workers know it."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for answer in await self._answers("list"):
            for row in answer["learned"]:
                known = found.setdefault((row["client"], row["host"]), {**row, "workers": 0})
                known["left_s"] = max(known["left_s"], row["left_s"])
                known["workers"] += 1
        return [found[key] for key in sorted(found)]

    async def forget(self, host: str) -> int:
        """How many clients and hosts were known and are no more."""
        known = await self.rows()
        await self._answers(f"forget {host}")
        return sum([not host or row["host"] == host for row in known])

    async def _answers(self, question: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(answer) for answer in await self._ask(TOPIC + b" " + question.encode())]

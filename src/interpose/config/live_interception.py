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
        """Each client and host once, with the longest time that a worker has for it."""
        longest: dict[tuple[str, str], dict[str, Any]] = {}
        for answer in await self._answers("list"):
            for row in answer["learned"]:
                key = (row["client"], row["host"])
                if key not in longest or row["left_s"] > longest[key]["left_s"]:
                    longest[key] = row
        return [longest[key] for key in sorted(longest)]

    async def forget(self, host: str) -> int:
        """The number of entries that were there, of all workers together."""
        return sum([answer["forgotten"] for answer in await self._answers(f"forget {host}")])

    async def _answers(self, question: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(answer) for answer in await self._ask(TOPIC + b" " + question.encode())]

"""(in the supervisor) The scripts of a running instance: what they have, and what went wrong in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

TOPIC = b"scripts"
"""What workers are asked about, see `config.scripts.told`."""


class LiveScripts:
    """The scripts of all workers as one. `ask` has each of them answer a question."""

    def __init__(self, ask: Callable[[bytes], Awaitable[list[bytes]]]) -> None:
        self._ask = ask

    async def rows(self) -> list[dict[str, Any]]:
        """See `console.services.Scripts`."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for answer in await self._ask(TOPIC + b" "):
            for row in msgspec.json.decode(answer):
                found.setdefault(row["file"], []).append(row)
        return [_as_one(file, rows) for file, rows in found.items()]


def _as_one(file: str, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What several workers, or several tables about the same file, say of it."""
    troubles: dict[tuple[Any, ...], dict[str, Any]] = {}
    for trouble in sorted((one for row in rows for one in row["troubles"]), key=lambda one: one["at"]):
        key = (trouble["function"], trouble["file"], trouble["line"], trouble["error"])
        count = troubles.pop(key, {}).get("count", 0)
        troubles[key] = {**trouble, "count": trouble["count"] + count}
    return {
        "file": file,
        "functions": rows[-1]["functions"],
        "errors": sum(row["errors"] for row in rows),
        "broken": next((row["broken"] for row in rows if row["broken"]), ""),
        "off": sorted({name for row in rows for name in row["off"]}),
        "troubles": list(reversed(troubles.values())),
    }

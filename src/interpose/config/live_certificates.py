"""The certificates of a running instance: what its workers serve, and what is ordered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from interpose.config.acme import Ordered
from interpose.config.certificates import TOPIC, CertificateRow

Ask = Callable[[bytes], Awaitable[list[bytes]]]
"""`ask_workers` of the supervisor."""


class LiveCertificates:
    """See the module. `ordered` gives how the ordering of each host stands."""

    def __init__(self, ask: Ask, ordered: Callable[[], Iterable[Ordered]] = tuple) -> None:
        self._ask = ask
        self._ordered = ordered

    async def rows(self) -> list[dict[str, Any]]:
        """One for each certificate of each listener."""
        answers = await self._ask(TOPIC + b" ")
        return together([msgspec.json.decode(answer, type=list[CertificateRow]) for answer in answers], self._ordered())


def together(answers: Iterable[Iterable[CertificateRow]], ordered: Iterable[Ordered]) -> list[dict[str, Any]]:
    """What several workers say of the same certificates, as one: the earliest end, a problem where any has one."""
    found: dict[tuple[str, str], list[CertificateRow]] = {}
    for rows in answers:
        for row in rows:
            found.setdefault((row.listener, row.certificate), []).append(row)
    by_host = {one.host: one for one in ordered}
    told = []
    for (listener, certificate), same in found.items():
        expires = min(row.expires for row in same)
        order = by_host.get(same[0].names[0]) if len(same[0].names) == 1 else None
        problem = next((row.problem for row in same if row.problem), "")
        told.append(
            {
                "listener": listener,
                "certificate": certificate,
                "names": list(same[0].names),
                "expires": datetime.fromtimestamp(expires, UTC).isoformat() if expires else None,
                "problem": (order.problem if order is not None else "") or problem,
                "ordered_next": None if order is None else order.due.isoformat(),
            }
        )
    return told

"""What was counted of exchanges, by status and by time: numbers small enough to be sent every second.

A worker counts in `Count`s, which cost little to change, and sends those that have changed as `Tally`s. A tally holds
all since the worker began, so that one that is lost is made good by the next; who gets them adds up those of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of times that are counted apart; what took longer than the last is counted together."""

STATUSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""The classes of statuses; the first is for what had none."""

What = Literal["route", "upstream", "rule"]
"""Whether exchanges are counted (names: listener, route), tries upstream (upstream, server) or hits of rules (what has
the rules, rule); of those there is nothing but their number, the first of `statuses`."""

Key = tuple[What, tuple[str, str]]


class Tally(msgspec.Struct, array_like=True):
    """Counts of one route or server: one number for each of STATUSES, and one for each of BOUNDS_S and one more.

    `seconds` is the sum of the times, `content_bytes` the content that clients were sent.
    """

    what: What
    names: tuple[str, str]
    statuses: list[int]
    times: list[int]
    seconds: float = 0.0
    content_bytes: int = 0

    @property
    def key(self) -> Key:
        """What it counts."""
        return self.what, self.names


class Tallies:
    """Sums of tallies, one for each key."""

    def __init__(self, tallies: Iterable[Tally] = ()) -> None:
        self._sums: dict[Key, Tally] = {}
        self.add(tallies)

    def add(self, tallies: Iterable[Tally]) -> None:
        """Count these too; they stay as they are."""
        for more in tallies:
            before = self._sums.get(more.key)
            if before is None:
                self._sums[more.key] = more
            else:
                self._sums[more.key] = Tally(
                    more.what,
                    more.names,
                    [a + b for a, b in zip(before.statuses, more.statuses, strict=True)],
                    [a + b for a, b in zip(before.times, more.times, strict=True)],
                    before.seconds + more.seconds,
                    before.content_bytes + more.content_bytes,
                )

    def replace(self, tallies: Iterable[Tally]) -> None:
        """Have these in the place of earlier ones of the same keys."""
        for newer in tallies:
            self._sums[newer.key] = newer

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._sums.values())

    def __len__(self) -> int:
        return len(self._sums)

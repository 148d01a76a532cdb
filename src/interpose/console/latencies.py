"""How long answers took: counts in steps that grow by a tenth, so that any percentile is right to five in a hundred."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

LEAST_MS: Final = 0.05
GROWTH: Final = 1.1
STEPS: Final = 200
"""Up to some 2 hours; what took longer is counted there."""

_PER_STEP = 1 / math.log(GROWTH)


class Latencies:
    """Counts of durations. Its size never changes."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * STEPS
        self.total = 0

    def add(self, ms: float) -> None:
        """Count one."""
        step = 0 if ms <= LEAST_MS else int(math.log(ms / LEAST_MS) * _PER_STEP) + 1
        self.counts[min(step, STEPS - 1)] += 1
        self.total += 1


def percentiles(of: Iterable[Latencies], parts: Sequence[float]) -> list[float] | None:
    """For each part (0.95) the milliseconds within which so many were; None when there were none at all."""
    counts = [0] * STEPS
    total = 0
    for latencies in of:
        if latencies.total:
            total += latencies.total
            counts = [a + b for a, b in zip(counts, latencies.counts, strict=True)]
    if not total:
        return None
    found: list[float] = []
    reached, step = counts[0], 0
    for part in parts:
        while reached < math.ceil(total * part):
            step += 1
            reached += counts[step]
        found.append(round(LEAST_MS * GROWTH ** (step - 0.5 if step else 0), 3))
    return found

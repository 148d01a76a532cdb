"""Exchanges of a variant, counted: light enough for every worker."""

from __future__ import annotations

from typing import Literal

import msgspec

from interpose.core.tally import BOUNDS_S

Kind = Literal["conversion", "sum", "mean"]
"""What a unit's value for a goal is."""


class Requests(msgspec.Struct, array_like=True):
    """Exchanges of one variant. `times` has one number for each of `tally.BOUNDS_S` and one more."""

    count: int = 0
    errors: int = 0
    times: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))

    def add(self, more: Requests) -> None:
        """Count these too."""
        self.count += more.count
        self.errors += more.errors
        self.times = [a + b for a, b in zip(self.times, more.times, strict=True)]

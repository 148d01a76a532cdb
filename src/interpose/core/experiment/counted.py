"""What was counted of an experiment, added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from interpose.core.experiment.requests import Kind as Kind
from interpose.core.experiment.requests import Requests as Requests
from interpose.core.experiment.sample import Sample
from interpose.core.tally import BOUNDS_S


class Reached(msgspec.Struct):
    """A goal, by the units of one variant: how many reached it, and the sums of their values and of the squares."""

    units: int = 0
    total: float = 0.0
    squares: float = 0.0


class Counted(msgspec.Struct):
    """All that was counted of one variant."""

    units: int = 0
    requests: Requests = msgspec.field(default_factory=Requests)
    goals: dict[str, Reached] = {}


class Books(msgspec.Struct):
    """All that was counted of one experiment: by the name of the variant, and of the holdout.

    `epochs` are the times in which the shares were the same: units and share by the name of the variant. `began` is
    wall clock, 0 before there was anything.
    """

    variants: Mapping[str, Counted] = {}
    epochs: Sequence[Mapping[str, tuple[int, float]]] = ()
    held_out: int = 0
    began: float = 0.0
    turned_away: int = 0
    """Units that were not counted, because there were too many."""


def sample_of(counted: Counted, goal: str, kind: Kind) -> Sample:
    """The values of a goal: of all units that were exposed, but for a mean of those alone that have one."""
    reached = counted.goals.get(goal) or Reached()
    if kind == "conversion":
        return Sample.of_share(counted.units, reached.units)
    units = counted.units if kind == "sum" else reached.units
    return Sample(units, reached.total, reached.squares, is_share=False)


def quantile_s(requests: Requests, quantile: float) -> float | None:
    """The time in which this part of the exchanges was over, straight lines between the bounds; None where that is
    beyond the last bound, or nothing was counted."""
    wanted = quantile * requests.count
    passed, low = 0, 0.0
    for bound, count in zip(BOUNDS_S, requests.times, strict=False):
        if count and passed + count >= wanted:
            return low + (bound - low) * (wanted - passed) / count
        passed += count
        low = bound
    return None


def slower_than(requests: Requests, bound_s: float) -> int:
    """How many took longer than one of the bounds."""
    return sum(requests.times[BOUNDS_S.index(bound_s) + 1 :])

"""How what is known of an experiment came to be: its estimates at some times of its life, evenly spread over it.

At first a point is kept a minute. Whenever there would be more than MOST_POINTS, the time between them doubles, and
every other one goes: so a curve has between half of them and all, however long it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from interpose.core.experiment.counted import Kind
from interpose.core.experiment.report import Report

LEAST_S: Final = 60.0
MOST_POINTS: Final = 300
EARLY_S: Final = 6.0
"""A step may be so much shorter: nobody looks at the clock exactly when it is over."""


class Point(msgspec.Struct, array_like=True, frozen=True):
    """A variant by one goal: `difference`, to the control, with the interval that holds for all looks together; None
    while there were too few units."""

    units: int
    mean: float
    difference: float
    low: float | None
    high: float | None


Points = dict[str, dict[str, Point]]
"""Of one time: by goal, then by variant."""


class VariantTrend(msgspec.Struct, kw_only=True):
    """One value for each time; None where the variant was not there."""

    variant: str
    units: list[int | None]
    mean: list[float | None]
    difference: list[float | None]
    low: list[float | None]
    high: list[float | None]


class GoalTrend(msgspec.Struct, kw_only=True):
    """One goal; of the variants the control comes first."""

    goal: str
    kind: Kind
    variants: list[VariantTrend]


class Trend(msgspec.Struct, kw_only=True):
    """All of it. `at` are seconds since 1970."""

    at: list[float]
    goals: list[GoalTrend]


def points_of(report: Report) -> Points:
    """What a report says now."""
    return {
        goal.goal: {
            one.variant: Point(one.units, one.mean, one.difference, one.difference_low, one.difference_high)
            for one in goal.estimates
        }
        for goal in report.goals
    }


def step_s(life_s: float) -> float:
    """The time between points in a life of so long."""
    step = LEAST_S
    while life_s > step * MOST_POINTS:
        step *= 2
    return step


def is_due(first: float, last: float, now: float) -> bool:
    """Whether another point is to be kept, after those from `first` to `last`."""
    return now - last >= step_s(now - first) - EARLY_S


def superfluous(times: Sequence[float]) -> list[float]:
    """Those of the times of points that are to go, since their life has become longer."""
    if not times:
        return []
    least = step_s(times[-1] - times[0]) - EARLY_S
    kept, gone = times[0], []
    for at in times[1:]:
        if at - kept < least:
            gone.append(at)
        else:
            kept = at
    return gone


def trend_of(kept: Sequence[tuple[float, Points]], report: Report, now: float) -> Trend:
    """What was kept, and what is so now, of the goals and variants that there are now."""
    points = [*kept, (now, points_of(report))]
    return Trend(
        at=[at for at, _ in points],
        goals=[
            GoalTrend(
                goal=goal.goal,
                kind=goal.kind,
                variants=[
                    _of_variant(one.variant, [known.get(goal.goal, {}).get(one.variant) for _, known in points])
                    for one in goal.estimates
                ],
            )
            for goal in report.goals
        ],
    )


def _of_variant(name: str, points: Sequence[Point | None]) -> VariantTrend:
    return VariantTrend(
        variant=name,
        units=[None if one is None else one.units for one in points],
        mean=[None if one is None else one.mean for one in points],
        difference=[None if one is None else one.difference for one in points],
        low=[None if one is None else one.low for one in points],
        high=[None if one is None else one.high for one in points],
    )

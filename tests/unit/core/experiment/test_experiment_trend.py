"""How what is known came to be: points spread evenly over an experiment's life, whatever its length."""

from __future__ import annotations

import itertools
import random

import pytest

from interpose.core.experiment.counted import Books, Counted, Reached
from interpose.core.experiment.design import Design, Factor, Level
from interpose.core.experiment.policy import Decision
from interpose.core.experiment.report import Goal, Report, report
from interpose.core.experiment.trend import LEAST_S, MOST_POINTS, Point, is_due, points_of, superfluous, trend_of

BLUE, GREEN = "button=blue", "button=green"


def known(blue: int, green: int, of: int = 2_000, goal: str = "order") -> Report:
    """A report when so many of the units of each variant have come to the goal."""
    design = Design("checkout", "checkout", (Factor("button", (Level("blue"), Level("green"))),))
    counted = {
        name: Counted(units=of, goals={goal: Reached(reached, reached, reached)})
        for name, reached in ((BLUE, blue), (GREEN, green))
    }
    return report(design, [Goal(goal)], Decision(), Books(variants=counted, epochs=[{}]))


def test_a_point_says_what_the_report_says() -> None:
    found = known(200, 260)
    (blue, green) = found.goals[0].estimates
    assert points_of(found) == {
        "order": {
            BLUE: Point(2_000, blue.mean, 0.0, None, None),
            GREEN: Point(2_000, green.mean, green.difference, green.difference_low, green.difference_high),
        }
    }
    assert green.difference_low is not None
    assert green.difference_low < green.difference < (green.difference_high or 0)


def test_a_trend_ends_now_and_has_gaps_where_a_variant_or_goal_was_not_there() -> None:
    before = points_of(known(100, 110))
    lacking = {"order": {BLUE: before["order"][BLUE]}}
    trend = trend_of([(10.0, {}), (20.0, lacking), (30.0, before)], known(200, 260), 35.0)
    assert trend.at == [10.0, 20.0, 30.0, 35.0]
    (goal,) = trend.goals
    blue, green = goal.variants
    assert (goal.goal, goal.kind, blue.variant, green.variant) == ("order", "conversion", BLUE, GREEN)
    assert blue.units == [None, 2_000, 2_000, 2_000]
    assert green.units == [None, None, 2_000, 2_000]
    assert green.mean[:2] == [None, None]
    assert green.mean[3] == pytest.approx(known(200, 260).goals[0].estimates[1].mean)


@pytest.mark.parametrize("days", [0.1, 1, 30, 400])
def test_points_are_spread_evenly_over_any_life(days: float) -> None:
    chance = random.Random(5)
    kept, now = [0.0], 0.0
    while now < days * 86_400:
        now += LEAST_S + chance.random()
        if is_due(kept[0], kept[-1], now):
            kept.append(now)
            if len(kept) > MOST_POINTS:
                gone = set(superfluous(kept))
                kept = [at for at in kept if at not in gone]
    gaps = [later - sooner for sooner, later in itertools.pairwise(kept)]
    assert min(MOST_POINTS // 2 - 1, days * 86_400 // (LEAST_S + 1)) <= len(kept) <= MOST_POINTS + 1
    assert max(gaps) <= 2.5 * min(gaps)

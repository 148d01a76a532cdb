"""A thousand experiments between equals, looked at again and again: how often a winner is named that is none."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.support.experiment_runs import Run

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

RUNS = 1_000
ALLOWED = 60
"""Of 1,000 at 5 %: mean 50, and a standard deviation of 6.9 above it is luck that a test may be forgiven."""


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("run", [Run(4_000, 400), Run(4_000, 40), Run(1_000, 100, alpha=0.01)])
def test_of_a_thousand_between_equals_no_more_end_than_the_level_says(run: Run, rate: float) -> None:
    chance = random.Random(f"{run} {rate}")
    wrong = sum(run.ends(chance, rate, rate, run.sequentially) > 0 for _ in range(RUNS))
    assert wrong <= ALLOWED * run.alpha / 0.05, f"{wrong} of {RUNS}"


@pytest.mark.parametrize(
    "draw",
    [lambda chance: chance.gauss(10, 3), lambda chance: chance.expovariate(0.1), lambda chance: chance.paretovariate(3),
     lambda chance: chance.expovariate(0.02) if chance.random() < 0.1 else 0.0],
    ids=["normal", "exponential", "heavy", "mostly nothing"],
)  # fmt: skip
def test_of_a_thousand_between_equals_with_values_neither(draw: Callable[[random.Random], float]) -> None:
    run, chance = Run(2_000, 100), random.Random(21)
    wrong = sum(run.values_end(chance, draw, run.sequentially) > 0 for _ in range(RUNS))
    assert wrong <= ALLOWED, f"{wrong} of {RUNS}"


def test_a_difference_of_a_fifth_is_found_and_most_often_before_the_planned_end() -> None:
    run, chance = Run(10_000, 200), random.Random(22)
    ends = [run.ends(chance, 0.10, 0.12, run.sequentially) for _ in range(200)]
    assert sum(end > 0 for end in ends) >= 150
    assert sorted(end or 10_000 for end in ends)[100] < 9_000

"""Simulated experiments that somebody looks at again and again, ending one when there seems to be a winner."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from interpose.core.experiment.distributions import STANDARD
from interpose.core.experiment.sample import Sample
from interpose.core.experiment.sequential import difference_sequence, is_ripe

Sees = Callable[[Sample, Sample], bool]
"""Whether somebody who sees these (a variant, the control) says that they differ."""


class Run(NamedTuple):
    """How many units of each variant there are, how many looks, and what the experiment was planned for."""

    units: int = 2_000
    looks: int = 100
    alpha: float = 0.05

    def sequentially(self, sample: Sample, control: Sample) -> bool:
        """By the confidence sequence."""
        sure = difference_sequence(sample, control, alpha=self.alpha, planned_units=2 * self.units)
        return is_ripe(sample, control) and (sure.low > 0 or sure.high < 0)

    def naively(self, sample: Sample, control: Sample) -> bool:
        """By the interval of who looks once."""
        error = (sample.variance_of_mean + control.variance_of_mean) ** 0.5
        z = STANDARD.inv_cdf(1 - self.alpha / 2)
        return is_ripe(sample, control) and abs(sample.mean - control.mean) > z * error

    def ends(self, chance: random.Random, control: float, variant: float, sees: Sees) -> int:
        """After how many units of each a difference between these rates is seen; 0: it is not."""
        step = self.units // self.looks
        converted = [0, 0]
        for units in range(step, self.units + 1, step):
            for arm, rate in enumerate((control, variant)):
                converted[arm] += sum([chance.random() < rate for _ in range(step)])
            if sees(Sample.of_share(units, converted[1]), Sample.of_share(units, converted[0])):
                return units
        return 0

    def values_end(self, chance: random.Random, draw: Callable[[random.Random], float], sees: Sees) -> int:
        """The same for two variants whose values `draw` gives, both alike."""
        step = self.units // self.looks
        sums = [[0.0, 0.0], [0.0, 0.0]]
        for units in range(step, self.units + 1, step):
            for total in sums:
                for value in [draw(chance) for _ in range(step)]:
                    total[0] += value
                    total[1] += value * value
            one, other = (Sample(units, total, squares, is_share=False) for total, squares in sums)
            if sees(one, other):
                return units
        return 0

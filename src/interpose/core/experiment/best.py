"""How probable it is, of each variant, that it is the best: an opinion to weigh, where `sequential` gives a verdict.

Shares have a Beta posterior from a uniform prior, other means a normal one. The probability that X_i is above all
others is the integral of its density times the others' distribution functions, taken by Simpson's rule on a grid around
X_i: the same counts give the same number each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, lgamma, log, sqrt
from statistics import NormalDist

from interpose.core.experiment.distributions import beta_below
from interpose.core.experiment.sample import Sample

STEPS = 128
WIDTH = 8.0
"""How far from the middle the grid goes, in standard deviations."""


class _Posterior:
    """What is believed of one mean: density and distribution at the points of a grid of its own, and (`below`) the
    distribution anywhere, by cubics that have both right at the points (to about a millionth)."""

    __slots__ = ("_belows", "_step", "densities", "high", "low")

    def __init__(
        self, low: float, high: float, density: Callable[[float], float], below: Callable[[float], float]
    ) -> None:
        self.low = low
        self.high = high
        self._step = (high - low) / STEPS
        points = [low + n * self._step for n in range(STEPS)] + [high]
        self.densities = [density(x) for x in points]
        self._belows = [below(x) for x in points]

    def below(self, x: float) -> float:
        """The probability of what is less than `x`."""
        if x <= self.low:
            return 0.0
        if x >= self.high:
            return 1.0
        step = self._step
        place, t = divmod((x - self.low) / step, 1.0)
        n = min(place.__int__(), STEPS - 1)
        one, other = self._belows[n], self._belows[n + 1]
        slope, other_slope = self.densities[n] * step, self.densities[n + 1] * step
        square = t * t
        cube = square * t
        return (
            (2 * cube - 3 * square + 1) * one
            + (cube - 2 * square + t) * slope
            + (3 * square - 2 * cube) * other
            + (cube - square) * other_slope
        )


def probabilities_to_be_best(samples: Sequence[Sample], *, less_is_better: bool = False) -> list[float]:
    """For each sample the probability that its true mean is the greatest (or the least)."""
    if len(samples) == 1:
        return [1.0]
    posteriors = [_posterior(sample) for sample in samples]
    raw = [_is_best(posteriors, place, less_is_better=less_is_better) for place in range(len(posteriors))]
    total = sum(raw)
    return [one / total for one in raw] if total else [1 / len(raw)] * len(raw)


def _is_best(posteriors: Sequence[_Posterior], place: int, *, less_is_better: bool) -> float:
    own = posteriors[place]
    others = [posterior.below for number, posterior in enumerate(posteriors) if number != place]
    step = (own.high - own.low) / STEPS
    total = 0.0
    for n, value in enumerate(own.densities):
        x = own.low + n * step
        for below in others:
            if not value:
                break
            value *= 1 - below(x) if less_is_better else below(x)
        total += value * (1 if n in (0, STEPS) else 4 if n % 2 else 2)
    return total * step / 3


def _posterior(sample: Sample) -> _Posterior:
    if sample.is_share:
        return _beta(sample.total + 1, sample.units - sample.total + 1)
    spread = sqrt(sample.variance_of_mean)
    if sample.units < 2 or spread == 0:  # nothing is known of it
        spread = max(abs(sample.mean), 1.0) * 1e3
    normal = NormalDist(sample.mean, spread)
    return _Posterior(sample.mean - WIDTH * spread, sample.mean + WIDTH * spread, normal.pdf, normal.cdf)


def _beta(a: float, b: float) -> _Posterior:
    middle = a / (a + b)
    spread = sqrt(middle * (1 - middle) / (a + b + 1))
    scale = lgamma(a + b) - lgamma(a) - lgamma(b)

    def density(x: float) -> float:
        if 0 < x < 1:
            return exp(scale + (a - 1) * log(x) + (b - 1) * log(1 - x))
        return exp(scale) if (x <= 0 and a == 1) or (x >= 1 and b == 1) else 0.0

    return _Posterior(
        max(0.0, middle - WIDTH * spread), min(1.0, middle + WIDTH * spread), density, lambda x: beta_below(a, b, x)
    )

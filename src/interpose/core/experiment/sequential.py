"""A test that may be looked at as often as one likes, and ended when one likes.

An interval that is right in 95 of 100 cases for who looks once is wrong far more often for who looks every day and
stops when it excludes zero. What is given here are confidence sequences: intervals that hold for all looks together,
with the stated probability.

Method: the normal mixture of H. Robbins (1970), as the mixture sequential probability ratio test of R. Johari,
P. Koomen, L. Pekelis and D. Walsh ("Always valid inference", 2015, 2022) uses it, with estimated variances; that such
intervals are right in the limit, whatever the distribution, is shown by I. Waudby-Smith, D. Arbour, R. Sinha,
E. Kennedy and A. Ramdas ("Time-uniform central limit theory and asymptotic confidence sequences", 2021, 2024). With V
the variance of the estimated difference and r = c n / n*,

    half width = sqrt(V (1 + r) / r (2 ln(1 / alpha) + ln(1 + r)))

which is narrowest near n = n*, the number of units that was planned, for c = 2 ln(1 / alpha) + ln(2 ln(1 / alpha) + 1)
(S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, 2021). The price is a sequence about half as wide again as the interval
of who looks once.

In the limit means: not after a handful of units. `is_ripe` says when there are enough.
"""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt

from interpose.core.experiment.sample import Interval, Sample

LEAST_UNITS = 100
"""Of each variant, before anything is said at all."""
LEAST_EACH = 10
"""Of units that converted, and of units that did not, in the two variants together."""


def is_ripe(sample: Sample, control: Sample, least_units: int = LEAST_UNITS) -> bool:
    """Whether there are enough units for a mean to be nearly normal."""
    if min(sample.units, control.units) < max(least_units, LEAST_UNITS):
        return False
    if not sample.is_share:
        return sample.variance > 0 and control.variance > 0
    units, converted = sample.units + control.units, sample.total + control.total
    return converted >= LEAST_EACH and units - converted >= LEAST_EACH


def difference_sequence(sample: Sample, control: Sample, *, alpha: float, planned_units: float) -> Interval:
    """Where the true difference to the control is, with probability 1 - `alpha` for all looks together.
    `planned_units`: of both together."""
    half = half_width(
        _variance(sample, control), sample.units + control.units, alpha=alpha, planned_units=planned_units
    )
    difference = sample.mean - control.mean
    return Interval(difference - half, difference + half)


def always_valid_p(sample: Sample, control: Sample, *, alpha: float, planned_units: float) -> float:
    """The least level at which the sequence for it excludes zero now (the width being tuned for `alpha`)."""
    variance = _variance(sample, control)
    ratio = _ratio(sample.units + control.units, alpha, planned_units)
    if not ratio or not variance:
        return 1.0
    square = (sample.mean - control.mean) ** 2 / variance
    return min(1.0, exp(log1p(ratio) / 2 - ratio * square / (2 * (1 + ratio))))


def half_width(variance: float, units: int, *, alpha: float, planned_units: float) -> float:
    """How far the truth may be from an estimate of this variance, made of so many units; infinite of none."""
    ratio = _ratio(units, alpha, planned_units)
    if not ratio or not variance:
        return inf
    return sqrt(variance * (1 + ratio) / ratio * (2 * log(1 / alpha) + log1p(ratio)))


def _ratio(units: int, alpha: float, planned_units: float) -> float:
    weight = 2 * log(1 / alpha)
    return (weight + log1p(weight)) * units / planned_units


def _variance(sample: Sample, control: Sample) -> float:
    """The variance of the estimated difference. Where one of two shares has seen nothing yet, it is taken to be like
    the other one: no variance at all would be certainty."""
    if not sample.is_share:
        return sample.variance_of_mean + control.variance_of_mean
    pooled = (sample.total + control.total + 1) / (sample.units + control.units + 2)
    least = pooled * (1 - pooled) / 4
    return sum(max(one.variance, least) / max(one.units, 1) for one in (sample, control))

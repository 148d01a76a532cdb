"""What was counted of one variant for one goal, and how sure its mean is."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from interpose.core.experiment.distributions import STANDARD, student_quantile


class Interval(NamedTuple):
    """From where to where."""

    low: float
    high: float


class Sample(NamedTuple):
    """`units` values with their sum and the sum of their squares. `is_share`: each of them is 0 or 1."""

    units: int
    total: float
    squares: float
    is_share: bool = True

    @classmethod
    def of_share(cls, units: int, converted: int) -> Sample:
        """So many units, of which so many converted."""
        return cls(units, converted, converted)

    @property
    def mean(self) -> float:
        """The mean, 0 of nothing."""
        return self.total / self.units if self.units else 0.0

    @property
    def variance(self) -> float:
        """The variance of the values, estimated without bias."""
        if self.units < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.total / self.units) / (self.units - 1))

    @property
    def variance_of_mean(self) -> float:
        """The square of the mean's standard error."""
        return self.variance / self.units if self.units else 0.0


def interval_of(sample: Sample, confidence: float = 0.95) -> Interval:
    """Where the true mean is: for a share E. B. Wilson's score interval (1927), else Student's."""
    n = sample.units
    if sample.is_share:
        if n == 0:
            return Interval(0.0, 1.0)
        z = STANDARD.inv_cdf((1 + confidence) / 2)
        share, part = sample.mean, z * z / n
        middle = (share + part / 2) / (1 + part)
        half = z * sqrt(share * (1 - share) / n + part / (4 * n)) / (1 + part)
        return Interval(max(0.0, middle - half), min(1.0, middle + half))
    if n < 2:
        return Interval(sample.mean, sample.mean)
    half = student_quantile((1 + confidence) / 2, n - 1) * sqrt(sample.variance_of_mean)
    return Interval(sample.mean - half, sample.mean + half)


def difference_interval(sample: Sample, control: Sample, confidence: float = 0.95) -> Interval:
    """Where the true difference to the control is, for somebody who looks once: for shares R. G. Newcombe's interval
    (1998, his tenth), which is made of two of Wilson's; else B. L. Welch's (1947)."""
    difference = sample.mean - control.mean
    if sample.is_share:
        one, other = interval_of(sample, confidence), interval_of(control, confidence)
        low = sqrt((sample.mean - one.low) ** 2 + (other.high - control.mean) ** 2)
        high = sqrt((one.high - sample.mean) ** 2 + (control.mean - other.low) ** 2)
        return Interval(difference - low, difference + high)
    if sample.units < 2 or control.units < 2:
        return Interval(difference, difference)
    half = student_quantile((1 + confidence) / 2, welch_degrees(sample, control)) * sqrt(
        sample.variance_of_mean + control.variance_of_mean
    )
    return Interval(difference - half, difference + half)


def welch_degrees(one: Sample, other: Sample) -> float:
    """The degrees of freedom of the difference of two means whose variances differ (Welch and Satterthwaite)."""
    a, b = one.variance_of_mean, other.variance_of_mean
    if a + b == 0:
        return one.units + other.units - 2.0
    return (a + b) ** 2 / (a * a / (one.units - 1) + b * b / (other.units - 1))

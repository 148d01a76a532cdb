"""Distributions that the standard library has not: chi-square, beta and Student's t, to about twelve digits.

Continued fractions are evaluated by Lentz's method as modified by Thompson and Barnett (1986).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, inf, lgamma, log
from statistics import NormalDist
from typing import Final

STANDARD: Final = NormalDist()

_LEAST: Final = 1e-300
_CLOSE: Final = 1e-14
_MOST_TERMS: Final = 10_000


def chi_square_tail(value: float, degrees: int) -> float:
    """The probability of a chi-square of `degrees` degrees of freedom, one at least, above `value`."""
    return 1.0 if value <= 0 else gamma_tail(degrees / 2, value / 2)


def gamma_tail(shape: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(shape, x), for x > 0 (DLMF 8.2.4)."""
    scale = exp(shape * log(x) - x - lgamma(shape))
    if x < shape + 1:  # the series of P converges quickly (DLMF 8.7.1)
        term = total = 1 / shape
        for n in range(1, _MOST_TERMS):
            term *= x / (shape + n)
            total += term
            if term < total * _CLOSE:
                break
        return max(0.0, 1 - scale * total)
    # DLMF 8.9.2, in its even form: 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- ...
    start = x + 1 - shape
    return scale / _fraction(start, ((-n * (n - shape), start + 2 * n) for n in range(1, _MOST_TERMS)))


def beta_below(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b): the probability of a Beta(a, b) up to x (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, the other tail's converges quickly
        return 1 - beta_below(b, a, 1 - x)
    scale = exp(a * log(x) + b * log(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    return scale / _fraction(1.0, _beta_terms(a, b, x))


def _beta_terms(a: float, b: float, x: float) -> Iterable[tuple[float, float]]:
    for m in range(_MOST_TERMS):
        if m:
            yield m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), 1.0
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0


def student_below(value: float, degrees: float) -> float:
    """The probability of Student's t of `degrees` degrees of freedom up to `value`."""
    tail = beta_below(degrees / 2, 0.5, degrees / (degrees + value * value)) / 2
    return tail if value < 0 else 1 - tail


def student_quantile(probability: float, degrees: float) -> float:
    """The value below which Student's t is with `probability`, of one half at least; the normal's where the degrees are
    so many that nobody could tell."""
    if degrees > 1e6:
        return STANDARD.inv_cdf(probability)
    low, high = 0.0, 1.0
    while student_below(high, degrees) < probability:
        low, high = high, high * 2
        if high > 1e12:
            return inf
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if student_below(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def _fraction(first: float, terms: Iterable[tuple[float, float]]) -> float:
    """The continued fraction first + a1/(b1 + a2/(b2 + ...)) of `terms` (a, b)."""
    value = first or _LEAST
    c, d = value, 0.0
    for a, b in terms:
        d = b + a * d or _LEAST
        c = b + a / c or _LEAST
        d = 1 / d
        step = c * d
        value *= step
        if abs(step - 1) < _CLOSE:
            break
    return value

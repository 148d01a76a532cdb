"""What each factor does by itself, and what two do together that neither does alone.

The main effect of a level is the mean difference to the factor's first level, over all combinations of the other
factors in which both were tried, each counted alike. An interaction is the mean difference of such differences. Each is
tested by its normal approximation for who looks once, and S. Holm's procedure (1979) keeps the probability of any wrong
one among all of them within the level: `p` is so adjusted. In a fraction of the combinations an effect may have no pair
to be read from; it is left out then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from math import sqrt
from typing import NamedTuple

from interpose.core.experiment.design import Factor, Levels
from interpose.core.experiment.distributions import STANDARD
from interpose.core.experiment.sample import Sample

_SIGNED = ((1, 1), (0, -1))


class Effect(NamedTuple):
    """`of` are the levels that are compared with the first ones of their factors: one of a main effect, two of an
    interaction. `p` is adjusted for how many effects were looked at."""

    of: Levels
    estimate: float
    error: float
    p: float


def effects(factors: Sequence[Factor], samples: Mapping[Levels, Sample]) -> list[Effect]:
    """All main effects and all interactions of two factors that can be read from the samples, by variant."""
    enough = {levels: sample for levels, sample in samples.items() if sample.units >= 2}
    found = [
        effect
        for count in (1, 2)
        for chosen in combinations(range(len(factors)), count)
        for numbers in product(*(range(1, len(factors[place].levels)) for place in chosen))
        if (effect := _effect(factors, chosen, numbers, enough)) is not None
    ]
    return [effect._replace(p=p) for effect, p in zip(found, holm([effect.p for effect in found]), strict=True)]


def _effect(
    factors: Sequence[Factor], chosen: Sequence[int], numbers: Sequence[int], samples: Mapping[Levels, Sample]
) -> Effect | None:
    total = variance = 0.0
    pairs = 0
    for rest in _others(factors, chosen):
        parts: list[tuple[int, Sample]] = []
        for signs in product(_SIGNED, repeat=len(chosen)):
            levels = dict(rest)
            sign = 1
            for place, number, (is_other, factor_sign) in zip(chosen, numbers, signs, strict=True):
                levels[place] = factors[place].levels[number if is_other else 0].name
                sign *= factor_sign
            sample = samples.get(tuple((factor.name, levels[place]) for place, factor in enumerate(factors)))
            if sample is None:
                break
            parts.append((sign, sample))
        else:
            total += sum(sign * sample.mean for sign, sample in parts)
            variance += sum(sample.variance_of_mean for _, sample in parts)
            pairs += 1
    if not pairs:
        return None
    estimate, error = total / pairs, sqrt(variance) / pairs
    p = 2 * STANDARD.cdf(-abs(estimate) / error) if error else 1.0
    of = tuple(
        (factors[place].name, factors[place].levels[number].name) for place, number in zip(chosen, numbers, strict=True)
    )
    return Effect(of, estimate, error, p)


def _others(factors: Sequence[Factor], chosen: Sequence[int]) -> Iterator[tuple[tuple[int, str], ...]]:
    """Every combination of the levels of the factors that are not chosen."""
    places = [place for place in range(len(factors)) if place not in chosen]
    for levels in product(*([level.name for level in factors[place].levels] for place in places)):
        yield tuple(zip(places, levels, strict=True))


def holm(ps: Sequence[float]) -> list[float]:
    """The probabilities, each adjusted for the number of them, in the same order."""
    adjusted = [0.0] * len(ps)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        most = max(most, min(1.0, ps[place] * (len(ps) - rank)))
        adjusted[place] = most
    return adjusted

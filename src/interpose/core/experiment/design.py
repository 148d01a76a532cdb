"""What an experiment tries: factors, their levels, and the variants that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import NamedTuple

Levels = tuple[tuple[str, str], ...]
"""Factor and level, in the order of the factors."""


class Level(NamedTuple):
    """One of the values of a factor. Of several, each has the share of the units that its weight has of all weights."""

    name: str
    weight: float = 1.0


class Factor(NamedTuple):
    """Something that is varied. Its first level is how things are without the experiment."""

    name: str
    levels: tuple[Level, ...]


class Variant(NamedTuple):
    """One level of each factor, and the share of the units that get it."""

    levels: Levels
    share: float

    @property
    def name(self) -> str:
        """`button=green, layout=new`: how it is written in fields, files and tables."""
        return named(self.levels)


def named(levels: Levels) -> str:
    """The name of the variant of these levels."""
    return ", ".join([f"{factor}={level}" for factor, level in levels])


def full_factorial(factors: Sequence[Factor]) -> tuple[Variant, ...]:
    """Every level of each factor with every level of the others. The first variant has the first levels: the
    control."""
    shares = [_shares([level.weight for level in factor.levels]) for factor in factors]
    cells = product(*([*zip(factor.levels, share, strict=True)] for factor, share in zip(factors, shares, strict=True)))
    return tuple(
        Variant(
            tuple((factor.name, level.name) for factor, (level, _) in zip(factors, cell, strict=True)),
            prod(share for _, share in cell),
        )
        for cell in cells
    )


def fraction(listed: Sequence[tuple[Levels, float]]) -> tuple[Variant, ...]:
    """These variants alone, with their weights. The first is the control."""
    shares = _shares([weight for _, weight in listed])
    return tuple(Variant(levels, share) for (levels, _), share in zip(listed, shares, strict=True))


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]


class Rival(NamedTuple):
    """An experiment of a layer, and its weight in it."""

    name: str
    weight: float = 1.0


class Design(NamedTuple):
    """All that decides which variant a unit gets.

    `listed` are the variants of a fraction; none: all of them. `layer` is a name and the experiments that share no
    unit, this one among them. `promoted` is the variant that everybody gets, but for the holdout.
    """

    name: str
    salt: str
    factors: tuple[Factor, ...]
    listed: tuple[tuple[Levels, float], ...] = ()
    share: float = 1.0
    holdout: float = 0.0
    layer: tuple[str, tuple[Rival, ...]] | None = None
    promoted: Levels = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants, the control first."""
        return fraction(self.listed) if self.listed else full_factorial(self.factors)

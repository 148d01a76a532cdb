"""Which variant a unit gets: a function of the unit's key and of the design, so that nothing need be kept.

A unit is whoever is to see the same thing each time: a cookie, a user, an address. Each question (does it take part,
which level of this factor) has a key of its own, made of the experiment's salt and of what is asked, and BLAKE2b under
that key gives the unit's number in it. So answers are independent of each other, and of those of other experiments.

One of several is chosen by weighted rendezvous (D. Thaler and C. Ravishankar, 1998; weights as -ln(u)/w): each option
draws for the unit, and the least wins. When a weight grows, units move to that option and nowhere else, no more of them
than the change asks for; when an option is added, or one taken away, the others keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import inf, log
from typing import Final, NamedTuple

from interpose.core.experiment.design import Design, Levels

OUT: Final = -1
"""Of a unit that does not take part: beyond the share, or another experiment's of the layer."""
HELD_OUT: Final = -2
"""Of a unit that is kept out of it for good, as a measure of what would have been."""

MOST_REMEMBERED: Final = 20_000
LONGEST_REMEMBERED: Final = 256


class Place(NamedTuple):
    """Where a unit stands. `variant` is an index, OUT or HELD_OUT; `unit` a digest that stands for its key."""

    variant: int
    unit: bytes


class Draw:
    """Gives each unit a number from 0 to 1, another one for each purpose and salt."""

    __slots__ = ("_key",)

    def __init__(self, *purpose: str) -> None:
        self._key = blake2b("\0".join(purpose).encode(), digest_size=64).digest()

    def number(self, unit: bytes) -> float:
        """The unit's number: uniform, never 0."""
        digest = blake2b(unit, key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") + 0.5) / 18446744073709551616.0

    def digest(self, unit: bytes) -> bytes:
        """16 octets that stand for the unit."""
        return blake2b(unit, key=self._key, digest_size=16).digest()


class Choice:
    """Chooses one of several options, by their names and weights. One with weight 0 is never chosen."""

    __slots__ = ("_options",)

    def __init__(self, purpose: Sequence[str], options: Sequence[tuple[str, float]]) -> None:
        self._options = [
            (number, Draw(*purpose, name), weight) for number, (name, weight) in enumerate(options) if weight > 0
        ]

    def choose(self, unit: bytes) -> int:
        """The index of the option that this unit gets."""
        if len(self._options) == 1:
            return self._options[0][0]
        chosen, least = 0, inf
        for number, draw, weight in self._options:
            score = -log(draw.number(unit)) / weight
            if score < least:
                chosen, least = number, score
        return chosen


class Assignment:
    """Places units in one design. What was placed lately is remembered, within bounds."""

    def __init__(self, design: Design) -> None:
        salt = design.salt
        self.variants = design.variants
        self._index = {variant.levels: number for number, variant in enumerate(self.variants)}
        self._share = design.share
        self._holdout = design.holdout
        self._in = Draw("share", salt)
        self._held = Draw("holdout", design.layer[0] if design.layer else salt)
        self._unit = Draw("unit", salt)
        self._promoted = self._index.get(design.promoted) if design.promoted else None
        self._rivals: Choice | None = None
        self._own_place = 0
        if design.layer is not None:
            name, rivals = design.layer
            self._rivals = Choice(("layer", name), [(rival.name, rival.weight) for rival in rivals])
            self._own_place = [rival.name for rival in rivals].index(design.name)
        self._factors: list[tuple[str, list[str], Choice]] = []
        self._listed: Choice | None = None
        if design.listed:
            options = [(variant.name, variant.share) for variant in self.variants]
            self._listed = Choice(("variant", salt), options)
        else:
            for factor in design.factors:
                names = [level.name for level in factor.levels]
                weights = [(level.name, level.weight) for level in factor.levels]
                self._factors.append((factor.name, names, Choice(("factor", salt, factor.name), weights)))
        self._known: dict[bytes, Place] = {}

    def place(self, unit: bytes) -> Place:
        """Where the unit stands."""
        known = self._known.get(unit)
        if known is None:
            known = Place(self._variant(unit), self._unit.digest(unit))
            if len(unit) <= LONGEST_REMEMBERED:
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[unit] = known
        return known

    def remembers(self, unit: bytes) -> bool:
        """Whether the unit was placed lately."""
        return unit in self._known

    def digest(self, unit: bytes) -> bytes:
        """What stands for the unit wherever it is written down."""
        return self._unit.digest(unit)

    def number_of(self, levels: Levels) -> int | None:
        """The index of the variant of these levels; None when it is none of this design."""
        return self._index.get(levels)

    def _variant(self, unit: bytes) -> int:
        if self._holdout and self._held.number(unit) < self._holdout:
            return HELD_OUT
        if self._promoted is not None:
            return self._promoted
        if self._rivals is not None and self._rivals.choose(unit) != self._own_place:
            return OUT
        if self._share < 1 and self._in.number(unit) >= self._share:
            return OUT
        if self._listed is not None:
            return self._listed.choose(unit)
        levels = tuple([(name, names[choice.choose(unit)]) for name, names, choice in self._factors])
        return self._index[levels]

"""Whether the variants have as many units as they should: when not, something loses units, and nothing else counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.experiment.distributions import chi_square_tail

SUSPICIOUS = 0.001
"""Below this probability chance is no explanation."""
LEAST_EXPECTED = 5.0
"""Units that each variant should have at least, before the test says anything (W. G. Cochran, 1954)."""


class Ratio(NamedTuple):
    """Pearson's chi-square of the units against their shares, and how probable one as large is by chance."""

    chi_square: float
    degrees: int
    p: float

    @property
    def is_suspicious(self) -> bool:
        """Whether the numbers are not those of the shares."""
        return self.p < SUSPICIOUS


def sample_ratio(epochs: Sequence[Sequence[tuple[int, float]]]) -> Ratio:
    """The test of the units of each variant against its share, in each of the epochs in which the shares were the same
    (units and share by variant): their sums are a chi-square again."""
    chi_square, degrees = 0.0, 0
    for epoch in epochs:
        total = sum(units for units, _ in epoch)
        kept = [(units, share * total) for units, share in epoch if share > 0]
        if len(kept) < 2 or min(expected for _, expected in kept) < LEAST_EXPECTED:
            continue
        chi_square += sum((units - expected) ** 2 / expected for units, expected in kept)
        degrees += len(kept) - 1
    return Ratio(chi_square, degrees, chi_square_tail(chi_square, degrees) if degrees else 1.0)

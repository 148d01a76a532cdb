"""What one experiment does with one exchange, and what is noted of that at its end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Side
from interpose.core.tally import BOUNDS_S
from interpose.filters.experiment.trial import Change, GoalRule, Trial
from interpose.filters.experiment.value import JsonContent

_BOUNDS: Final = BOUNDS_S


class Shown:
    """The variant of one client. `unit` is b"" where nothing is counted: of testers, and of what is promoted to all.
    `is_given`: this exchange gets it; else it only comes to goals."""

    __slots__ = ("goals", "is_given", "trial", "unit", "variant")

    def __init__(self, trial: Trial, variant: int, unit: bytes, *, is_given: bool) -> None:
        self.trial = trial
        self.variant = variant
        self.unit = unit
        self.is_given = is_given
        self.goals: list[GoalRule] = []
        """Those that the answer may still make true."""

    @property
    def change(self) -> Change:
        """What the variant changes."""
        return self.trial.changes[self.variant]


class Ending:
    """Notes what is only known at the end of an exchange. `later` are the goals whose value that is: None for the time
    that it took, else the content that has it."""

    __slots__ = ("_exchange", "_shown", "later")

    def __init__(self, exchange: Exchange, shown: Sequence[Shown]) -> None:
        self._exchange = exchange
        self._shown = shown
        self.later: list[tuple[Shown, GoalRule, JsonContent | None]] = []

    def __call__(self, outcome: Outcome) -> None:
        """Note it."""
        seconds = outcome.ended - self._exchange.started
        failure = outcome.failure
        failed = outcome.status >= 500 or (failure is not None and failure.side is not Side.DOWNSTREAM)
        place = bisect_left(_BOUNDS, seconds)
        for shown in self._shown:
            if shown.is_given and shown.unit:
                shown.trial.page.count(shown.variant, place, failed=failed)
        for shown, goal, content in self.later:
            value = seconds if content is None else content.value(goal.pointer or ())
            if value is not None:
                shown.trial.page.reach(shown.unit, goal.name, goal.kind, value)

"""An experiment as people are shown it: how it is set up, how it stands, what is known, what was decided."""

from __future__ import annotations

import msgspec

from interpose.core.experiment.deciding import Phase, State
from interpose.core.experiment.report import Report


class GuardView(msgspec.Struct):
    """A guard, in words, and why it is broken; "" while it is not."""

    words: str
    broken: str


class ExperimentView(msgspec.Struct, kw_only=True):
    """See the module. `share` is the part of the units that takes part now, `ramp` the steps of it and `step` the
    present one; `next_step_at` is wall clock, 0 where there is none. `is_fixed`: the configuration itself says that it
    is paused or promoted."""

    name: str
    routes: list[str]
    when: str
    unit: str
    share: float
    holdout: float
    layer: str
    phase: Phase
    variant: str
    is_fixed: bool
    by: str
    why: str
    at: float
    ramp: list[float]
    step: int
    next_step_at: float
    promotes: bool
    alpha: float
    guards: list[GuardView]
    report: Report
    decisions: list[State]

"""What an experiment is to decide by itself, as it is configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Quantile = Annotated[float, Meta(ge=0.5, le=0.999)]
Alpha = Annotated[float, Meta(ge=0.0001, le=0.2)]
Tolerance = Annotated[float, Meta(ge=0, le=100)]
Units = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Long = Annotated[float, Meta(ge=0, le=366 * 86400)]
Often = Annotated[float, Meta(ge=0.05, le=3600)]
Name = Annotated[str, Meta(extra={"kind": "name"})]


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must not get worse. When it is surely worse than the control's, everything is rolled back."""

    metric: Literal["errors", "latency"]
    """The share of answers of 5xx and of none at all; or how long exchanges take."""

    tolerance: Tolerance = 0.01
    """How much worse it may be: of `errors` by how much the share may be greater (0.01 is one of a hundred), of
    `latency` by what part the time may be longer (0.25 is a quarter)."""

    quantile: Quantile = 0.95
    """(latency) The part of the exchanges that are quicker than the time that is looked at."""

    min_requests: Units = 1000
    """Of each variant, before it is looked at."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is decided by itself, and by which goal."""

    goal: Name = ""
    """The goal that decides. Empty: the first one."""

    alpha: Alpha = 0.05
    """The probability of naming a winner where all variants are alike, however often one looks."""

    planned_units: Units = 10_000
    """About how many units the experiment is expected to need. The test is sharpest there, and valid anywhere."""

    min_units: Units = 100
    """Of each variant, before anything is said about it. Less than 100 counts as 100."""

    min_time_s: Long = 0.0
    """How long it runs before a winner is promoted: a whole week has all days of a week in it."""

    promote: bool = False
    """Give the winner to everybody but the holdout, by itself."""

    ramp: tuple[Share, ...] = ()
    """The share of the units that take part, step by step: `[0.01, 0.1, 1]`. Empty: `share` of the experiment."""

    ramp_step_s: Long = 86400.0
    """How long each step of the ramp lasts, at least. It waits where the sample ratio is wrong."""

    look_every_s: Often = 10.0
    """How often it is looked at."""

    guards: tuple[Guard, ...] = msgspec.field(default=(), name="guard")
    """What must not get worse."""

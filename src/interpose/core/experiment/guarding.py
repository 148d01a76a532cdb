"""Whether a guard is broken: whether a variant is surely worse than the control, by more than is tolerated.

Exchanges of one unit are alike, so they are worth less than as many units; the level is low for that reason.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from interpose.core.experiment.counted import Requests, quantile_s, slower_than
from interpose.core.experiment.policy import Guard
from interpose.core.experiment.sample import Sample
from interpose.core.experiment.sequential import difference_sequence, half_width
from interpose.core.tally import BOUNDS_S

ALPHA: Final = 0.001
PLANNED: Final = 10
"""The sequences are sharpest at so many times `min_requests`."""


def broken(guard: Guard, control: Requests, others: Mapping[str, Requests]) -> str:
    """Why the guard is broken, in a sentence that names the variant; "" while it is not."""
    if control.count < guard.min_requests:
        return ""
    for name, requests in others.items():
        if requests.count >= guard.min_requests:
            judge = _errors if guard.metric == "errors" else _latency
            if why := judge(guard, control, requests):
                return f"{name}: {why}"
    return ""


def _errors(guard: Guard, control: Requests, requests: Requests) -> str:
    mine = Sample.of_share(requests.count, requests.errors)
    theirs = Sample.of_share(control.count, control.errors)
    sure = difference_sequence(mine, theirs, alpha=ALPHA, planned_units=PLANNED * guard.min_requests)
    if sure.low <= guard.tolerance:
        return ""
    return (
        f"{_percent(mine.mean)} of its exchanges fail, {_percent(theirs.mean)} of the control's; that is worse by more "
        f"than the {_percent(guard.tolerance)} that are tolerated."
    )


def _latency(guard: Guard, control: Requests, requests: Requests) -> str:
    usual = quantile_s(control, guard.quantile)
    if usual is None:
        return ""
    place = bisect_left(BOUNDS_S, usual * (1 + guard.tolerance))
    if place == len(BOUNDS_S):
        return ""  # it takes so long that nobody counts how long
    bound = BOUNDS_S[place]
    slow = Sample.of_share(requests.count, slower_than(requests, bound))
    half = half_width(slow.variance_of_mean, slow.units, alpha=ALPHA, planned_units=PLANNED * guard.min_requests)
    if slow.total < slow.units and slow.mean - half <= 1 - guard.quantile:
        return ""
    return (
        f"{_percent(slow.mean)} of its exchanges take longer than {bound:g} s, where {_percent(guard.quantile)} of the "
        f"control's are over in {usual:.3g} s."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

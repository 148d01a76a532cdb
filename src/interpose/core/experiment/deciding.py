"""What becomes of an experiment: a state, and what moves it on.

    running ── guard broken ──> rolled back        running ── a winner ──> promoted       running ── ramp ──> running
       any ── by hand ──> running, paused, promoted, rolled back

Paused and rolled back differ in nothing but why: nobody takes part, and everybody gets what there is without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from interpose.core.experiment.policy import Decision
from interpose.core.experiment.report import Report

Phase = Literal["running", "paused", "promoted", "rolled back"]
Action = Literal["pause", "resume", "promote", "roll back"]
"""What somebody may do with an experiment."""

PHASES: Final[Mapping[Action, Phase]] = {
    "pause": "paused",
    "resume": "running",
    "promote": "promoted",
    "roll back": "rolled back",
}
"""What comes of it."""

BY_ITSELF = "interpose"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment stands: `step` of its ramp since `since`, and the variant that was promoted. `at`, `by` and
    `why` tell of the decision that brought it here. Times are wall clock."""

    phase: Phase = "running"
    variant: str = ""
    step: int = 0
    since: float = 0.0
    at: float = 0.0
    by: str = BY_ITSELF
    why: str = ""


def begun(policy: Decision, now: float) -> State:
    """The state in which an experiment begins."""
    why = f"It begins with {_percent(policy.ramp[0])} of the units." if policy.ramp else "It begins."
    return State(since=now, at=now, why=why)


def share_of(policy: Decision, state: State, configured: float) -> float:
    """The share of the units that take part."""
    return policy.ramp[min(state.step, len(policy.ramp) - 1)] if policy.ramp else configured


def next_state(policy: Decision, state: State, report: Report, broken: Sequence[str], now: float) -> State | None:
    """What is to be decided now, by itself; None when nothing is."""
    if state.phase != "running":
        return None
    if broken:
        return _decided(state, now, phase="rolled back", why=broken[0])
    if report.ratio.is_suspicious:
        return None
    goal = next((one for one in report.goals if one.goal == policy.goal), report.goals[0] if report.goals else None)
    if policy.promote and goal is not None and goal.winner and now - report.began >= policy.min_time_s:
        return _decided(state, now, phase="promoted", variant=goal.winner, why=f"{goal.goal}: {goal.verdict}")
    if state.step + 1 < len(policy.ramp) and now - state.since >= policy.ramp_step_s:
        why = f"{_percent(policy.ramp[state.step + 1])} of the units take part; nothing spoke against it."
        return _decided(state, now, step=state.step + 1, since=now, why=why)
    return None


def by_hand(state: State, phase: Phase, who: str, now: float, *, variant: str = "", why: str = "") -> State:
    """What somebody has decided. What runs again has the rest of its ramp before it, and a whole step."""
    return State(
        phase=phase,
        variant=variant if phase == "promoted" else "",
        step=state.step,
        since=now if phase == "running" else state.since,
        at=now,
        by=who,
        why=why or "By hand.",
    )


def _decided(
    state: State,
    now: float,
    *,
    why: str,
    phase: Phase = "running",
    variant: str = "",
    step: int | None = None,
    since: float | None = None,
) -> State:
    return State(
        phase=phase,
        variant=variant,
        step=state.step if step is None else step,
        since=state.since if since is None else since,
        at=now,
        by=BY_ITSELF,
        why=why,
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"

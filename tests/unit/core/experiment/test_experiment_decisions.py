"""What is said of an experiment, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.core.experiment.counted import Books, Counted, Reached, Requests, quantile_s
from interpose.core.experiment.deciding import State, begun, by_hand, next_state, share_of
from interpose.core.experiment.design import Design, Factor, Level
from interpose.core.experiment.guarding import broken
from interpose.core.experiment.policy import Decision, Guard
from interpose.core.experiment.report import NO_VERDICT, Goal, Report, report
from interpose.core.tally import BOUNDS_S

DESIGN = Design("e", "e", (Factor("button", (Level("blue"), Level("green"))),))
BLUE, GREEN = "button=blue", "button=green"
ORDER, SPENT = Goal("order"), Goal("spent", "sum")


def books(blue: tuple[int, int], green: tuple[int, int], **more: Any) -> Books:
    counted = {
        name: Counted(units=units, goals={"order": Reached(reached, reached, reached)})
        for name, (units, reached) in ((BLUE, blue), (GREEN, green))
    }
    epochs = [{BLUE: (blue[0], 0.5), GREEN: (green[0], 0.5)}]
    return Books(variants=counted, epochs=epochs, began=1_000.0, **more)


def told(blue: tuple[int, int], green: tuple[int, int], policy: Decision | None = None, *goals: Goal) -> Report:
    return report(DESIGN, goals or (ORDER,), policy or Decision(), books(blue, green))


@pytest.mark.parametrize(
    ("blue", "green", "standing", "verdict"),
    [
        ((50, 5), (50, 20), "too few", "Too few units to say anything."),
        ((5_000, 500), (5_000, 520), "undecided", "Undecided: what is seen may still be chance."),
        ((5_000, 500), (5_000, 700), "better",
         "button=green is better than button=blue: sure at 95 %, however often one looks."),
        ((5_000, 700), (5_000, 500), "worse",
         "button=blue is better than all others: sure at 95 %, however often one looks."),
    ],
)  # fmt: skip
def test_the_verdict_is_what_may_be_said(
    blue: tuple[int, int], green: tuple[int, int], standing: str, verdict: str
) -> None:
    (goal,) = told(blue, green).goals
    assert [one.standing for one in goal.estimates] == ["control", standing]
    assert goal.verdict == verdict
    assert goal.winner == (GREEN if standing == "better" else "")


def test_of_what_should_be_less_the_least_is_the_winner() -> None:
    (goal,) = told((5_000, 700), (5_000, 500), None, Goal("order", better="less")).goals
    assert goal.winner == GREEN
    assert goal.estimates[1].best > 0.999


def test_values_are_means_of_all_units_or_of_those_that_have_one() -> None:
    counted = Counted(units=400, goals={"spent": Reached(100, 2_000.0, 45_000.0)})
    both = Books(variants={BLUE: counted, GREEN: counted})
    sums, means = report(DESIGN, (SPENT, Goal("spent", "mean")), Decision(), both).goals
    assert (sums.estimates[0].mean, sums.estimates[0].units) == (5.0, 400)
    assert (means.estimates[0].mean, means.estimates[0].units) == (20.0, 100)


def test_what_is_not_there_yet_is_a_report_too() -> None:
    empty = report(DESIGN, (ORDER, SPENT), Decision(), Books())
    assert [row.units for row in empty.variants] == [0, 0]
    assert {goal.verdict for goal in empty.goals} == {"Too few units to say anything."}
    assert not empty.ratio.is_suspicious


# --- decisions -------------------------------------------------------------------------------------------------------

RAMP = Decision(ramp=(0.01, 0.1, 1.0), ramp_step_s=60.0)
PROMOTING = Decision(promote=True, min_time_s=100.0)
CLEAR = ((5_000, 500), (5_000, 700))


def test_a_ramp_goes_up_step_by_step_and_stays_at_its_top() -> None:
    state: State | None = begun(RAMP, 0.0)
    seen = []
    for now in range(0, 300, 20):
        assert state is not None
        seen.append(share_of(RAMP, state, 0.5))
        state = next_state(RAMP, state, told((50, 5), (50, 5)), [], float(now)) or state
    assert seen == [0.01] * 4 + [0.1] * 3 + [1.0] * 8


def test_without_a_ramp_the_share_is_the_configured_one() -> None:
    assert share_of(Decision(), begun(Decision(), 0.0), 0.5) == 0.5


def test_a_wrong_ratio_keeps_the_ramp_and_the_winner_waiting() -> None:
    wrong = told((5_000, 500), (4_000, 700))
    assert wrong.ratio.is_suspicious
    assert wrong.goals[0].estimates[1].standing == "better"
    assert (wrong.goals[0].winner, wrong.goals[0].verdict) == ("", NO_VERDICT)
    assert next_state(RAMP, begun(RAMP, 0.0), wrong, [], 1e6) is None
    assert next_state(PROMOTING, begun(PROMOTING, 0.0), wrong, [], 1e6) is None


def test_a_winner_is_promoted_when_it_is_asked_and_not_before_its_time() -> None:
    state = begun(PROMOTING, 1_000.0)
    assert next_state(PROMOTING, state, told(*CLEAR), [], 1_099.0) is None
    assert next_state(Decision(), state, told(*CLEAR), [], 1_100.0) is None
    found = next_state(PROMOTING, state, told(*CLEAR), [], 1_100.0)
    assert found is not None
    assert (found.phase, found.variant, found.by) == ("promoted", GREEN, "interpose")
    assert found.why.startswith("order: button=green is better")
    assert next_state(PROMOTING, found, told(*CLEAR), [], 2_000.0) is None


def test_a_broken_guard_comes_before_everything() -> None:
    found = next_state(PROMOTING, begun(PROMOTING, 0.0), told(*CLEAR), ["it fails"], 1e6)
    assert found is not None
    assert (found.phase, found.why) == ("rolled back", "it fails")


def test_what_was_decided_by_hand_stays_until_it_is_undone_by_hand() -> None:
    state = by_hand(begun(RAMP, 0.0), "paused", "alice", 70.0)
    assert next_state(RAMP, state, told(*CLEAR), ["it fails"], 1e6) is None
    again = by_hand(state, "running", "bob", 80.0, why="fixed")
    assert (again.phase, again.step, again.since, again.by, again.why) == ("running", 0, 80.0, "bob", "fixed")
    assert next_state(RAMP, again, told((50, 5), (50, 5)), [], 139.0) is None


# --- guards ----------------------------------------------------------------------------------------------------------


def requests(count: int, errors: int = 0, *, slow: float = 0.04) -> Requests:
    """Exchanges that take 5 to 10 ms, but for a part of them: 250 to 500 ms."""
    times = [0] * (len(BOUNDS_S) + 1)
    times[8] = round(count * slow)
    times[3] = count - times[8]
    return Requests(count, errors, times)


@pytest.mark.parametrize(
    ("green", "is_broken"),
    [
        (requests(5_000, 60), False),  # 1.2 % against 1 %
        (requests(5_000, 150), False),  # 3 %: worse, but not surely by more than a hundredth
        (requests(5_000, 250), True),
        (requests(900, 900), False),  # too few to be looked at
    ],
)
def test_errors_break_a_guard_when_they_surely_are_more_than_tolerated(green: Requests, is_broken: bool) -> None:
    guard = Guard(metric="errors", tolerance=0.01)
    why = broken(guard, requests(5_000, 50), {GREEN: green})
    assert bool(why) is is_broken
    assert not why or why.startswith(f"{GREEN}: 5 % of its exchanges fail, 1 % of the control's")


@pytest.mark.parametrize(
    ("green", "is_broken"),
    [(requests(5_000), False), (requests(5_000, slow=0.055), False), (requests(5_000, slow=0.3), True),
     (requests(5_000, slow=1.0), True), (requests(900, slow=1.0), False)],
)  # fmt: skip
def test_slowness_breaks_a_guard_when_the_quantile_surely_is_longer(green: Requests, is_broken: bool) -> None:
    guard = Guard(metric="latency", tolerance=0.25)
    assert bool(broken(guard, requests(5_000), {GREEN: green})) is is_broken


def test_quantiles_are_read_between_the_bounds() -> None:
    assert quantile_s(requests(1_000, slow=0.0), 0.5) == pytest.approx(0.0075)
    assert quantile_s(Requests(), 0.5) is None
    beyond = Requests(10, 0, [0] * len(BOUNDS_S) + [10])
    assert quantile_s(beyond, 0.5) is None
    assert broken(Guard(metric="latency", min_requests=1), beyond, {GREEN: beyond}) == ""

"""Experiments as the API shows them, made of counts by the real statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from interpose.core.experiment.counted import Books, Counted, Reached, Requests
from interpose.core.experiment.deciding import State
from interpose.core.experiment.design import Design, Factor, Level
from interpose.core.experiment.policy import Decision
from interpose.core.experiment.report import Goal, Report, report
from interpose.core.experiment.trend import Points, points_of, trend_of
from interpose.core.experiment.view import ExperimentView, GuardView

AT = 1_790_000_000.0


def experiment(
    name: str,
    factors: Mapping[str, tuple[str, ...]],
    counts: Mapping[str, tuple[int, int]],
    *,
    goal: str = "order",
    state: State | None = None,
    ramp: tuple[float, ...] = (),
    guard: str = "",
    **more: Any,
) -> dict[str, Any]:
    """The view of an experiment. `counts`: units, and how many came to the goal, by variant."""
    design = Design(name, name, tuple(Factor(factor, tuple(map(Level, levels))) for factor, levels in factors.items()))
    shares = {variant.name: variant.share for variant in design.variants}
    counted = {
        variant: Counted(
            units=units,
            requests=Requests(units * 9, units // 90, [0, 0, 0, 0, units * 8, units, 0, 0, 0, 0, 0, 0, 0, 0]),
            goals={goal: Reached(reached, reached, reached)},
        )
        for variant, (units, reached) in counts.items()
    }
    epochs = [{variant: (counts.get(variant, (0, 0))[0], share) for variant, share in shares.items()}]
    policy = Decision(ramp=ramp)
    found = report(design, [Goal(goal)], policy, Books(variants=counted, epochs=epochs, began=AT - 1e6))
    state = state or State(at=AT, since=AT, why="It begins.")
    view = ExperimentView(
        name=name,
        routes=["shop"],
        when="",
        unit="cookie",
        share=0.5,
        holdout=0.05,
        layer="page",
        phase=state.phase,
        variant=state.variant,
        is_fixed=False,
        by=state.by,
        why=state.why,
        at=state.at,
        ramp=list(ramp),
        step=state.step,
        next_step_at=AT + 86_400 if ramp and state.phase == "running" else 0.0,
        promotes=True,
        alpha=0.05,
        guards=[GuardView("no more than 1 % more errors than the control", guard)],
        report=found,
        decisions=[state],
    )
    made: dict[str, Any] = {**msgspec.to_builtins(view), **more}
    return made


def some() -> list[dict[str, Any]]:
    """One of each kind: with a winner, multivariate, with a wrong sample ratio, and without any unit."""
    button = {"button": ("blue", "green")}
    page = {"button": ("blue", "green"), "layout": ("old", "new")}
    counts = {"blue, layout=old": 820, "blue, layout=new": 910, "green, layout=old": 905, "green, layout=new": 1010}
    return [
        experiment("checkout", button, {"button=blue": (9_873, 1_021), "button=green": (9_941, 1_320)},
                   ramp=(0.01, 0.1, 0.5, 1.0), state=State(step=2, at=AT, why="50 % of the units take part.")),
        experiment("page", page, {f"button={name}": (8_000, reached) for name, reached in counts.items()},
                   state=State(phase="promoted", variant="button=green, layout=new", at=AT, by="ann", why="prettier")),
        experiment("search", button, {"button=blue": (5_000, 600), "button=green": (4_500, 700)},
                   state=State(phase="rolled back", at=AT, why="5 % of its exchanges fail."),
                   guard="button=green: 5 % of its exchanges fail, 1 % of the control's."),
        experiment("new", button, {}),
    ]  # fmt: skip


def trend(name: str, factors: Mapping[str, tuple[str, ...]], counts: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """How the books of an experiment came to these counts, evenly over ten days."""
    kept: list[tuple[float, Points]] = []
    for part in range(1, 61):
        some = {variant: (units * part // 60, reached * part // 60) for variant, (units, reached) in counts.items()}
        told = msgspec.convert(experiment(name, factors, some)["report"], Report)
        kept.append((AT - 864_000 * (60 - part) / 60, points_of(told)))
    made: dict[str, Any] = msgspec.to_builtins(trend_of(kept[:-1], told, AT))
    return made


def long_experiment() -> dict[str, Any]:
    """One whose texts are too long for anything."""
    name, factor, one, two = "n" * 64, "f" * 64, "b" * 64, "g" * 64
    why = "w" * 300
    return experiment(
        name,
        {factor: (one, two)},
        {f"{factor}={one}": (9_000_000, 1_000_000), f"{factor}={two}": (9_000_100, 1_200_000)},
        goal="o" * 64,
        ramp=(0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
        state=State(at=AT, by="y" * 64, why=why),
        guard=f"{factor}={two}: {why}",
        layer="l" * 64,
    )

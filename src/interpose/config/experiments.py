"""From the `[[experiment]]` tables to designs, to the filter of a route, and to what a worker notes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from interpose.config.experiment_designs import is_on
from interpose.config.model import Config, Route
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.handler import Filter, Handler, Phase
from interpose.engine.calls import Calls
from interpose.filters.experiment.notebook import Notebook
from interpose.filters.experiment.options import Experiment


def steps_of(config: Config, route: Route, parts: Parts) -> list[Step]:
    """The filter of a gateway's route, where there is any experiment."""
    if not config.experiments:
        return []
    here = [one for one in config.experiments if is_on(one, route)]
    others = [one for one in config.experiments if not one.paused and one not in here and one.goals]
    words = [_in_words(one) for one in here] + [f"goals of {one.name}" for one in others]
    detail = "; ".join(words) or "takes off what clients say of experiments"
    return [Step(Phase.EDIT, "experiments", detail, partial(_filter, config, route, parts))]


def _filter(config: Config, route: Route, parts: Parts) -> Filter:
    """The filter; who tries nothing need not have what it is made of in memory."""
    from interpose.config.experiment_filter import experiment_filter

    return experiment_filter(config, route, parts)


def _in_words(options: Experiment) -> str:
    if options.promoted:
        return f"{options.name}: {options.promoted} for all"
    ramp = options.decision.ramp if options.decision is not None else ()
    share = f"{100 * ramp[0]:g} % to {100 * ramp[-1]:g} %" if ramp else f"{100 * options.share:g} %"
    part = f"{share} of {options.unit}s"
    return f"{options.name}: {', '.join(factor.name for factor in options.factors)}, {part}"


# --- what workers have besides ----------------------------------------------------------------------------------------


def notebook_of(config: Config, parts: Parts, calls: Calls) -> None:
    """Have a notebook among the parts, where there are experiments."""
    if config.experiments:
        parts.get(Notebook, None, lambda: Notebook(calls.ask))


def counters(parts: Parts) -> dict[str, float]:
    """Counts for the status."""
    notebooks = parts.every(Notebook)
    return {"experiment_notes_dropped_total": float(sum(one.dropped for one in notebooks))} if notebooks else {}


def upstreams_of(config: Config, route: Route) -> set[str]:
    """The upstreams that a variant may choose on a route, besides the route's own."""
    levels = [
        level
        for options in config.experiments
        if is_on(options, route)
        for factor in options.factors
        for level in factor.levels
    ]
    return {level.upstream for level in levels if level.upstream}


def switched(end: Handler, others: Mapping[str, Handler]) -> Handler:
    """The end of a route, with others that a variant may choose instead."""
    if not others:
        return end
    from interpose.engine.switch import Switch

    return Switch(end, others)


def choose_answers(config: Config, route: Route | None) -> bool:
    """Whether the answers of a route depend on variants, as far as a cache is concerned."""
    return route is not None and any(is_on(options, route) for options in config.experiments)

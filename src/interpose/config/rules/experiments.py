"""Experiments can be told apart, compare something, and ask only what is known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod

from interpose.config.advice import no_such
from interpose.config.experiment_texts import levels_of
from interpose.config.model import Config
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need
from interpose.filters.experiment.options import Experiment

MOST_VARIANTS = 64

KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER | Need.ROUTE
KNOWN_OF_GOALS = KNOWN | Need.VARIANT | Need.RESPONSE_HEAD


def _they_can_be_told_apart(config: Config) -> Iterator[Breach]:
    names: dict[str, str] = {}
    factors: dict[str, str] = {}
    for where, one in numbered("experiment", config.experiments):
        first = names.setdefault(one.name.lower(), where)
        if first != where:
            yield Breach(f"{where}.name", one.name, f"is the name of {first} already; give each experiment its own")
        for place, factor in numbered(f"{where}.factor", one.factors):
            first = factors.setdefault(factor.name, place)
            if first != place:
                message = f"is the name of {first} already; queries say variant.{factor.name} and mean one factor"
                yield Breach(f"{place}.name", factor.name, message)
            levels: dict[str, str] = {}
            for level_place, level in numbered(f"{place}.level", factor.levels):
                first = levels.setdefault(level.name, level_place)
                if first != level_place:
                    yield Breach(f"{level_place}.name", level.name, f"is the name of {first} already")
        goals: dict[str, str] = {}
        for place, goal in numbered(f"{where}.goal", one.goals):
            first = goals.setdefault(goal.name, place)
            if first != place:
                yield Breach(f"{place}.name", goal.name, f"is the name of {first} already")


def _they_compare_something(config: Config) -> Iterator[Breach]:
    for where, one in numbered("experiment", config.experiments):
        if not one.factors:
            yield Breach(where, ABSENT, "varies nothing; add an [[experiment.factor]]", (f"{where}.factor",))
            continue
        for place, factor in numbered(f"{where}.factor", one.factors):
            if len(factor.levels) < 2:
                yield Breach(place, ABSENT, "needs two levels; add [[experiment.factor.level]]", (f"{place}.level",))
            elif not any(level.weight for level in factor.levels):
                yield Breach(place, ABSENT, "has no level with a weight above 0", (f"{place}.level",))
        many = len(one.variants) or prod(len(factor.levels) for factor in one.factors)
        if many > MOST_VARIANTS:
            message = f"has {many} variants; list at most {MOST_VARIANTS} of them as [[experiment.variant]]"
            yield Breach(where, ABSENT, message, (f"{where}.factor", f"{where}.variant"))
        yield from _combinations(where, one)


def _combinations(where: str, one: Experiment) -> Iterator[Breach]:
    """What is wrong with the combinations that the table names."""
    needs = (f"{where}.factor", f"{where}.variant")
    known = {factor.name: {level.name for level in factor.levels} for factor in one.factors}
    seen: set[frozenset[tuple[str, str]]] = set()
    given = [(f"{place}.levels", listed.levels) for place, listed in numbered(f"{where}.variant", one.variants)]
    for place, text in [*given, *([(f"{where}.promoted", one.promoted)] if one.promoted else [])]:
        try:
            levels = levels_of(text)
        except ValueError as error:
            yield Breach(place, text, str(error), needs)
            continue
        chosen = frozenset(levels)
        if (
            [name for name, _ in levels if name not in known]
            or len(levels) != len(known)
            or len(dict(levels)) != len(known)
        ):
            yield Breach(place, text, f"must have one level of each factor: {', '.join(known)}", needs)
        elif wrong := [level for name, level in levels if level not in known[name]]:
            yield Breach(place, text, f"has {wrong[0]!r}, which is no level of its factor", needs)
        elif place.endswith(".levels") and chosen in seen:
            yield Breach(place, text, "is listed twice", needs)
        elif place.endswith(".promoted") and seen and chosen not in seen:
            yield Breach(place, text, "is not among the variants that are listed", needs)
        seen.add(chosen)
    if len(one.variants) == 1:
        yield Breach(f"{where}.variant", ABSENT, "is the only one; list two at least, or none for all", needs)
    if one.variants and not any(listed.weight for listed in one.variants):
        yield Breach(f"{where}.variant", ABSENT, "has no weight above 0", needs)


def _they_ask_what_is_known(config: Config) -> Iterator[Breach]:
    for where, one in numbered("experiment", config.experiments):
        asked = [(f"{where}.when", one.when, KNOWN)]
        asked += [(f"{place}.when", goal.when, KNOWN_OF_GOALS) for place, goal in numbered(f"{where}.goal", one.goals)]
        for place, text, known in asked:
            try:
                if text:
                    demand(parse(text), known, text)
            except QueryError as error:
                yield Breach(place, text, str(error))


def _goals_have_their_values(config: Config) -> Iterator[Breach]:
    for where, one in numbered("experiment", config.experiments):
        for place, goal in numbered(f"{where}.goal", one.goals):
            if goal.kind == "conversion" and goal.value:
                message = 'is not looked at for a conversion; write kind = "sum" or "mean", or take it away'
                yield Breach(f"{place}.value", goal.value, message, (f"{place}.kind",))
            if goal.kind != "conversion" and bool(goal.value) is not bool(goal.when):
                message = "needs both when and value; or neither, and then it is posted with its value"
                yield Breach(place, ABSENT, message, (f"{place}.kind", f"{place}.when", f"{place}.value"))


def _they_lead_somewhere(config: Config) -> Iterator[Breach]:
    routes = {route.name for route in config.routes} | {"everything else", "every request"}
    upstreams = {upstream.name for upstream in config.upstreams}
    has_gateway = any(listener.role == "gateway" for listener in config.listeners)
    holdouts: dict[str, tuple[str, float]] = {}
    for where, one in numbered("experiment", config.experiments):
        if not has_gateway:
            yield Breach(where, ABSENT, 'needs a listener with the role "gateway"', ("listener",))
        for number, name in enumerate(one.routes, 1):
            if name not in routes:
                yield Breach(f"{where}.routes[{number}]", name, no_such("route", name, routes), ("route",))
        for place, factor in numbered(f"{where}.factor", one.factors):
            for level_place, level in numbered(f"{place}.level", factor.levels):
                if level.upstream and level.upstream not in upstreams:
                    message = no_such("upstream", level.upstream, upstreams)
                    yield Breach(f"{level_place}.upstream", level.upstream, message, ("upstream",))
        if one.layer:
            first, holdout = holdouts.setdefault(one.layer, (where, one.holdout))
            if holdout != one.holdout:
                message = f"must be that of {first}, {holdout:g}: the holdout is the same in all of a layer"
                yield Breach(f"{where}.holdout", one.holdout, message)


def _decisions_can_be_made(config: Config) -> Iterator[Breach]:
    for where, one in numbered("experiment", config.experiments):
        if (decision := one.decision) is None:
            continue
        place, goals = f"{where}.decision", [goal.name for goal in one.goals]
        if decision.goal and decision.goal not in goals:
            yield Breach(f"{place}.goal", decision.goal, no_such("goal", decision.goal, goals), (f"{where}.goal",))
        if decision.promote and not goals:
            yield Breach(f"{place}.promote", True, "needs a goal to decide by", (f"{where}.goal",))
        if any(after <= before for before, after in pairwise(decision.ramp)) or 0 in decision.ramp:
            yield Breach(f"{place}.ramp", list(decision.ramp), "must rise from step to step, from above 0")


RULES: tuple[Rule, ...] = (
    _they_can_be_told_apart,
    _they_compare_something,
    _they_ask_what_is_known,
    _goals_have_their_values,
    _they_lead_somewhere,
    _decisions_can_be_made,
)

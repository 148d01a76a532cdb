"""What is known: each variant's numbers, how sure they are, and what may be said of them, in words too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from interpose.core.experiment.best import probabilities_to_be_best
from interpose.core.experiment.counted import Books, Counted, Kind, quantile_s, sample_of
from interpose.core.experiment.design import Design, Levels, Variant
from interpose.core.experiment.effects import effects
from interpose.core.experiment.policy import Decision
from interpose.core.experiment.ratio import sample_ratio
from interpose.core.experiment.sample import Sample, difference_interval, interval_of
from interpose.core.experiment.sequential import always_valid_p, difference_sequence, is_ripe

Standing = Literal["control", "too few", "undecided", "better", "worse"]

NO_VERDICT = "No verdict: the variants do not have the units that they should have."
MOST_EFFECTS = 200
"""Variants beyond which factors are not taken apart."""


class Goal(NamedTuple):
    """What counts as success."""

    name: str
    kind: Kind = "conversion"
    better: Literal["more", "less"] = "more"


class Estimate(msgspec.Struct, kw_only=True):
    """A variant by one goal. `low` and `high` are for who looks once; `difference_low` and `difference_high`, to the
    control, hold for all looks together, and are None while there are too few units."""

    variant: str
    units: int
    reached: int
    mean: float
    low: float
    high: float
    difference: float = 0.0
    difference_once_low: float | None = None
    difference_once_high: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float = 1.0
    best: float
    standing: Standing


class EffectRow(msgspec.Struct):
    """A level, or two of them together, compared with the first ones; `p` is adjusted by Holm's procedure."""

    of: str
    estimate: float
    error: float
    p: float


class GoalReport(msgspec.Struct, kw_only=True):
    """One goal."""

    goal: str
    kind: Kind
    better: str
    estimates: list[Estimate]
    winner: str
    verdict: str
    effects: list[EffectRow]


class VariantRow(msgspec.Struct, kw_only=True):
    """What passed of one variant."""

    variant: str
    share: float
    units: int
    requests: int
    errors: int
    p50_s: float | None
    p95_s: float | None


class RatioRow(msgspec.Struct):
    """Whether units are distributed as they should be."""

    chi_square: float
    p: float
    is_suspicious: bool
    words: str


class Report(msgspec.Struct, kw_only=True):
    """All of it."""

    variants: list[VariantRow]
    goals: list[GoalReport]
    ratio: RatioRow
    units: int
    held_out: int
    turned_away: int
    began: float


def report(design: Design, goals: Sequence[Goal], policy: Decision, books: Books) -> Report:
    """What the books say about the variants that the design has."""
    variants = design.variants
    counted = {variant.levels: books.variants.get(variant.name) or Counted() for variant in variants}
    rows = [_row(variant, counted[variant.levels]) for variant in variants]
    known = {variant.name for variant in variants}
    ratio = sample_ratio([[epoch[name] for name in epoch if name in known] for epoch in books.epochs])
    return Report(
        variants=rows,
        goals=[_goal(design, variants, counted, goal, policy, is_sound=not ratio.is_suspicious) for goal in goals],
        ratio=RatioRow(ratio.chi_square, ratio.p, ratio.is_suspicious, _ratio_in_words(ratio.p, ratio.is_suspicious)),
        units=sum(row.units for row in rows),
        held_out=books.held_out,
        turned_away=books.turned_away,
        began=books.began,
    )


def _row(variant: Variant, counted: Counted) -> VariantRow:
    requests = counted.requests
    return VariantRow(
        variant=variant.name,
        share=variant.share,
        units=counted.units,
        requests=requests.count,
        errors=requests.errors,
        p50_s=quantile_s(requests, 0.5),
        p95_s=quantile_s(requests, 0.95),
    )


def _goal(
    design: Design,
    variants: Sequence[Variant],
    counted: dict[Levels, Counted],
    goal: Goal,
    policy: Decision,
    *,
    is_sound: bool,
) -> GoalReport:
    samples = {levels: sample_of(one, goal.name, goal.kind) for levels, one in counted.items()}
    control = samples[variants[0].levels]
    best = probabilities_to_be_best(list(samples.values()), less_is_better=goal.better == "less")
    level = policy.alpha / max(1, len(variants) - 1)  # C. Bonferroni: one wrong among all is as rare as said
    estimates = []
    for number, variant in enumerate(variants):
        sample = samples[variant.levels]
        reached = counted[variant.levels].goals.get(goal.name)
        once = interval_of(sample)
        estimate = Estimate(
            variant=variant.name,
            units=sample.units,
            reached=0 if reached is None else reached.units,
            mean=sample.mean,
            low=once.low,
            high=once.high,
            best=best[number],
            standing="control",
        )
        if number:
            _compare(estimate, sample, control, goal, level, policy)
        estimates.append(estimate)
    better = [estimate for estimate in estimates if estimate.standing == "better"]
    winner = max(better, key=lambda estimate: estimate.best).variant if better and is_sound else ""
    parted = len(design.factors) > 1 and len(variants) <= MOST_EFFECTS
    return GoalReport(
        goal=goal.name,
        kind=goal.kind,
        better=goal.better,
        estimates=estimates,
        winner=winner,
        verdict=_verdict(estimates, winner, policy.alpha) if is_sound else NO_VERDICT,
        effects=[
            EffectRow(" with ".join(f"{factor}={level}" for factor, level in one.of), one.estimate, one.error, one.p)
            for one in (effects(design.factors, samples) if parted else ())
        ],
    )


def _compare(estimate: Estimate, sample: Sample, control: Sample, goal: Goal, level: float, policy: Decision) -> None:
    """Say how a variant stands to the control."""
    estimate.difference = sample.mean - control.mean
    if min(sample.units, control.units) > 1:
        once = difference_interval(sample, control)
        estimate.difference_once_low, estimate.difference_once_high = once
    if not is_ripe(sample, control, policy.min_units):
        estimate.standing = "too few"
        return
    sure = difference_sequence(sample, control, alpha=level, planned_units=policy.planned_units)
    estimate.difference_low, estimate.difference_high = sure
    estimate.p = always_valid_p(sample, control, alpha=level, planned_units=policy.planned_units)
    if sure.low > 0 or sure.high < 0:
        estimate.standing = "better" if (sure.low > 0) is (goal.better == "more") else "worse"
    else:
        estimate.standing = "undecided"


def _verdict(estimates: Sequence[Estimate], winner: str, alpha: float) -> str:
    """What may be said, whenever it is looked at."""
    others = estimates[1:]
    if not others:
        return "There is one variant only; nothing is compared."
    sure = f"{100 * (1 - alpha):g} %"
    if winner:
        return f"{winner} is better than {estimates[0].variant}: sure at {sure}, however often one looks."
    worse = [one.variant for one in others if one.standing == "worse"]
    if len(worse) == len(others):
        return f"{estimates[0].variant} is better than all others: sure at {sure}, however often one looks."
    if any(one.standing == "undecided" for one in others):
        some = f" {'; '.join(worse)} is surely worse." if worse else ""
        return f"Undecided: what is seen may still be chance.{some}"
    return "Too few units to say anything."


def _ratio_in_words(p: float, is_suspicious: bool) -> str:
    if is_suspicious:
        return (
            f"The variants do not have the units that their shares call for (p = {p:.2g}). Something loses units of "
            "one of them: find it before you believe any other number."
        )
    return "The variants have the units that their shares call for."

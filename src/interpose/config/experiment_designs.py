"""From an `[[experiment]]` table to what decides who gets which variant."""

from __future__ import annotations

from interpose.config.experiment_texts import levels_of
from interpose.config.model import Route
from interpose.core.experiment.design import Design, Factor, Level, Levels, Rival
from interpose.filters.experiment.options import Experiment


def design_of(options: Experiment, every: tuple[Experiment, ...]) -> Design:
    """What decides who gets which variant of one of the experiments."""
    layer = None
    if options.layer:
        layer = options.layer, tuple(Rival(one.name, one.layer_weight) for one in every if one.layer == options.layer)
    factors = tuple(
        Factor(factor.name, tuple(Level(level.name, level.weight) for level in factor.levels))
        for factor in options.factors
    )
    return Design(
        name=options.name,
        salt=salt_of(options),
        factors=factors,
        listed=tuple((ordered(levels_of(one.levels), factors), one.weight) for one in options.variants),
        share=options.share,
        holdout=options.holdout,
        layer=layer,
        promoted=ordered(levels_of(options.promoted), factors) if options.promoted else (),
    )


def ordered(levels: Levels, factors: tuple[Factor, ...]) -> Levels:
    """The levels in the order of the factors."""
    level_of = dict(levels)
    return tuple((factor.name, level_of.get(factor.name, "")) for factor in factors)


def salt_of(options: Experiment) -> str:
    """The salt, which is the name where none is given."""
    return options.salt or options.name


def is_on(options: Experiment, route: Route) -> bool:
    """Whether clients get variants on the route."""
    return not options.paused and (not options.routes or route.name in options.routes)

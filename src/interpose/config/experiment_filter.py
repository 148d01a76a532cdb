"""From the `[[experiment]]` tables to the filter of a route."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from interpose.config.experiment_designs import design_of, is_on
from interpose.config.model import Config, Route
from interpose.config.parts import Parts
from interpose.core.handler import Filter
from interpose.core.query import Matcher, compile_query, parse
from interpose.filters.experiment.choosing import Choosing
from interpose.filters.experiment.filter import Experiments
from interpose.filters.experiment.notebook import Notebook
from interpose.filters.experiment.options import Experiment
from interpose.filters.experiment.trial import Trial, goal_rules

LEAST_SECRET: Final = 16
_SECRET: Final = re.compile(r"[A-Za-z0-9._~-]+")


def experiment_filter(config: Config, route: Route, parts: Parts) -> Filter:
    """The filter."""
    (notebook,) = parts.every(Notebook)
    trials = []
    for options in config.experiments:
        exposes = is_on(options, route)
        if options.paused or not (exposes or options.goals or options.post_path):
            continue
        design = design_of(options, config.experiments)
        shares = {variant.name: variant.share for variant in design.variants}
        page = notebook.page(options.name, design.salt, shares, options.max_units)
        goals = goal_rules(options, [_matcher(goal.when) for goal in options.goals])
        audience, choosing = _matcher(options.when), _choosing(options)
        trials.append(Trial(options, design, page, exposes=exposes, audience=audience, goals=goals, choosing=choosing))
    return Experiments(trials, [one.name for one in config.experiments], asyncio.get_running_loop())


def _matcher(when: str) -> Matcher | None:
    return compile_query(parse(when)) if when else None


def _choosing(options: Experiment) -> Choosing | None:
    if not options.testers_from and options.testers_key_file is None:
        return None
    return Choosing(options.name, options.testers_from, _secret(options.testers_key_file))


def _secret(file: str | None) -> bytes:
    """The secret of testers. ValueError, a sentence, when the file has none that will do."""
    if file is None:
        return b""
    try:
        secret = Path(file).read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{file} cannot be read as a secret: {error}.") from None
    if len(secret) < LEAST_SECRET or _SECRET.fullmatch(secret) is None:
        raise ValueError(f"{file} must hold {LEAST_SECRET} letters, digits, '.', '_', '~' and '-' at least.")
    return secret.encode()

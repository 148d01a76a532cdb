"""The filters that interception takes on a listener: inner requests are put straight, and are not asked who sends
them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from interpose.config.interception import interception_in_words, is_intercepted, leaves, origin_tls
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.handler import Filter, Phase
from interpose.filters.inside import Inside, OutsideOnly


def interception_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """What comes before every other filter that may refuse. Making it demands the files that interception needs."""
    table = config.interception
    if table is None or not is_intercepted(config, listener):
        return []
    return [Step(Phase.ADMIT, "interception", interception_in_words(table), partial(_inside, config, parts))]


def asked_outside(config: Config, listener: Listener, steps: list[Step]) -> list[Step]:
    """The same steps, but who opened a tunnel that is looked into is not asked for a password again inside."""
    if not is_intercepted(config, listener):
        return steps
    return [step._replace(make=partial(_outside, step.make)) if step.name == "auth" else step for step in steps]


def _inside(config: Config, parts: Parts) -> Filter:
    leaves(config, parts)
    origin_tls(config, parts)
    return Inside()


def _outside(make: Callable[[], Filter]) -> Filter:
    return OutsideOnly(make())

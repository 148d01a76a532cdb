"""What must hold between the values of a configuration, each of which is sound by itself.

A rule yields what breaks it. `needs` are the key paths that it looked at besides the one it complains about: where one
of them was reported already, and so stands at its default here, the rule has nothing to say. Each module has the rules
about one noun, in `RULES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap

from interpose.config.metrics_place import complaints as about_metrics
from interpose.config.model import Config
from interpose.config.problem import Problem
from interpose.config.rules import (
    access,
    authentication,
    caches,
    edits,
    error_pages,
    experiments,
    faults,
    firewall,
    holds,
    interception,
    limits,
    listeners,
    names,
    privacy,
    routes,
    spools,
    tls,
    upstream_proxies,
    upstreams,
)
from interpose.config.rules.breach import Breach, Rule


def broken_rules(config: Config, reported: Sequence[Problem]) -> list[Problem]:
    """The problems of a configuration as a whole, but for what follows from those reported already."""
    broken = [problem.where for problem in reported]
    return [
        Problem(breach.where, breach.value, breach.message)
        for rule in _RULES
        for breach in rule(config)
        if not any(_is_at(breach.where, place) or any(_overlaps(place, n) for n in breach.needs) for place in broken)
    ]


def _is_at(place: str, table: str) -> bool:
    """Whether a key path is another, or lies below it."""
    return place == table or place.startswith((f"{table}.", f"{table}["))


def _overlaps(place: str, other: str) -> bool:
    return _is_at(place, other) or _is_at(other, place)


def _metrics_fit(config: Config) -> Iterator[Breach]:
    return starmap(Breach, about_metrics(config))


_RULES: tuple[Rule, ...] = (
    *names.RULES,
    *listeners.RULES,
    *tls.RULES,
    *routes.RULES,
    *edits.RULES,
    *privacy.RULES,
    *error_pages.RULES,
    *upstreams.RULES,
    *upstream_proxies.RULES,
    *spools.RULES,
    *authentication.RULES,
    *faults.RULES,
    *firewall.RULES,
    *caches.RULES,
    *access.RULES,
    *holds.RULES,
    *experiments.RULES,
    *interception.RULES,
    *limits.RULES,
    _metrics_fit,
)

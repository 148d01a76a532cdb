"""What is looked into can be told when a tunnel opens, and there is somebody who opens tunnels."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.interception_model import INTERCEPTED_ROLES
from interpose.config.model import Config
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need

_KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER


def _rules_can_be_asked(config: Config) -> Iterator[Breach]:
    table = config.interception
    for where, rule in numbered("interception.rule", () if table is None else table.rules):
        try:
            demand(parse(rule.when), _KNOWN, rule.when)
        except QueryError as error:
            yield Breach(f"{where}.when", rule.when, str(error))


def _somebody_is_looked_into(config: Config) -> Iterator[Breach]:
    if config.interception is not None and not any(one.role in INTERCEPTED_ROLES for one in config.listeners):
        message = "has nothing to look into: tunnels pass through listeners of the roles proxy and auto"
        yield Breach("interception", ABSENT, message, ("listener",))


RULES: tuple[Rule, ...] = (_rules_can_be_asked, _somebody_is_looked_into)

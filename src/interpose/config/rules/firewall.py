"""The firewall's tables go together."""

from __future__ import annotations

import os
from collections.abc import Iterator

from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND, Need

_OUTBOUND = OUTBOUND & ~Need.RESPONSE_BODY
_HEAD = INBOUND & ~Need.REQUEST_BODY


def _rules_can_be_asked(config: Config) -> Iterator[Breach]:
    """What a query asks for is known when it is asked."""
    firewall = config.firewall
    if firewall is None:
        return
    for where, rule in numbered("firewall.rule", firewall.rules):
        yield from _asks(f"{where}.when", rule.when, INBOUND if rule.side == "inbound" else _OUTBOUND)
    for where, exclusion in numbered("firewall.exclude", firewall.exclusions):
        if exclusion.when:
            yield from _asks(f"{where}.when", exclusion.when, _HEAD)
        if not exclusion.rules and not exclusion.tags:
            message = 'names no rule; write rules = ["942100"] or tags = ["attack-sqli"]'
            yield Breach(f"{where}.rules", (), message, (f"{where}.rules", f"{where}.tags"))


def _asks(where: str, query: str, known: Need) -> Iterator[Breach]:
    try:
        demand(parse(query), known, query)
    except QueryError as error:
        yield Breach(where, query, str(error))


def _levels_fit(config: Config) -> Iterator[Breach]:
    firewall = config.firewall
    if firewall is not None and 0 < firewall.detection_paranoia < firewall.blocking_paranoia:
        message = "lies below firewall.blocking_paranoia: what blocks is detected, too; leave it out, or raise it"
        yield Breach("firewall.detection_paranoia", firewall.detection_paranoia, message)
    if firewall is not None and firewall.rule_set and not os.path.isdir(os.path.join(firewall.rule_set, "rules")):
        yield Breach("firewall.rule_set", firewall.rule_set, "has no directory `rules` in it; name the one that does")


def _routes_have_one(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        if route.firewall is not None and config.firewall is None:
            yield Breach(f"{where}.firewall", {}, 'needs a [firewall] table, which may say mode = "off"')


RULES: tuple[Rule, ...] = (_rules_can_be_asked, _levels_fit, _routes_have_one)

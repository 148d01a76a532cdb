"""Access rules can be asked where they stand."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.advice import no_such
from interpose.config.model import Config
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need

KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER


def _rules_can_be_asked(config: Config) -> Iterator[Breach]:
    """What a rule asks for is known before anything has gone on."""
    for where, rule in numbered("access", config.access):
        try:
            demand(parse(rule.when), KNOWN, rule.when)
        except QueryError as error:
            yield Breach(f"{where}.when", rule.when, str(error))


def _somebody_is_asked(config: Config) -> Iterator[Breach]:
    for where, rule in numbered("access", config.access):
        needs = (f"{where}.action",)
        if rule.action != "ask":
            if rule.ask is not None:
                message = f'is for action = "ask"; this rule says "{rule.action}"'
                yield Breach(f"{where}.ask", ABSENT, message, needs)
            continue
        if rule.ask is None or (not rule.ask.service and rule.ask.script is None):
            message = "is missing; say who is asked with service or script in a table [access.ask]"
            yield Breach(f"{where}.ask", ABSENT, message, (*needs, f"{where}.ask"))
        elif rule.ask.service and rule.ask.script is not None:
            message = "stands beside service, and only one of them can be asked; take one away"
            yield Breach(f"{where}.ask.script", rule.ask.script, message, (f"{where}.ask.service",))


def _limits_are_there(config: Config) -> Iterator[Breach]:
    """A rule names a limit that is for rules, and only a rule that limits does."""
    limits = {limit.name: limit for limit in config.limit_rules}
    for where, rule in numbered("access", config.access):
        needs = (f"{where}.action", "limit")
        if rule.action != "limit":
            if rule.limit:
                message = f'is for action = "limit"; this rule says "{rule.action}"'
                yield Breach(f"{where}.limit", rule.limit, message, needs)
        elif not rule.limit:
            yield Breach(f"{where}.limit", ABSENT, "is missing; name a [[limit]] that has only_by_rule = true", needs)
        elif rule.limit not in limits:
            yield Breach(f"{where}.limit", rule.limit, no_such("limit", rule.limit, limits), needs)
        elif not limits[rule.limit].only_by_rule:
            message = "is a limit for everybody; give it only_by_rule = true, or let this rule say nothing of it"
            yield Breach(f"{where}.limit", rule.limit, message, needs)


def _names_differ(config: Config) -> Iterator[Breach]:
    """Hits are counted, and refusals explained, by name."""
    seen: dict[str, str] = {}
    for where, rule in numbered("access", config.access):
        first = seen.setdefault(rule.name or rule.when, where)
        if first != where:
            key = "name" if rule.name else "when"
            message = f"is what {first} is called already; give this rule a name of its own"
            yield Breach(f"{where}.{key}", rule.name or rule.when, message, (f"{first}.name", f"{first}.when"))


def _lists_come_from_somewhere(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, one in numbered("blocklist", config.blocklists):
        if not one.name:
            yield Breach(f"{where}.name", "", "must not be empty: it is what the page and the counters call the list")
        elif (first := seen.setdefault(one.name, where)) != where:
            yield Breach(f"{where}.name", one.name, f"is the name of {first} already; give each list its own")
        if one.file is None and not one.url:
            yield Breach(
                where, ABSENT, "has neither file nor url; say where the list is", (f"{where}.file", f"{where}.url")
            )
        elif one.file is not None and one.url:
            yield Breach(f"{where}.url", one.url, "stands beside file, and a list is in one place; take one away")


def _listeners_are_asked(config: Config) -> Iterator[Breach]:
    datagrams = {listener.name for listener in config.listeners if listener.udp}
    for where, rule in numbered("access", config.access):
        for number, name in enumerate(rule.listeners, 1):
            if name in datagrams:
                message = "takes datagrams, which no rule is asked about; allow_from says who may send it some"
                yield Breach(f"{where}.listeners[{number}]", name, message)


RULES: tuple[Rule, ...] = (
    _rules_can_be_asked,
    _somebody_is_asked,
    _limits_are_there,
    _names_differ,
    _listeners_are_asked,
    _lists_come_from_somewhere,
)

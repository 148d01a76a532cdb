"""What servers are told of who asks can be decided, and nobody is identified to everybody."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.edits import ROLES
from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, Need
from interpose.filters.privacy.plan import plan_of


def _rules_can_be_asked(config: Config) -> Iterator[Breach]:
    for where, rule in numbered("privacy", config.privacy):
        if rule.when:
            try:
                demand(parse(rule.when), INBOUND & ~Need.REQUEST_BODY, rule.when)
            except QueryError as error:
                yield Breach(f"{where}.when", rule.when, str(error))
        elif plan_of(rule).trail == "send":
            message = 'is missing, and every server would be told who asks; name those that may: "host:*.example.com"'
            yield Breach(f"{where}.when", rule.when, message, (f"{where}.profile", f"{where}.trail"))


def _rules_have_a_place(config: Config) -> Iterator[Breach]:
    roles = {listener.name: listener.role for listener in config.listeners}
    for where, rule in numbered("privacy", config.privacy):
        for number, name in enumerate(rule.listeners, 1):
            if roles.get(name, "proxy") not in ROLES:
                message = "speaks no HTTP; name a gateway or a proxy"
                yield Breach(f"{where}.listeners[{number}]", name, message, ("listener",))


def _later_rules_are_reached(config: Config) -> Iterator[Breach]:
    """A rule behind one that means everything is never asked."""
    for_all: dict[str, str] = {}
    for where, rule in numbered("privacy", config.privacy):
        names = rule.listeners or tuple(listener.name for listener in config.listeners)
        if names and all(name in for_all for name in names):
            first = for_all[names[0]]
            message = f"comes behind {first}, which means every request; move it before that, or give that a when"
            yield Breach(where, rule.name or rule.profile, message, (first, "listener"))
        if not rule.when:
            for name in names:
                for_all.setdefault(name, where)


RULES: tuple[Rule, ...] = (_rules_can_be_asked, _rules_have_a_place, _later_rules_are_reached)

"""Rules of your own: queries, asked in the worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, Subject, compile_query, parse
from interpose.core.query.live import Live
from interpose.core.query.words import Need
from interpose.core.target import without_parameters
from interpose.filters.firewall.options import Exclusion, FirewallRule
from interpose.filters.firewall.reasons import Match


class Found(NamedTuple):
    """What matched, in their order; what it adds; and the rule that blocks, if one does."""

    matches: list[Match]
    score: int
    blocked_by: Match | None


class OwnRules:
    """Those of one side."""

    def __init__(self, rules: Sequence[FirewallRule], side: str) -> None:
        mine = [rule for rule in rules if rule.side == side]
        self._rules = [(rule, compile_query(parse(rule.when)), _match(rule)) for rule in mine]
        self.reads_body = any(matcher.needs & Need.REQUEST_BODY for _, matcher, _ in self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def ask(self, subjects: Sequence[Subject]) -> Found:
        """What the rules say of a message: a rule means it when it means one of `subjects`, the ways to read it."""
        matches: list[Match] = []
        score = 0
        for rule, matcher, match in self._rules:
            if any(matcher.matches(subject) for subject in subjects):
                matches.append(match)
                score += match.score
                if rule.action == "block":
                    return Found(matches, score, match)
        return Found(matches, score, None)


def exclusions_of(exclusions: Sequence[Exclusion]) -> list[tuple[int, Matcher]]:
    """Those that hold for some requests only, by number, and for which."""
    return [(number, compile_query(parse(one.when))) for number, one in enumerate(exclusions) if one.when]


def live(
    exchange: Exchange, request: Request, response: Response | None = None, request_text: str | None = None
) -> list[Live]:
    """The ways to read a message. Some servers take `;x=y` in a path for a parameter and not for a part of the name, so
    rules are asked about both (THREATS A13)."""
    requests = [request]
    if ";" in request.target.path:
        target = request.target._replace(path=without_parameters(request.target.path))
        requests.append(Request(request.method, target, request.fields, request.body, request.version))
    return [
        Live(exchange, one, response, time=time.time(), route=exchange.route, request_text=request_text)
        for one in requests
    ]


def _match(rule: FirewallRule) -> Match:
    name = rule.name or rule.when
    return Match(name, rule.score if rule.action == "score" else 0, "", rule.message or name)

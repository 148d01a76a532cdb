"""Access rules that can be asked, and the trace of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.core.path_spellings import spelled, with_path
from interpose.core.query import compile_query, parse
from interpose.core.query.index import Index
from interpose.core.query.live import Live, groups_of
from interpose.core.query.reasons import Reason, why_not
from interpose.filters.access.options import AccessRule

Hit = Callable[[], None]
"""Counts one hit."""


class Asked(NamedTuple):
    """One rule in a trace: whether it matched, and when it did not, what of it did not."""

    rule: Rule
    matched: bool
    reasons: list[Reason]


class Rule:
    """A rule that can be asked. `number` is its place in the configuration, from 1."""

    def __init__(self, number: int, options: AccessRule, hit: Hit) -> None:
        self.number = number
        self.options = options
        self.name = options.name or options.when
        self.hit = hit
        self.query = parse(options.when)
        self._matcher = compile_query(self.query)

    def matches(self, subject: Live, others: Sequence[Live]) -> bool:
        """Whether it means this request. `others` are the same with other spellings of its path (see `spelled`).

        One that lets pass has to mean all of them; for any other it is enough that it may mean one (THREATS A13): who
        is denied by the groups that somebody is not in does not let in whose groups nobody knows.
        """
        if self.options.action in ("allow", "limit"):
            return self._matcher.matches(subject) and all(map(self._matcher.matches, others))
        return self._may_mean(subject) or any(map(self._may_mean, others))

    def _may_mean(self, subject: Live) -> bool:
        return self._matcher.decide(subject) is not False


class AccessRules:
    """The rules of one listener, in their order."""

    def __init__(self, rules: Sequence[Rule], wall: Callable[[], float] = time.time) -> None:
        self.rules = tuple(rules)
        self._index = Index([rule.query for rule in rules])
        self._wall = wall

    def first(self, exchange: Exchange, request: Request, kind: str = "") -> Rule | None:
        """The rule that decides, counted and noted; None when none does. Rules on trial are counted and noted too."""
        groups = groups_of(exchange)
        subject = Live(exchange, request, time=self._wall(), groups=groups, kind=kind)
        candidates = self._index.candidates(subject)
        if not candidates:
            return None
        others = self._others(exchange, request, groups, kind)
        for number in candidates:
            rule = self.rules[number]
            if rule.matches(subject, others):
                rule.hit()
                if not rule.options.dry_run:
                    exchange.notes["access"] = rule.name
                    return rule
                exchange.notes.setdefault("dry_run", f"{rule.options.action} by {rule.name}")
        return None

    def trace(self, exchange: Exchange, request: Request, kind: str = "") -> Iterator[Asked]:
        """Every rule down to the one that decides, with what of it does not match. Nothing is counted or noted."""
        groups = groups_of(exchange)
        subject = Live(exchange, request, time=self._wall(), groups=groups, kind=kind)
        others = self._others(exchange, request, groups, kind)
        for rule in self.rules:
            matched = rule.matches(subject, others)
            spellings = (subject, *others)
            reasons = [] if matched else next(filter(None, (why_not(rule.query, one) for one in spellings)), [])
            yield Asked(rule, matched, reasons)
            if matched and not rule.options.dry_run:
                return

    def _others(self, exchange: Exchange, request: Request, groups: Sequence[str] | None, kind: str) -> list[Live]:
        now = self._wall()
        return [
            Live(exchange, with_path(request, path), time=now, groups=groups, kind=kind)
            for path in spelled(request.target.path)
        ]

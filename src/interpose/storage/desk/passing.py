"""Which messages pass without anybody looking, by the rules that people made at the desk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from interpose.core.hold import Held
from interpose.core.query import Matcher
from interpose.storage.desk.matching import matcher_of, subject_of
from interpose.storage.desk.rules import Rule

log = logging.getLogger("interpose")


class Passing:
    """The rules that hold, ready to be asked. `wall` is the wall clock, which rules end by."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._rules: dict[int, tuple[Rule, Matcher]] = {}

    def take(self, rules: Iterable[Rule]) -> None:
        """Begin with these. One whose query cannot be read any more lets nothing pass."""
        for rule in rules:
            try:
                self.add(rule)
            except ValueError as error:
                log.warning("rule %d of the desk lets nothing pass any more: %s", rule.id, error)

    def add(self, rule: Rule) -> None:
        """One more. QueryError."""
        self._rules[rule.id] = rule, matcher_of(rule.query)

    def remove(self, id: int) -> None:
        """One less."""
        self._rules.pop(id, None)

    def lets(self, held: Held) -> bool:
        """Whether one of them lets this message pass."""
        now = self._wall()
        if not self._rules:
            return False
        self._rules = {id: entry for id, entry in self._rules.items() if entry[0].until > now}
        subject = subject_of(held, now)
        return any(matcher.matches(subject) for _, matcher in self._rules.values())

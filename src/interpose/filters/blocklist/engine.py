"""Lists of filters, through Brave's engine (`adblock`): compiled once, loaded by every worker.

Cosmetic rules, which hide parts of pages, are left out: they are for browsers. So are rules with options that the
engine does not know. Regular expressions of lists run in time proportional to what they look at (Rust's `regex`).
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from interpose.filters.blocklist.party import Purpose

if TYPE_CHECKING:
    from adblock import Engine

_COSMETIC = re.compile(r"#@?[?$%]?#")
_LONGEST_URL = 8192
_JOINED = " <+> "
_MOST_APART = 256


class Counted(NamedTuple):
    """What a list of filters has: rules for requests, cosmetic ones, and lines that are too long to be rules."""

    rules: int
    cosmetic: int
    ignored: int


def rules_of(text: str) -> tuple[list[str], Counted]:
    """The lines of a list that may be rules for requests, and how many there are of everything."""
    rules: list[str] = []
    cosmetic = ignored = 0
    for line in text.split("\n"):
        rule = line.strip(" \t\r\ufeff")
        if not rule or rule[0] in "![":
            continue
        if _COSMETIC.search(rule) is not None:
            cosmetic += 1
        elif len(rule) > _LONGEST_URL:
            ignored += 1
        else:
            rules.append(rule)
    return rules, Counted(len(rules), cosmetic, ignored)


def compiled(lists: Iterable[Sequence[str]]) -> bytes:
    """The engine for all these rules, as octets. It takes about 6 µs a rule, in which nothing else runs."""
    return _engine_of([rule for rules in lists for rule in rules], optimize=True).serialize()


def _engine_of(rules: list[str], *, optimize: bool) -> Engine:
    from adblock import Engine, FilterSet

    filters = FilterSet(debug=True)  # so that the engine can say which rule it was
    filters.add_filters(rules, rule_types="networkonly")
    return Engine(filters, optimize=optimize)


def marks_of(rules: Iterable[str]) -> bytes:
    """What `Filters` tells by whose rule one is: eight octets for each, in order."""
    return array("Q", sorted(map(_mark, rules))).tobytes()


def _mark(rule: str) -> int:
    return int.from_bytes(hashlib.blake2b(rule.encode(), digest_size=8).digest(), "big")


class Filters:
    """A compiled engine, ready to be asked; `marks` are those of the lists by their numbers.

    ValueError when `data` is none.
    """

    def __init__(self, data: bytes, marks: Mapping[int, bytes]) -> None:
        from adblock import AdblockException

        self._engine = _engine_of([], optimize=True)
        try:
            self._engine.deserialize(data)
        except AdblockException as error:
            raise ValueError(f"the compiled filters cannot be read: {error}") from None
        self._marks = {number: array("Q", octets) for number, octets in sorted(marks.items())}
        self._apart: dict[str, Engine] = {}

    def find(self, purpose: Purpose) -> tuple[int, str] | None:
        """The number of the list that blocks this (the first that has the rule) and the rule; None when none does."""
        result = self._engine.check_network_urls(*purpose)
        if not result.matched:
            return None
        rule = result.filter or ""
        if _JOINED in rule:
            rule = self._one_of(rule, purpose)
        return self._owner(rule), rule

    def _one_of(self, joined: str, purpose: Purpose) -> str:
        """Which rule it was: for speed the engine has joined those that are alike, and asks them as one."""
        engine = self._apart.get(joined)
        if engine is None:
            if len(self._apart) >= _MOST_APART:
                self._apart.clear()
            engine = self._apart[joined] = _engine_of(joined.split(_JOINED), optimize=False)
        return engine.check_network_urls(*purpose).filter or joined

    def _owner(self, rule: str) -> int:
        wanted = _mark(rule)
        for number, marks in self._marks.items():
            place = bisect_left(marks, wanted)
            if place < len(marks) and marks[place] == wanted:
                return number
        return next(iter(self._marks))

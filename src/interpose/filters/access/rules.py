"""Access rules that can be asked, and the trace of an answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.core.query import compile_query, parse
from interpose.core.query.index import Index
from interpose.core.query.live import Live
from interpose.core.query.reasons import Reason, why_not
from interpose.core.target import without_parameters
from interpose.filters.access.options import AccessRule

Hit = Callable[[], None]
"""Counts one hit."""

_SEVERAL = re.compile(r"[;%\\]|//")
_SLASHES = re.compile(r"//+")


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

        One that lets pass has to mean all of them; for any other it is enough to mean one (THREATS A13).
        """
        if not others:
            return self._matcher.matches(subject)
        answers = map(self._matcher.matches, (subject, *others))
        return all(answers) if self.options.action in ("allow", "limit") else any(answers)


class AccessRules:
    """The rules of one listener, in their order."""

    def __init__(self, rules: Sequence[Rule], wall: Callable[[], float] = time.time) -> None:
        self.rules = tuple(rules)
        self._index = Index([rule.query for rule in rules])
        self._wall = wall

    def first(self, exchange: Exchange, request: Request, kind: str = "") -> Rule | None:
        """The rule that decides, counted and noted; None when none does. Rules on trial are counted and noted too."""
        subject = Live(exchange, request, time=self._wall(), kind=kind)
        candidates = self._index.candidates(subject)
        if not candidates:
            return None
        others = self._others(exchange, request, kind)
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
        subject = Live(exchange, request, time=self._wall(), kind=kind)
        others = self._others(exchange, request, kind)
        for rule in self.rules:
            matched = rule.matches(subject, others)
            spellings = (subject, *others)
            reasons = [] if matched else next(filter(None, (why_not(rule.query, one) for one in spellings)), [])
            yield Asked(rule, matched, reasons)
            if matched and not rule.options.dry_run:
                return

    def _others(self, exchange: Exchange, request: Request, kind: str) -> list[Live]:
        paths = spelled(request.target.path)
        return [Live(exchange, _with_path(request, path), time=self._wall(), kind=kind) for path in paths]


def spelled(path: str) -> list[str]:
    """The other paths that servers may take a canonical path for; nearly always none.

    Some decode what is encoded, slashes and dots included, some take a backslash for a slash, some leave parameters
    (`;x=y`) away, some see one slash in several, some nothing behind a NUL. Who denies `/admin` denies all that.
    """
    if _SEVERAL.search(path) is None:
        return []
    found = [path]
    for base in (path, without_parameters(path)):
        decoded = unquote(base, "latin-1").replace("\\", "/")
        for text in (base, decoded, without_parameters(decoded), decoded.partition("\0")[0]):
            found += [_SLASHES.sub("/", text), _plain(text)]
    return list(dict.fromkeys(found))[1:]


def _plain(path: str) -> str:
    """With slashes merged and dot segments taken out."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    if kept and segments[-1] in ("", ".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _with_path(request: Request, path: str) -> Request:
    target = request.target._replace(path=path)
    return Request(request.method, target, request.fields, request.body, request.version, request.received)

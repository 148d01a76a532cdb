"""What another rule set would make of requests that have passed, and the smallest exclusions that free some of them.

Pure: who asks the rules gives what came of it. An exclusion is of one rule and one thing that it looks at. What frees a
request is enough of them to bring its sum below the threshold, so choosing the fewest is a covering problem, and the
greedy choice is used: always the one that takes away most of what is above thresholds; then those are dropped again
without which all stay free.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from interpose.filters.firewall.options import Exclusion
from interpose.filters.firewall.reasons import Match
from interpose.filters.firewall.rule_text import REFUSING
from interpose.protocol.number import decimal

_NAMEABLE = re.compile(r"[A-Z][A-Z_]{1,39}(?::[A-Za-z0-9_.\-\[\]]{1,100})?")
_TEMPORARY = ("TX", "MATCHED_VAR", "MATCHED_VARS", "RULE")
"""What rules look at that is made by other rules: excluding it would not name what a client sent."""
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/_.-]{0,200}")
_RULE = re.compile(r"[0-9]{1,9}")


class Judged(NamedTuple):
    """What one rule set makes of one exchange: whether it is refused, by its request or its answer, and why. `excess`
    is by how much the sum must shrink for it to be free; None where exclusions cannot free it."""

    id: int
    path: str
    blocked: bool
    side: str
    score: int
    matches: Sequence[Match]
    excess: int | None


class Pair(NamedTuple):
    """A rule, and what it does not look at any more; "" for the whole rule."""

    rule: str
    variable: str


class Change(NamedTuple):
    """An exchange about which two rule sets differ."""

    before: Judged
    after: Judged


def differences(before: Mapping[int, Judged], after: Mapping[int, Judged]) -> tuple[list[Change], list[Change]]:
    """Who is newly refused, and who newly free."""
    both = [Change(before[id], judged) for id, judged in after.items() if id in before]
    return (
        [change for change in both if change.after.blocked and not change.before.blocked],
        [change for change in both if change.before.blocked and not change.after.blocked],
    )


def by_rule(judged: Iterable[Judged]) -> list[tuple[str, str, int]]:
    """Rules that take part in refusals, with their words and how many, the most frequent first."""
    counts: Counter[str] = Counter()
    words: dict[str, str] = {}
    for one in judged:
        for rule, message in {match.rule: match.message for match in one.matches if match.score}.items():
            counts[rule] += 1
            words[rule] = message
    return [(rule, words[rule], count) for rule, count in counts.most_common()]


def smallest_cover(refused: Sequence[Judged], levels: Mapping[int, int], blocking: int) -> list[Pair]:
    """The exclusions that free as many of `refused` as exclusions can, few of them. `levels` are those of the rules:
    what lies above `blocking` does not count, and need not be excluded."""
    cases = [
        (one.excess, contributions(one, levels, blocking)) for one in refused if one.blocked and one.excess is not None
    ]
    cases = [(excess, pairs) for excess, pairs in cases if sum(pairs.values()) >= excess]
    chosen: list[Pair] = []
    left = [excess for excess, _ in cases]
    while any(rest > 0 for rest in left):
        gains: Counter[Pair] = Counter()
        for rest, (_, pairs) in zip(left, cases, strict=True):
            for pair, score in pairs.items():
                if rest > 0 and pair not in chosen:
                    gains[pair] += min(rest, score)
        best = max(sorted(gains), key=lambda pair: gains[pair])
        chosen.append(best)
        left = [rest - pairs.get(best, 0) for rest, (_, pairs) in zip(left, cases, strict=True)]
    for pair in list(chosen):
        fewer = [one for one in chosen if one != pair]
        if all(sum(pairs.get(one, 0) for one in fewer) >= excess for excess, pairs in cases):
            chosen = fewer
    return chosen


def not_in_vain(pairs: Sequence[Pair], tried: Sequence[Pair]) -> list[Pair]:
    """The pairs, the whole rule in place of one that was tried and changed nothing; none that was tried.

    Rules that count something (`&REQUEST_HEADERS:Content-Type`) name it in the same way as others, but no exclusion of
    it holds for the count.
    """
    wider = dict.fromkeys(Pair(pair.rule, "") if pair in tried else pair for pair in pairs)
    return [pair for pair in wider if pair not in tried]


def contributions(judged: Judged, levels: Mapping[int, int], blocking: int) -> dict[Pair, int]:
    """What each rule adds by each thing that it looks at."""
    found: dict[Pair, int] = defaultdict(int)
    for match in judged.matches:
        if not match.score or match.rule in REFUSING or _RULE.fullmatch(match.rule) is None:
            continue
        if levels.get(decimal(match.rule.encode()) or 0, 1) <= blocking:
            found[Pair(match.rule, nameable(match.where))] += match.score
    return dict(found)


def nameable(where: str) -> str:
    """What an exclusion can name; "" when that is the whole rule only."""
    if _NAMEABLE.fullmatch(where) is None or where.partition(":")[0] in _TEMPORARY:
        return ""
    return where


def exclusions(pairs: Sequence[Pair], refused: Sequence[Judged]) -> list[Exclusion]:
    """The pairs as exclusions: those of one thing together, and for one path only where all that they free have it."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pair in pairs:
        paths = {one.path for one in refused if any(_is_of(match, pair) for match in one.matches)}
        [path, *others] = paths or {""}
        when = f"path:{path}" if not others and _PLAIN_PATH.fullmatch(path) else ""
        grouped[when, pair.variable].append(pair.rule)
    return [
        Exclusion(when=when, rules=tuple(sorted(rules)), variables=(variable,) if variable else ())
        for (when, variable), rules in sorted(grouped.items())
    ]


def as_text(found: Sequence[Exclusion]) -> str:
    """Exclusions as a configuration has them."""
    tables = []
    for one in found:
        lines = ["[[firewall.exclude]]"]
        if one.when:
            lines.append(f'when = "{one.when}"')
        lines.append(f"rules = [{_quoted(one.rules)}]")
        if one.variables:
            lines.append(f"variables = [{_quoted(one.variables)}]")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def _is_of(match: Match, pair: Pair) -> bool:
    return match.rule == pair.rule and pair.variable in ("", nameable(match.where))

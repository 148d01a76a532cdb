"""What the rules make of a request or an answer: the same for one that passes now and for one out of the journal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from interpose.filters.firewall.messages import Verdict
from interpose.filters.firewall.own_rules import Found
from interpose.filters.firewall.reasons import Match
from interpose.filters.firewall.rule_text import REFUSING


class Judgement(NamedTuple):
    """`status` is that of a refusal, 0 for none; `score` what counts of the matches; `reaches` whether that is at the
    threshold or above, or a rule refuses by itself, whatever the mode makes of it."""

    status: int
    score: int
    matches: Sequence[Match]
    reaches: bool
    by: Match | None


_LEVEL = re.compile(r"paranoia-level/([1-4])")
NOTHING = Found([], 0, None)


def judged(
    found: Found, verdict: Verdict | None, *, is_answer: bool, blocking: int, threshold: int, blocks: bool
) -> Judgement:
    """What follows from own rules and the rule set. `blocking` is the level up to which matches count."""
    matches = list(found.matches)
    score = found.score
    refused = 0
    if verdict is not None:
        matches += [counting(match, blocking) for match in verdict.matches]
        sums = verdict.outbound if is_answer else verdict.inbound
        score += sum(sums[:blocking])
        refused = verdict.status
    refuses = any(match.rule in REFUSING for match in matches)  # also where the library is told to refuse nothing
    reaches = found.blocked_by is not None or refused != 0 or refuses or score >= threshold
    by = found.blocked_by
    if by is None and reaches:
        by = max(matches, key=lambda match: match.score, default=None)
    status = (refused or 403) if reaches and blocks else 0
    return Judgement(status, score, matches, reaches, by)


def counting(match: Match, blocking: int) -> Match:
    """The match with what it adds to the sum that blocks: nothing, when its level lies above."""
    for tag in match.tags:
        if (level := _LEVEL.fullmatch(tag)) is not None:
            return match if level[1] <= str(blocking) else replace(match, score=0)
    return match

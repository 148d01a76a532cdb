"""What follows from own rules and the rule set."""

from __future__ import annotations

import pytest

from interpose.filters.firewall.judge import NOTHING, judged
from interpose.filters.firewall.messages import Verdict
from interpose.filters.firewall.own_rules import Found
from interpose.filters.firewall.reasons import NO_SCORES, Match, Scores, why

SQL = Match("942100", 5, "ARGS:id", "SQL")
ABOVE = Match("942361", 5, "ARGS:id", "odd", ("attack-sqli", "paranoia-level/2"))
OWN = Match("mine", 3, "", "mine")
BLOCK = Match("stop", 0, "", "stop here")


def verdict(status: int = 0, inbound: Scores = NO_SCORES, *matches: Match, outbound: Scores = NO_SCORES) -> Verdict:
    return Verdict(1, status, True, inbound, outbound, list(matches))


@pytest.mark.parametrize(
    ("found", "asked", "blocking", "blocks", "status", "score", "reaches"),
    [
        (NOTHING, None, 1, True, 0, 0, False),
        (NOTHING, verdict(403, (5, 0, 0, 0), SQL), 1, True, 403, 5, True),
        (NOTHING, verdict(0, (5, 0, 0, 0), SQL), 1, False, 0, 5, True),
        # what lies above the blocking level counts nothing
        (NOTHING, verdict(0, (0, 5, 0, 0), ABOVE), 1, True, 0, 0, False),
        (NOTHING, verdict(403, (0, 5, 0, 0), ABOVE), 2, True, 403, 5, True),
        # own rules add to the same sum, or block by themselves
        (Found([OWN], 3, None), verdict(0, (2, 0, 0, 0)), 1, True, 403, 5, True),
        (Found([OWN], 3, None), verdict(0, (1, 0, 0, 0)), 1, True, 0, 4, False),
        (Found([BLOCK], 0, BLOCK), None, 1, True, 403, 0, True),
        (Found([BLOCK], 0, BLOCK), None, 1, False, 0, 0, True),
        # a rule of the set that refuses by itself, and one that would if the library did more than note
        (NOTHING, verdict(400, NO_SCORES, Match("8400003", 5, "", "unreadable")), 1, True, 400, 0, True),
        (NOTHING, verdict(0, NO_SCORES, Match("8400003", 5, "", "unreadable")), 1, False, 0, 0, True),
    ],
)
def test_what_follows(
    found: Found, asked: Verdict | None, blocking: int, blocks: bool, status: int, score: int, reaches: bool
) -> None:
    judgement = judged(found, asked, is_answer=False, blocking=blocking, threshold=5, blocks=blocks)
    assert (judgement.status, judgement.score, judgement.reaches) == (status, score, reaches)


def test_an_answer_is_judged_by_its_own_sum() -> None:
    asked = verdict(0, (50, 0, 0, 0), outbound=(3, 0, 0, 0))
    assert not judged(NOTHING, asked, is_answer=True, blocking=1, threshold=4, blocks=True).reaches


def test_what_is_said_to_add_is_what_counts() -> None:
    asked = verdict(403, (5, 5, 0, 0), SQL, ABOVE)
    judgement = judged(NOTHING, asked, is_answer=False, blocking=1, threshold=5, blocks=True)
    assert [(match.rule, match.score) for match in judgement.matches] == [("942100", 5), ("942361", 0)]
    assert judgement.by == SQL
    assert why(judgement.matches, "inbound", 5, 5) == "The inbound score is 5, the threshold 5; by 942100."

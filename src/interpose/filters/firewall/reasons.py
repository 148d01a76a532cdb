"""Why: the rules that matched, what was summed, and how an exchange's notes say it.

    firewall          blocked inbound 15 of 5          (blocked | detected | noted), the side, the sum, the threshold
    firewall_matches  942100 5 ARGS:id SQL Injection Attack Detected via libinjection | 920350 3 …

Of what a rule looked at the note has the name and never the value: values are passwords, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from interpose.core.printable import printable
from interpose.protocol.number import decimal

MOST_NOTED = 20
MOST_NAMED = 5
LONGEST_NAME = 80
LONGEST_MESSAGE = 120
NOTE, MATCHES_NOTE = "firewall", "firewall_matches"

Scores = tuple[int, int, int, int]
"""What rules of each level of paranoia added."""
NO_SCORES: Scores = (0, 0, 0, 0)
SCORE_OF_SEVERITY = (5, 5, 5, 4, 3, 2, 0, 0)
"""Of the Core Rule Set: emergency, alert and critical, error, warning, notice."""

_SPACES = re.compile(r"[\s|]+")
_MATCH = re.compile(r"(\S{1,200}) ([0-9]{1,6}) (\S+) (.*)")
_SUMMED = re.compile(r"(blocked|detected|noted) (inbound|outbound) ([0-9]{1,9}) of ([0-9]{1,9})")


class Match(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A rule that matched: its number, or the name of one of ours; what it adds; where (`ARGS:id`); its words."""

    rule: str
    score: int
    where: str
    message: str
    tags: tuple[str, ...] = ()


class Told(NamedTuple):
    """What the notes of an exchange say about it."""

    result: str
    side: str
    score: int
    threshold: int
    matches: list[Match]


def note(notes: dict[str, str], result: str, side: str, score: int, threshold: int, matches: Sequence[Match]) -> None:
    """Write it into `notes`. What was said of the request stays with what is said of its answer."""
    notes[NOTE] = f"{result} {side} {score} of {threshold}"
    told = [_said(match) for match in matches[:MOST_NOTED]]
    earlier = notes.get(MATCHES_NOTE)
    if told:
        notes[MATCHES_NOTE] = " | ".join([earlier, *told] if earlier else told)


def told_by(notes: Mapping[str, str]) -> Told | None:
    """What `notes` say; None when the firewall left none."""
    summed = _SUMMED.fullmatch(notes.get(NOTE, ""))
    if summed is None:
        return None
    matches = [match for text in notes.get(MATCHES_NOTE, "").split(" | ") if (match := _read(text)) is not None]
    return Told(summed[1], summed[2], _number(summed[3]), _number(summed[4]), matches)


def why(matches: Sequence[Match], side: str, score: int, threshold: int) -> str:
    """The sentence of a refusal: the sum, and the rules that add to it."""
    rules = list(dict.fromkeys(match.rule for match in matches if match.score))
    more = f" and {len(rules) - MOST_NAMED} more" if len(rules) > MOST_NAMED else ""
    return f"The {side} score is {score}, the threshold {threshold}; by {', '.join(rules[:MOST_NAMED])}{more}."


def _said(match: Match) -> str:
    where = _SPACES.sub("_", printable(match.where.encode("utf-8", "replace")))[:LONGEST_NAME] or "-"
    message = _SPACES.sub(" ", printable(match.message.encode("utf-8", "replace")))[:LONGEST_MESSAGE]
    return f"{_SPACES.sub('_', match.rule)[:LONGEST_MESSAGE]} {match.score} {where} {message}"


def _read(text: str) -> Match | None:
    found = _MATCH.fullmatch(text)
    return None if found is None else Match(found[1], _number(found[2]), found[3], found[4])


def _number(text: str) -> int:
    return decimal(text.encode()) or 0

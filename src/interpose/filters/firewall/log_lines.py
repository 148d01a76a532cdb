"""What the library says when a rule matches, read into values.

A line begins with what matched, in which a client has a say, and goes on with the file of the rule, its line, number
and words. The directory of the file has a name that nobody can guess, so the rest begins where that stands, and nowhere
else. Lines are short: the library cuts values after 100 or 200 characters.
"""

from __future__ import annotations

import re

from interpose.filters.firewall.reasons import NO_SCORES, SCORE_OF_SEVERITY, Match, Scores
from interpose.filters.firewall.rule_text import REPORT_IDS
from interpose.protocol.number import decimal

_REST = re.compile(
    rb'[^"]*"\] \[line "[0-9]+"\] \[id "([0-9]+)"\] \[rev "[^"]*"\] \[msg "(.*?)"\] \[data "(.*)"\] '
    rb'\[severity "([0-9])"\] \[ver "',
    re.DOTALL,
)
_SUMS = re.compile(rb'[^"]*"\] \[line "[0-9]+"\] \[id "([0-9]+)"\] \[rev "[^"]*"\] \[msg "([0-9,]*)"\]')
_TAG = re.compile(rb'\[tag "([A-Za-z0-9_./-]{1,60})"\]')
_AGAINST = re.compile(rb" against variable `(.{1,200}?)' \(Value: `", re.DOTALL)
_WITHIN = re.compile(rb" found within ([A-Z_]{1,40}(?::[^\s:]{1,200})?)")
_EVALUATIONS = re.compile(rb"949\d{3}|959\d{3}|980\d{3}")
"""Rules that compare sums with thresholds: what they say is known by then."""


class LogLines:
    """Reads the lines of a library that has its rules below the directory `secret`."""

    def __init__(self, secret: str) -> None:
        self._begins = f'[file "{secret}/'.encode()

    def match(self, line: bytes) -> Match | None:
        """The rule that a line tells of; None for those that only compare sums."""
        said, begins, rest = line.partition(self._begins)
        found = _REST.match(rest) if begins else None
        if found is None or _EVALUATIONS.fullmatch(found[1]):
            return None
        where = _AGAINST.search(said) or _WITHIN.search(found[3])
        tags = tuple(tag.decode() for tag in _TAG.findall(rest, found.end()))
        severity = decimal(found[4]) or 0
        return Match(
            found[1].decode(),
            SCORE_OF_SEVERITY[severity] if severity < len(SCORE_OF_SEVERITY) else 0,
            where[1].decode("utf-8", "replace") if where else "",
            found[2].decode("utf-8", "replace"),
            tags,
        )

    def sums(self, line: bytes) -> tuple[Scores, Scores] | None:
        """The sums of request and answer that a line tells; None when it tells of something else."""
        found = _SUMS.match(line.partition(self._begins)[2])
        if found is None or found[1].decode() not in REPORT_IDS:
            return None
        sums = [decimal(number) or 0 for number in found[2].split(b",")]
        if len(sums) != 12:
            return None
        inbound = [old or new for old, new in zip(sums[:4], sums[4:8], strict=True)]
        return (*inbound,), (*sums[8:],)  # type: ignore[return-value]


NO_SUMS: tuple[Scores, Scores] = (NO_SCORES, NO_SCORES)

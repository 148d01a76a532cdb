"""Two rule sets compared, and the fewest exclusions that free what one of them refuses."""

from __future__ import annotations

import pytest

from interpose.filters.firewall.options import Exclusion
from interpose.filters.firewall.reasons import Match
from interpose.filters.firewall.what_if import (
    Judged,
    Pair,
    as_text,
    by_rule,
    differences,
    exclusions,
    nameable,
    not_in_vain,
    smallest_cover,
)

THRESHOLD = 5


def judged(id: int, *matches: tuple[str, str, int], path: str = "/a") -> Judged:
    score = sum(score for _, _, score in matches)
    told = [Match(rule, adds, where, f"what {rule} means") for rule, where, adds in matches]
    return Judged(id, path, score >= THRESHOLD, "inbound", score, told, score - THRESHOLD + 1)


def test_who_is_newly_refused_and_who_newly_free() -> None:
    free, refused = judged(1), judged(1, ("942100", "ARGS:a", 5))
    other_free, other_refused = judged(2), judged(2, ("941100", "ARGS:b", 5))
    newly, freed = differences({1: free, 2: other_refused, 3: free}, {1: refused, 2: other_free, 3: free})
    assert [change.after for change in newly] == [refused]
    assert [change.before for change in freed] == [other_refused]


def test_rules_are_counted_once_for_each_exchange() -> None:
    told = [
        judged(1, ("1", "ARGS:a", 5), ("1", "ARGS:b", 5)),
        judged(2, ("1", "ARGS:a", 3), ("2", "", 2), ("3", "", 0)),
    ]
    assert by_rule(told) == [("1", "what 1 means", 2), ("2", "what 2 means", 1)]


COVERS = [
    # One pair is in both, and each is free without it.
    ([(("1", "ARGS:a", 5), ("2", "ARGS:a", 3)), (("1", "ARGS:a", 5),)], {Pair("1", "ARGS:a")}),
    # One exclusion is not enough: 15 must become 4.
    (
        [(("1", "ARGS:a", 5), ("2", "ARGS:a", 5), ("3", "ARGS:a", 5))],
        {Pair("1", "ARGS:a"), Pair("2", "ARGS:a"), Pair("3", "ARGS:a")},
    ),
    # What was chosen first, since it is in most, is not needed any more once the others are.
    (
        [
            (("1", "ARGS:x", 3), ("2", "ARGS:a", 5)),
            (("1", "ARGS:x", 3), ("3", "ARGS:b", 5)),
            (("1", "ARGS:x", 3), ("2", "ARGS:a", 5), ("3", "ARGS:b", 5)),
        ],
        {Pair("2", "ARGS:a"), Pair("3", "ARGS:b")},
    ),
    # A rule that cannot be excluded: nothing else is excluded in vain.
    ([(("8400003", "REQBODY_ERROR", 5), ("1", "ARGS:a", 2))], set()),
    ([(("my own rule", "", 5), ("1", "ARGS:a", 5))], set()),
    # What cannot be named is excluded with its rule.
    ([(("1", "TX:0", 5),)], {Pair("1", "")}),
    ([(("1", "ARGS:a b", 5),)], {Pair("1", "")}),
    # What lies above the blocking level adds nothing.
    ([(("1", "ARGS:a", 5), ("77", "ARGS:a", 0))], {Pair("1", "ARGS:a")}),
]


@pytest.mark.parametrize(("matches", "wanted"), COVERS)
def test_the_fewest_exclusions_that_free_all_that_can_be_freed(
    matches: list[tuple[tuple[str, str, int], ...]], wanted: set[Pair]
) -> None:
    refused = [judged(number, *of_one) for number, of_one in enumerate(matches)]
    assert set(smallest_cover(refused, {77: 3}, blocking=1)) == wanted


def test_what_counts_for_detection_only_is_not_excluded() -> None:
    one = Judged(1, "/a", True, "inbound", 5, [Match("1", 5, "ARGS:a", ""), Match("2", 5, "ARGS:a", "")], 1)
    assert smallest_cover([one], {2: 3}, blocking=1) == [Pair("1", "ARGS:a")]


def test_what_changed_nothing_is_not_proposed_again_but_its_whole_rule_is_once() -> None:
    counts, text = Pair("920341", "REQUEST_HEADERS:Content-Type"), Pair("942100", "ARGS:a")
    assert not_in_vain([counts, text], []) == [counts, text]
    assert not_in_vain([counts, text], [counts]) == [Pair("920341", ""), text]
    assert not_in_vain([counts], [counts, Pair("920341", "")]) == []
    [found] = exclusions([Pair("920341", "")], [judged(1, ("920341", counts.variable, 5), path="/up")])
    assert (found.when, found.rules, found.variables) == ("path:/up", ("920341",), ())


def test_exclusions_are_as_narrow_as_what_they_free() -> None:
    refused = [
        judged(1, ("2", "ARGS:text", 5), ("1", "ARGS:text", 5), path="/blog/edit"),
        judged(2, ("3", "ARGS:q", 5), path="/a"),
        judged(3, ("3", "ARGS:q", 5), path="/b"),
        judged(4, ("4", "TX:1", 5), path="/odd path"),
    ]
    pairs = [Pair("1", "ARGS:text"), Pair("2", "ARGS:text"), Pair("3", "ARGS:q"), Pair("4", "")]
    found = exclusions(pairs, refused)
    assert found == [
        Exclusion(rules=("4",)),
        Exclusion(rules=("3",), variables=("ARGS:q",)),
        Exclusion(when="path:/blog/edit", rules=("1", "2"), variables=("ARGS:text",)),
    ]
    assert as_text(found[2:]) == (
        '[[firewall.exclude]]\nwhen = "path:/blog/edit"\nrules = ["1", "2"]\nvariables = ["ARGS:text"]'
    )


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("ARGS:a.b[c]-d", "ARGS:a.b[c]-d"),
        ("REQUEST_COOKIES:session", "REQUEST_COOKIES:session"),
        ("REQUEST_BODY", "REQUEST_BODY"),
        ("MATCHED_VAR", ""),
        ("TX:/x/", ""),
        ('ARGS:a"', ""),
        ("ARGS:a|ARGS", ""),
        ("", ""),
    ],
)
def test_what_an_exclusion_can_name(where: str, named: str) -> None:
    assert nameable(where) == named

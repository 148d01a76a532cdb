"""What the notes of an exchange say about the firewall, and that it can be read again."""

from __future__ import annotations

import pytest

from interpose.filters.firewall.reasons import MOST_NOTED, Match, note, told_by


def test_what_is_noted_can_be_read_again() -> None:
    notes: dict[str, str] = {}
    matches = [Match("942100", 5, "ARGS:id", "SQL Injection Attack"), Match("my rule", 0, "", "what it means")]
    note(notes, "blocked", "inbound", 15, 5, matches)
    assert notes == {
        "firewall": "blocked inbound 15 of 5",
        "firewall_matches": "942100 5 ARGS:id SQL Injection Attack | my_rule 0 - what it means",
    }
    told = told_by(notes)
    assert told is not None
    assert told[:4] == ("blocked", "inbound", 15, 5)
    assert [(match.rule, match.score, match.where, match.message) for match in told.matches] == [
        ("942100", 5, "ARGS:id", "SQL Injection Attack"),
        ("my_rule", 0, "-", "what it means"),
    ]


def test_what_is_said_of_the_answer_stands_behind_what_was_said_of_the_request() -> None:
    notes: dict[str, str] = {}
    note(notes, "noted", "inbound", 3, 5, [Match("920350", 3, "REQUEST_HEADERS:Host", "An address")])
    note(notes, "blocked", "outbound", 5, 4, [Match("951230", 5, "RESPONSE_BODY", "A leak")])
    told = told_by(notes)
    assert told is not None
    assert (told.side, [match.rule for match in told.matches]) == ("outbound", ["920350", "951230"])


def test_names_from_clients_are_one_printable_word_and_there_are_not_too_many() -> None:
    notes: dict[str, str] = {}
    hostile = Match("1", 5, "ARGS:a | 2 5 b\x1b[31m\r\n c" + "x" * 500, "m\n" * 500)
    note(notes, "noted", "inbound", 5, 5, [hostile] * 100)
    text = notes["firewall_matches"]
    assert text.isprintable()
    assert text.count(" | ") == MOST_NOTED - 1
    assert len(text) < MOST_NOTED * 260
    told = told_by(notes)
    assert told is not None
    assert {match.rule for match in told.matches} == {"1"}


@pytest.mark.parametrize("text", ["", "blocked", "blocked inbound x of 5", "blocked inbound 5 of 5 and more"])
def test_what_is_no_such_note_says_nothing(text: str) -> None:
    assert told_by({"firewall": text}) is None

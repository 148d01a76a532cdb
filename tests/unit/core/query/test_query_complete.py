"""What is proposed to who is typing a query."""

from __future__ import annotations

import pytest

from interpose.core.query.complete import MAX_PROPOSED, Completion, complete


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hos", [("host:", 0, 3)]),
        ("HOS", [("host:", 0, 3)]),
        ("a -(met", [("method:", 4, 7)]),
        ("--met", [("method:", 2, 5)]),
        ('"a b" coo', [("cookie.", 6, 9)]),
        ("(a) met", [("method:", 4, 7)]),
        ("method:D", [("DELETE", 7, 8)]),
        ("method:get,d", [("DELETE", 11, 12)]),
        ("is:ma", [("marked", 3, 5)]),
        ("response.ty", [("response.type:", 0, 11)]),
        ("field.us", [("field.user-agent:", 0, 8)]),
        ("-request.cache", [("request.cache-control:", 1, 14)]),
        ("ize", [("size:", 0, 3), ("request.size:", 0, 3), ("response.size:", 0, 3)]),
        ("failure:dns", [("dns_timeout", 8, 11), ("dns_error", 8, 11)]),
        ("host:a", []),
        ("note.x:a", []),
        ("xyz:", []),
        ('"hos', []),
        ('host:"a', []),
        ('"hos"', []),
        ("(a)", []),
        ("zzz", []),
        ("is:marked", []),
    ],
)
def test_words_and_values_that_begin_so_are_proposed(text: str, found: list[tuple[str, int, int]]) -> None:
    assert [each[:3] for each in complete(text, len(text))] == found


def test_only_what_is_left_of_the_cursor_counts() -> None:
    assert complete("hos method:GET", 3) == [
        Completion("host:", 0, 3, "the host asked for, without its port"),
    ]
    assert complete("hos", -1) == complete("", 0)


def test_where_anything_may_stand_the_first_words_of_the_table_are_proposed() -> None:
    for text in ("", "host:a ", "(", "-", "(host:a) "):
        proposed = complete(text, len(text))
        assert len(proposed) == MAX_PROPOSED
        assert [each.text for each in proposed[:3]] == ["host:", "port:", "method:"]
        assert {each.start for each in proposed} == {len(text)}

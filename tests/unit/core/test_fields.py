"""Fields: ordered, compared without case, and never more than one line each."""

from __future__ import annotations

import pytest

from interpose.core.fields import MAX_REMEMBERED_LINE_BYTES, MAX_REMEMBERED_LINES, Fields, Memory, field_line, key_of


def test_order_and_case_stay_and_names_are_found_in_any_case() -> None:
    fields = Fields([("B", "1"), ("a", "2"), ("b", "3")])
    assert list(fields) == [("B", "1"), ("a", "2"), ("b", "3")]
    assert fields["b"] == fields["B"] == "1, 3"
    assert fields.get_all("B") == ["1", "3"]
    assert fields.first(b"b") == b"1"
    assert fields.every(b"b") == [b"1", b"3"]
    assert "A" in fields
    assert b"a" in fields
    assert 1 not in fields
    assert fields.get("c") is None
    assert fields.get("c", "x") == "x"
    assert len(fields) == 3


def test_setting_replaces_the_first_and_takes_off_the_others() -> None:
    fields = Fields([("B", "1"), ("a", "2"), ("b", "3"), ("c", "4")])
    fields["b"] = "5"
    assert list(fields) == [("b", "5"), ("a", "2"), ("c", "4")]
    fields["d"] = "6"
    assert list(fields)[-1] == ("d", "6")


def test_taking_off_takes_off_every_line() -> None:
    fields = Fields([("B", "1"), ("a", "2"), ("b", "3")])
    del fields["B"]
    assert list(fields) == [("a", "2")]
    fields.remove("A", "none")
    assert list(fields) == []
    with pytest.raises(KeyError):
        fields["a"]


def test_a_copy_changes_by_itself() -> None:
    fields = Fields([("a", "1")])
    copy = fields.copy()
    copy["a"] = "2"
    assert fields["a"] == "1"
    assert copy != fields
    assert Fields([("a", "1")]) == fields


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", "a\r\n", "a\x00", "\u00e9", "a\t", "(a)", "a/b", "\u212a", b"\xff"]
)
def test_what_is_no_name_is_refused(name: str | bytes) -> None:
    with pytest.raises(ValueError, match="is not a field name"):
        field_line(name, "x")


@pytest.mark.parametrize("value", ["a\r\nb", "a\rb", "a\nb", "\x00", "\x7f", " a", "a ", "\ta", "a\t", "\x1b", b"\x08"])
def test_what_is_no_value_is_refused(value: str | bytes) -> None:
    with pytest.raises(ValueError, match="control characters or outer white space"):
        field_line("X", value)


def test_text_beyond_latin_1_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="outside Latin-1; encode it first"):
        field_line("X", "\u20ac")


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "\u00e9\u00ff", "!", "\x80\x85\xa0"])
def test_values_are_kept_as_they_are(value: str) -> None:
    assert field_line("X", value).value == value.encode("latin-1")


def test_lines_that_were_seen_are_remembered_up_to_a_bound() -> None:
    memory = Memory()
    for number in range(MAX_REMEMBERED_LINES + 10):
        raw = b"X: %d" % number
        memory.keep(raw, field_line("X", b"%d" % number))
    assert 0 < len(memory) <= MAX_REMEMBERED_LINES
    long = b"X: " + b"y" * MAX_REMEMBERED_LINE_BYTES
    memory.keep(long, field_line("X", b"y" * MAX_REMEMBERED_LINE_BYTES))
    assert long not in memory


def test_names_are_compared_in_ascii() -> None:
    assert key_of("\u212aey") != b"key"
    assert key_of("KEY") == key_of(b"Key") == b"key"

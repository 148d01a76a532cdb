"""What a terminal is given of what was sent: nothing that it or the reader's eye would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.printable import hexadecimal, printable, whole_characters


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"Foobar", "Foobar"),
        (b"Foobar\n", "Foobar\\n"),
        (b"a\tb\r\n", "a\\tb\\r\\n"),
        (b"\x00\x07\x08\x0b\x0c", "\\x00\\x07\\x08\\x0b\\x0c"),
        (b"\x1b[2J\x1b]0;mine\x07", "\\x1b[2J\\x1b]0;mine\\x07"),
        (b"\x7f", "\\x7f"),
        (b"\xc2\x80\xc2\x9b1m\xc2\x9f", "\\u0080\\u009b1m\\u009f"),
        (b"\x9b31m", "\\x9b31m"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"caf\xc3", "caf\\xc3"),
        (b"\xc0\xaf", "\\xc0\\xaf"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),
        ("Grüße, 世界, שלום".encode(), "Grüße, 世界, שלום"),
        ("👩\u200d💻 می\u200cروم".encode(), "👩\u200d💻 می\u200cروم"),
        ("a\u202eb\u2066c\u2069\u200f\u061c".encode(), "a\\u202eb\\u2066c\\u2069\\u200f\\u061c"),
        ("\u2028\u2029\ufeff\u200b\xad".encode(), "\\u2028\\u2029\\ufeff\\u200b\\u00ad"),
        ("\U000e0041".encode(), "\\U000e0041"),
        (rb"C:\new", r"C:\new"),
    ],
)
def test_controls_are_shown_and_text_stays(data: bytes, shown: str) -> None:
    assert printable(data) == shown


def test_what_is_kept_stays_and_nothing_else() -> None:
    assert printable(b"one\r\ntwo\t\x1b[m\n", keep="\n\t") == "one\\r\ntwo\t\\x1b[m\n"


@given(st.binary())
def test_nothing_of_any_bytes_is_obeyed(data: bytes) -> None:
    shown = printable(data)
    assert "\n" not in shown
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")]


@given(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "S"])))
def test_text_stays_as_it_is(text: str) -> None:
    assert printable(text.encode()) == text


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", 0),
        (b"ab", 2),
        (b"a\xc3", 1),
        (b"a\xc3\xa9", 3),
        (b"\xe4\xb8", 0),
        (b"\xe4\xb8\x96", 3),
        (b"a\xf0\x9f\x91", 1),
        (b"\xf0\x9f\x91\xa9", 4),
        (b"\x80\x80\x80\x80", 4),
        (b"\xff", 1),
        (b"\xc3a", 2),
    ],
)
def test_only_a_character_that_is_cut_off_is_left_out(data: bytes, whole: int) -> None:
    assert whole_characters(data) == whole


def test_hexadecimal_has_lines_of_sixteen() -> None:
    assert list(hexadecimal(b"GET / HTTP/1.1\r\nHost: \x1b\xff|", offset=32)) == [
        "00000020  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|",
        "00000030  48 6f 73 74 3a 20 1b ff  7c                       |Host: ..||",
    ]
    assert list(hexadecimal(b"")) == []

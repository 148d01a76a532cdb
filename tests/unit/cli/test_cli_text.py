"""What a terminal is given, and line ends, whatever the borders of the pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interpose.cli.line_ends import CrLf
from interpose.cli.terminal_text import TerminalText


def shown(*pieces: bytes) -> str:
    text = TerminalText()
    return (b"".join([text(piece) for piece in pieces]) + text(None)).decode()


def test_lines_stay_lines_and_controls_are_shown() -> None:
    assert shown(b"a\tb\nc\r\nd\re\x1b[0m\x00\xff") == "a\tb\nc\nd\\re\\x1b[0m\\x00\\xff\n"


def test_what_is_cut_by_the_border_of_a_piece_is_put_together() -> None:
    assert shown("é".encode()[:1], "é".encode()[1:], b"\r", b"\n", b"x\r", b"y\n") == "é\nx\\ry\n"


def test_what_is_cut_by_the_end_is_shown() -> None:
    assert shown(b"a\xc3") == "a\\xc3\n"
    assert shown(b"a\r") == "a\\r\n"


def test_a_last_line_gets_its_end_and_nothing_gets_none() -> None:
    assert shown() == ""
    assert shown(b"a") == "a\n"
    assert shown(b"a\n") == "a\n"
    assert shown(b"") == ""


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_pieces_do_not_matter_and_nothing_is_obeyed(pieces: list[bytes]) -> None:
    text = shown(*pieces)
    assert text == shown(b"".join(pieces))
    assert all(c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160) for c in text)


@given(st.lists(st.binary(max_size=4).map(lambda b: b.replace(b"\x00", b"\r").replace(b"\x01", b"\n")), max_size=8))
def test_every_line_ends_with_cr_lf_once(pieces: list[bytes]) -> None:
    change = CrLf()
    changed = b"".join([change(piece) for piece in pieces])
    whole = b"".join(pieces)
    assert changed == whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

"""Sequence diagrams: what they look like, and what they do when there is too little room."""

from typing import Any

import pytest

from interpose.lab.diagram import drawn, elapsed, in_ascii
from interpose.lab.scene import Event, Kind


def picture(parts: tuple[str, ...], events: list[Event], width: int, *, clock: bool = False) -> list[str]:
    return ["".join(span.text for span in line).rstrip(" ") for line in drawn(parts, events, width, clock=clock)]


def note(who: str, text: str) -> Event:
    return Event(Kind.NOTE, who, who, text, 0.0012)


def arrow(source: str, target: str, text: str, kind: Kind = Kind.ARROW) -> Event:
    return Event(kind, source, target, text, 0.5)


def test_two_parts() -> None:
    events = [
        note("server", "listen()"),
        arrow("client", "server", 'send("Foobar\\n")'),
        arrow("server", "client", "FIN"),
        arrow("client", "server", "datagram", Kind.LOST),
        note("client", "close()"),
    ]
    assert picture(("client", "server"), events, 40) == [
        "client                            server",
        " │                          listen() ╶┤",
        ' │───────── send("Foobar\\n") ────────▶│',
        " │◀────────────── FIN ────────────────│",
        " │─────── datagram ──────✗            │",
        " ├╴ close()                           │",
        " │                                    │",
    ]


def test_an_arrow_crosses_the_lines_between() -> None:
    [_, crossing, _] = picture(("a", "b", "c"), [arrow("a", "c", "x")], 62)
    assert crossing.count("┼") == 0  # the label stands there
    assert " x " in crossing
    rows = picture(("a", "b", "c"), [arrow("a", "c", "word " * 14)], 62)
    assert any("┼" in row for row in rows)


def test_long_notes_are_wrapped_beside_their_line() -> None:
    rows = picture(("left", "right"), [note("right", "one two three four five six seven eight")], 32)
    assert len(rows) > 3
    assert all(len(row) <= 32 for row in rows)
    assert rows[1].endswith("╶┤")
    assert rows[2].endswith(" │")


def test_the_clock_stands_at_the_left_of_the_first_row_of_an_event() -> None:
    rows = picture(("left", "right"), [note("left", "listen()")], 50, clock=True)
    assert rows[1].startswith("  1.2 ms   ├╴ listen()")


def test_narrow_terminals_get_a_list() -> None:
    events = [Event(Kind.TITLE, "", "", "First", 0.0), arrow("a", "b", "hello"), note("c", "is\tthere")]
    assert picture(("a", "b", "c"), events, 40) == ["", "First", "a ─▶ b: hello", "c: is   there"]


@pytest.mark.parametrize("width", [20, 33, 48, 66, 80, 100])
@pytest.mark.parametrize("parts", [("only",), ("left", "right"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_no_row_is_wider_than_asked(parts: tuple[str, ...], width: int) -> None:
    long = "a sentence of many words that says where GET http://127.0.0.1:40000/a/very/long/path/without/a/break went"
    events: list[Any] = [note(part, long) for part in parts]
    events += [arrow(parts[0], parts[-1], long), arrow(parts[-1], parts[0], long, Kind.LOST)] if len(parts) > 1 else []
    events.append(Event(Kind.TITLE, "", "", long, 0.0))
    assert max(map(len, picture(parts, events, width, clock=width > 40))) <= width


def test_wide_characters_keep_the_columns() -> None:
    rows = picture(("left", "right"), [note("left", "日本")], 40)
    assert rows[1].startswith(" ├╴ 日本")
    assert rows[1].endswith("│")
    assert len(rows[1]) == len(rows[2]) - 2


def test_ascii_has_every_mark() -> None:
    marks = "".join(picture(("a", "b"), [arrow("a", "b", "x"), arrow("b", "a", "x", Kind.LOST), note("b", "n")], 40))
    assert in_ascii(marks).isascii()
    assert "?" not in in_ascii(marks)


def test_times_have_the_unit_that_suits_them() -> None:
    assert [elapsed(0.00012), elapsed(0.25), elapsed(1.5)] == ["0.1 ms", "250.0 ms", "1.50 s"]

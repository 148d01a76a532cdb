"""Experiments in a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from tests.support.experiment_views import experiment, some

from interpose.cli.experiment_view import experiment_view, list_view, percent


def printed(what: Any) -> list[list[str]]:
    """The cells of each line."""
    out = io.StringIO()
    Console(file=out, width=200, highlight=False, markup=False).print(what)
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.getvalue().splitlines()]


def test_a_line_says_how_each_stands_and_what_may_be_said() -> None:
    lines = printed(list_view(some()))
    assert lines[1][:4] == ["checkout", "running", "50 %", "19,814"]
    assert lines[1][4].startswith("order: button=green is better")
    assert lines[3][1:] == [
        "rolled back",
        "50 %",
        "9,500",
        "The sample ratio is wrong; see interpose experiments show.",
    ]
    assert lines[4][4] == "order: Too few units to say anything."


def test_one_is_shown_with_its_numbers_its_ramp_and_its_decisions() -> None:
    lines = printed(experiment_view(some()[0]))
    assert lines[0] == ["checkout", "running", "50 % of cookies, 5 % held out"]
    assert lines[1][:5] == ["ramp", "1 %", "10 %", "50 %", "100 %"]
    assert ["button=green", "9,941", "50 %", "1,320", "13.28 %", "12.63 % to 13.96 %", "100 %", "better"] in lines
    assert lines[-1][1:] == ["running", "interpose", "50 % of the units take part."]


def test_effects_are_differences_in_points() -> None:
    lines = printed(experiment_view(some()[1]))
    assert ["layout=new", "+1.22 points", "0.0018"] in lines


def test_what_is_wrong_is_said_before_the_numbers() -> None:
    lines = printed(experiment_view(some()[2]))
    assert any("Something loses units" in line[0] for line in lines[:4] if line)
    assert ["Guard broken: button=green: 5 % of its exchanges fail, 1 % of the control's."] in lines


def test_no_text_of_anybody_reaches_the_terminal_as_it_is() -> None:
    shown = experiment("e", {"f": ("a", "b")}, {}, why="\x1b[2J")
    out = io.StringIO()
    Console(file=out, width=200).print(experiment_view(shown))
    assert "\x1b[2J" not in out.getvalue()


def test_shares_have_as_many_places_as_say_something() -> None:
    given = (0, 0.00001, 0.00123, 0.0123, 0.5, 0.123456, 0.99999, 1)
    assert [percent(share) for share in given] == [
        "0 %", "< 0.01 %", "0.12 %", "1.2 %", "50 %", "12.3 %", "100 %", "100 %",
    ]  # fmt: skip

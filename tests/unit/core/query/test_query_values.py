"""What a value takes and what it does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.query.values import Contained, Glob, Span, Template, Window, folded


def test_only_ascii_letters_are_folded() -> None:
    assert folded("Shop.EXAMPLE-1_[") == "shop.example-1_["
    assert folded("\u212aELVIN ÄÖ İ") == "\u212aelvin ÄÖ İ"


@pytest.mark.parametrize(
    ("parts", "text", "takes"),
    [
        (("", ".example.com"), "a.example.com", True),
        (("", ".example.com"), "example.com", False),
        (("", ".example.com"), "a.example.com.evil", False),
        (("/api/", ""), "/api/", True),
        (("/api/", ""), "/api", False),
        (("a", "a"), "a", False),
        (("a", "a"), "aa", True),
        (("ab", "ba"), "aba", False),
        (("a", "b", "c"), "a-b-c", True),
        (("a", "b", "b"), "ab", False),
        (("", "b", ""), "abc", True),
        (("", "a", "a", ""), "a", False),
        (("a", "c", ""), "ac\nx", True),
    ],
)
def test_a_glob_takes_its_parts_in_their_order(parts: tuple[str, ...], text: str, takes: bool) -> None:
    assert Glob(parts).matches(text) is takes


@given(st.lists(st.text("ab", max_size=3), min_size=2, max_size=5), st.text("ab", max_size=12))
def test_a_glob_takes_what_a_pattern_with_gaps_takes(parts: list[str], text: str) -> None:
    pattern = ".*".join(map(re.escape, parts))
    assert Glob(tuple(parts)).matches(text) is (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    ("template", "path", "takes"),
    [
        (Template(("", "users", None), ("id",)), "/users/7", True),
        (Template(("", "users", None), ("id",)), "/users/", False),
        (Template(("", "users", None), ("id",)), "/users", False),
        (Template(("", "users", None), ("id",)), "/users/7/orders", False),
        (Template(("", "users", None), ("id",)), "/USERS/7", False),
        (Template(("", None, "orders"), ("id",)), "/7/orders", True),
        (Template(("", None, "orders"), ("id",)), "/7/8/orders", False),
        (Template(("", "u", None), ("id",), rest=True), "/u/7/a/b", True),
        (Template(("", "u", None), ("id",), rest=True), "/u/7/", True),
        (Template(("", "u", None), ("id",), rest=True), "/u/7", False),
        (Template(("", "u", None), ("id",), rest=True), "/u//a", False),
    ],
)
def test_a_template_takes_paths_of_its_segments(template: Template, path: str, takes: bool) -> None:
    assert template.matches(path) is takes


def test_what_is_contained_stands_anywhere_in_any_case() -> None:
    assert Contained("token").matches("a TOKEN=1")
    assert not Contained("token").matches("to ken")


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (Span(500, 599), (500, 550, 599), (499, 600)),
        (Span(500, None), (500, 10**9), (499.9,)),
        (Span(500, None, with_low=False), (501,), (500,)),
        (Span(None, 1.5), (0, 1.5), (1.6,)),
        (Span(None, 1.5, with_high=False), (1.4,), (1.5,)),
    ],
)
def test_a_span_has_its_ends_or_not(span: Span, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    assert [number in span for number in inside] == [True] * len(inside)
    assert [number in span for number in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("window", "day", "minute", "takes"),
    [
        (Window(0, 4, 480, 1080), 0, 480, True),
        (Window(0, 4, 480, 1080), 4, 1079, True),
        (Window(0, 4, 480, 1080), 4, 1080, False),
        (Window(0, 4, 480, 1080), 5, 600, False),
        (Window(4, 0, 0, 1440), 6, 1439, True),
        (Window(4, 0, 0, 1440), 1, 0, False),
        (Window(4, 4, 1320, 360), 4, 1320, True),
        (Window(4, 4, 1320, 360), 5, 359, True),
        (Window(4, 4, 1320, 360), 5, 360, False),
        (Window(4, 4, 1320, 360), 4, 359, False),
        (Window(6, 6, 1320, 360), 0, 0, True),
    ],
)
def test_a_window_past_midnight_belongs_to_the_day_it_began_on(
    window: Window, day: int, minute: int, takes: bool
) -> None:
    assert window.contains(day, minute) is takes

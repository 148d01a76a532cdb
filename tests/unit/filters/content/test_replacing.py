"""Texts and patterns, replaced across the borders of chunks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from interpose.filters.content.options import Replacement
from interpose.filters.content.replacing import CompiledPattern, PatternReplacer, Step, TextReplacer, compiled
from interpose.filters.content.rules import replacement_of

LETTERS = st.text(alphabet="ab \n", max_size=60).map(str.encode)


def passed(step: Step, data: bytes, cuts: Iterable[int] = ()) -> bytes:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join([step.feed(data[a:b]) for a, b in pairwise(places) if b > a]) + step.finish()


@given(data=LETTERS, old=st.text(alphabet="ab", min_size=1, max_size=4), cuts=st.lists(st.integers(0, 60)))
@examples(150)
def test_a_text_is_replaced_as_if_the_content_came_whole(data: bytes, old: str, cuts: list[int]) -> None:
    assert passed(TextReplacer(old.encode(), b"<>"), data, cuts) == data.replace(old.encode(), b"<>")


def test_of_a_text_nothing_is_kept_back_but_what_may_be_its_beginning() -> None:
    step = TextReplacer(b"secret", b"*")
    assert step.feed(b"no ") == b"no "
    assert step.feed(b"sec") == b""
    assert step.feed(b"ond s") == b"second "
    assert step.feed(b"ecretse") == b"*"
    assert step.finish() == b"se"


@pytest.mark.parametrize("pattern", ["a{1,3}b", "(a|b)b", "ab?a", "^a+b", "b$", r"\bab", r"a\b"])
@given(data=LETTERS, cuts=st.lists(st.integers(0, 60), max_size=12))
@examples(40)
def test_a_pattern_is_replaced_as_if_the_content_came_whole(pattern: str, data: bytes, cuts: list[int]) -> None:
    judge = re.compile(b"(?m)" + pattern.encode())
    if any(len(match[0]) > 6 for match in judge.finditer(data)):
        return
    step = PatternReplacer(CompiledPattern(pattern, r"<\0>", 6))
    assert passed(step, data, cuts) == judge.sub(rb"<\g<0>>", data)


CASES = [
    (Replacement(text="Colour", with_="Color"), "Colour colour", "Color colour"),
    (Replacement(text="Äpfel.", with_="x", ignore_case=True), "äPFEL. äpfel!", "x äpfel!"),
    (Replacement(text="(a)", with_=r"\1", ignore_case=True), "(A)", r"\1"),
    (Replacement(pattern=r"(\d{3})-(\d{4})", with_=r"\2:\1\\"), "555-1234", "1234:555\\"),
    (Replacement(pattern="(a)|b", with_=r"[\1]"), "ab", "[a][]"),
    (Replacement(pattern="naïve", with_="smart", ignore_case=True), "NAÏVE", "smart"),
    (Replacement(text="gone", with_=""), "all gone", "all "),
]


@pytest.mark.parametrize(("options", "before", "after"), CASES, ids=lambda value: None)
def test_what_is_replaced_with_what(options: Replacement, before: str, after: str) -> None:
    made = replacement_of(options)
    step = PatternReplacer(made) if isinstance(made, CompiledPattern) else TextReplacer(*made)
    assert passed(step, before.encode(), range(len(before))).decode() == after


def test_a_match_longer_than_its_bound_stays() -> None:
    step = PatternReplacer(CompiledPattern("<i>[^<]*</i>", "", 20))
    assert passed(step, b"<i>short</i> <i>much longer than that</i> <i>end</i>") == b" <i>much longer than that</i> "


def test_a_pattern_keeps_back_no_more_than_twice_its_bound() -> None:
    step = PatternReplacer(CompiledPattern("z+", "", 100))
    sent = received = 0
    for _ in range(1000):
        sent += 10
        received += len(step.feed(b"a" * 10))
        assert sent - received <= 2 * 100 + 2 + 10


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("(?=a)", "invalid perl operator"), ("a**", "bad repetition operator"), ("a*", "matches where there is nothing")],
)
def test_what_is_no_pattern_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        compiled(pattern)


def test_groups_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="`with` names group 2, and the pattern has 1"):
        CompiledPattern("(a)", r"\2", 10)


HOSTILE: list[tuple[str, bytes]] = [
    ("(a+)+$", b"a" * 65536),
    ("(a|a)*b", b"a" * 65536),
    (r"(.*)(.*)(.*)=x", b"=" * 65536),
    (r"<i>[^<]*</i>", b"<i>" * 21845),
    (r"\b\d{3}-\d{2}-\d{4}\b", b"123-45-678" * 6553),
]


@pytest.mark.parametrize(("pattern", "data"), HOSTILE, ids=[pattern for pattern, _ in HOSTILE])
def test_a30_no_text_makes_a_pattern_slow(pattern: str, data: bytes) -> None:
    """(THREATS A30) Those are the patterns and texts that an engine which goes back never finishes."""
    made = CompiledPattern(pattern, "", 1024)

    def cost(size: int, chunk: int) -> float:
        step = PatternReplacer(made)
        began = time.process_time()
        for start in range(0, size, chunk):
            step.feed(data[start : start + chunk])
        step.finish()
        return time.process_time() - began

    assert quickest(lambda: cost(65536, 8192)) < 0.05
    assert quickest(lambda: cost(65536, 16)) < 0.25, "small chunks are not looked at again and again"


def quickest(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(3))

"""The page's own decisions, asked of its modules in Chromium: what differs, what octets are, how values are said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page
from tests.support.fake_console import FakeConsole

pytest_plugins = ["tests.support.page"]

CALL = """async ([module, name, values]) => {
  const work = (await import(`/${module}.js`))[name];
  try { return await work(...values.map(v => v && v.octets ? Uint8Array.from(v.octets) : v)); }
  catch (error) { return { error: error.message }; }
}"""


@pytest.fixture(scope="module")
def modules(chromium: Browser) -> Iterator[Page]:
    with FakeConsole() as console:
        page = chromium.new_page()
        page.goto(console.url)
        yield page
        page.close()


def call(page: Page, module: str, name: str, *values: Any) -> Any:
    return page.evaluate(CALL, [module, name, list(values)])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("size", 0, "0 B"),
        ("size", 1023, "1023 B"),
        ("size", 1536, "1.5 KiB"),
        ("size", 5 << 30, "5.0 GiB"),
        ("size", None, ""),
        ("duration", 0, "0 ms"),
        ("duration", 0.04, "0.04 ms"),
        ("duration", 7.25, "7.3 ms"),
        ("duration", 999, "999 ms"),
        ("duration", 1240, "1.24 s"),
        ("duration", 83_000, "1 min 23 s"),
        ("countdown", -3, "0:00"),
        ("countdown", 83.2, "1:24"),
        ("countdown", 3723, "1:02:03"),
        ("countdown", 400_000, "4 days"),
        ("span", 90, "2 min"),
        ("rate", 0.44, "0.4"),
        ("rate", 12345.6, "12,346"),
        ("statusClass", 204, "good"),
        ("statusClass", 503, "broken"),
        ("statusClass", 0, "none"),
    ],
)
def test_values_are_said_in_words(modules: Page, name: str, value: Any, said: str) -> None:
    assert call(modules, "words", name, value) == said


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("00 ff\n7f", [0, 255, 127]),
        ("", []),
        ("0g", {"error": 'Line 1: "g" is no hexadecimal digit.'}),
        ("00\n123", {"error": "Line 2 has half an octet: write two digits for each."}),
    ],
)
def test_octets_are_read_from_pairs_of_digits(modules: Page, text: str, result: Any) -> None:
    assert call(modules, "hex", "fromHex", text) == result


def test_a_dump_shows_position_octets_and_characters(modules: Page) -> None:
    octets = {"octets": [*b"GET / HTTP/1.1\r\n", 0, 255]}
    assert call(modules, "hex", "dump", octets).split("\n") == [
        "000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1··",
        "000010  00 ff                                             ··",
    ]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a\nb\nc", "a\nb\nc", ["  a", "  b", "  c"]),
        ("a\nb\nc", "a\nx\nc", ["  a", "- b", "+ x", "  c"]),
        ("a\nb", "a\nb\nc", ["  a", "  b", "+ c"]),
        ("a\nb\nc\nd", "b\nd", ["- a", "  b", "- c", "  d"]),
        ("", "a", ["- ", "+ a"]),
    ],
)
def test_lines_that_differ(modules: Page, before: str, after: str, lines: list[str]) -> None:
    assert [f"{sign} {line}" for sign, line in call(modules, "differences", "lineDifferences", before, after)] == lines


LINES = st.lists(st.sampled_from("abcd"), max_size=12).map("\n".join)


@settings(max_examples=40, deadline=None)
@given(before=LINES, after=LINES)
def test_what_differs_leads_from_one_text_to_the_other(modules: Page, before: str, after: str) -> None:
    found = call(modules, "differences", "lineDifferences", before, after)
    assert "\n".join(line for sign, line in found if sign != "+") == before
    assert "\n".join(line for sign, line in found if sign != "-") == after
    if before == after:
        assert all(sign == " " for sign, _ in found)


def test_long_texts_are_compared_without_taking_for_ever(modules: Page) -> None:
    before = "\n".join(f"a{number}" for number in range(20_000))
    after = "\n".join(f"b{number}" for number in range(20_000))
    found = call(modules, "differences", "lineDifferences", f"same\n{before}", f"same\n{after}")
    assert len(found) == 40_001
    assert found[0] == [" ", "same"]


def test_only_what_is_near_a_difference_is_shown(modules: Page) -> None:
    lines = [[" ", str(number)] for number in range(20)]
    lines[10] = ["+", "new"]
    kept = call(modules, "differences", "withContext", lines, 2)
    assert kept == [None, [" ", "8"], [" ", "9"], ["+", "new"], [" ", "11"], [" ", "12"], None]
    assert call(modules, "differences", "withContext", lines[7:], 2)[0] == [" ", "7"]  # one line is its own mark


def test_heads_differ_by_field_whatever_its_case(modules: Page) -> None:
    before = {"method": "GET", "url": "http://a/", "fields": [["Accept", "*/*"], ["X-One", "1"], ["x-one", "2"]]}
    after = {"method": "PUT", "url": "http://a/", "fields": [["accept", "*/*"], ["X-One", "1"], ["X-New", "n"]]}
    assert call(modules, "differences", "headDifferences", before, after) == [
        {"where": "method", "before": "GET", "after": "PUT"},
        {"where": "x-one", "before": "1\n2", "after": "1"},
        {"where": "x-new", "before": None, "after": "n"},
    ]


def draft(**changes: Any) -> dict[str, Any]:
    content = {"shape": "text", "text": "abc"}
    return {"method": "GET", "url": "http://a/", "status": 0, "reason": "", "fields": [], "content": content, **changes}


@pytest.mark.parametrize(
    ("changed", "edit"),
    [
        (draft(), {}),
        (draft(content={"shape": "hex", "text": "61 62 63"}), {}),
        (draft(content={"shape": "hex", "text": "61 62"}), {"base64": "YWI="}),
        (draft(content={"shape": "json", "text": "[]"}), {"text": "[]"}),
        (draft(fields=[["", ""]]), {}),
        (draft(fields=[["A", "1"]], method="PUT"), {"fields": [["A", "1"]], "method": "PUT"}),
    ],
)
def test_an_edit_says_only_what_differs(modules: Page, changed: dict[str, Any], edit: dict[str, Any]) -> None:
    assert call(modules, "message_editor", "editOf", changed, draft()) == edit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', ""),
        ('{\n  "a": 1,\n  b\n}', "This is no JSON, from line 3, column 3 on."),
    ],
)
def test_what_is_wrong_with_json_is_pointed_at(modules: Page, text: str, said: str) -> None:
    assert call(modules, "json_text", "problemOf", text) == said


def test_seconds_are_counted_in_pieces_of_time(modules: Page) -> None:
    at = [1_790_000_009.5, 1_790_000_010.5, 1_790_000_011.0, 1_790_000_025.0, 1_790_000_040.0]
    work = """async ([at, values]) => [...(await import('/firewall_chart.js')).pieces(at, values)]"""
    assert modules.evaluate(work, [at, [1, 2, None, None, 0]]) == [
        [1_789_999_995, 1], [1_790_000_010, 2], [1_790_000_025, None], [1_790_000_040, 0],
    ]  # fmt: skip


def test_a_line_of_the_last_values_ends_at_the_right_and_is_broken_where_nothing_is_known(modules: Page) -> None:
    assert call(modules, "upstream_servers", "pathOf", [0, 10, None, 5], 10) == "M87 19L88 1M90 10"
    assert call(modules, "upstream_servers", "pathOf", [], 1) == ""

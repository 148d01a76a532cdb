"""What the manual says about attacks and faults is shown by tests that exist, and no such test is without its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/threats.md").read_text()
ROWS = dict(re.findall(r"^\*\*([AF]\d+) · (.+?)(?=^\*\*[AF]\d+ ·|^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LINK = re.compile(r"\[`([a-z0-9_]+)`\]\(\.\./(tests/[a-z0-9_/]+\.py)\)")
NAMED = re.compile(r"def test_((?:[af]\d+_)+(?:to_[af]\d+_)?)")


def numbers_of(prefix: str) -> set[str]:
    """The rows that the beginning of a test's name stands for: `a1_to_a3_` is A1, A2 and A3."""
    found = re.findall(r"([af])(\d+)", prefix)
    if "_to_" in prefix:
        return {f"A{number}" for number in range(int(found[0][1]), int(found[-1][1]) + 1)}
    return {f"{letter.upper()}{number}" for letter, number in found}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_a_row_is_shown_by_tests_that_exist_and_carry_its_number(row: str) -> None:
    links = LINK.findall(ROWS[row])
    assert links, f"{row} names no test"
    for name, file in links:
        assert re.search(rf"^(?:async )?def test_{name}\(", (ROOT / file).read_text(), re.MULTILINE), (name, file)
        match = NAMED.match(f"def test_{name}")
        assert match is not None, name
        assert row in numbers_of(match[1]), name


def test_every_link_of_the_page_belongs_to_a_row() -> None:
    assert len(LINK.findall(PAGE)) == sum(len(LINK.findall(text)) for text in ROWS.values())


def test_every_test_with_a_number_has_its_row() -> None:
    found: dict[str, str] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        for match in NAMED.finditer(file.read_text()):
            for number in numbers_of(match[1]):
                found.setdefault(number, str(file.relative_to(ROOT)))
    assert {number: file for number, file in found.items() if number not in ROWS} == {}


def test_what_is_asked_of_the_parts_that_exist_has_its_row() -> None:
    attacks = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 19, 20, 21, 22, 23, 26, 27, 31, 32, 33}
    faults = {1, 2, 3, 4, 5, 7, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 27, 28}
    wanted = {f"A{number}" for number in attacks} | {f"F{number}" for number in faults}
    assert wanted <= ROWS.keys()

"""The manual's page about queries says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interpose.core.query import QueryError, parse
from interpose.core.query.words import WORDS

PAGE = (Path(__file__).resolve().parents[4] / "docs/queries.md").read_text("utf-8")
SHOWN = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
WRITTEN = [query for row in re.findall(r"^\| (`.*?) \| ", PAGE.partition("## What is not")[0], re.MULTILINE)
           for query in re.findall(r"`(.*?)`(?=,|$)", row)]  # fmt: skip


def test_the_queries_that_it_shows_are_queries() -> None:
    assert SHOWN is not None
    assert len(SHOWN[1].splitlines()) == 3
    assert len(WRITTEN) == 21
    for query in SHOWN[1].splitlines() + WRITTEN:
        parse(query)


def test_the_error_that_it_shows_is_the_error() -> None:
    with pytest.raises(QueryError) as caught:
        parse("host:shop.example methd:POST")
    assert f"```text\n{caught.value.rendered}\n{caught.value.message}\n```" in PAGE


def test_it_has_a_row_for_each_word() -> None:
    rows = re.findall(r"^\| `([a-z.A-Z]+)` \|", PAGE.partition("## Words")[2], re.MULTILINE)
    assert rows == [word.written for word in WORDS.values()]

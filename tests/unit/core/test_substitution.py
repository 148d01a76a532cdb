"""Texts with places to fill in, and how values are spelled in them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.exchange import Exchange
from interpose.core.facts import FACTS, NAMED_FACTS
from interpose.core.fields import Fields, field_line
from interpose.core.message import Request
from interpose.core.stream import Address
from interpose.core.substitution import Substitution, in_field, in_path, in_query, in_text
from interpose.core.target import Authority, Form, Target


def exchange(**captured: str) -> Exchange:
    made = Exchange(31, 1, "web", Address("2001:db8::7", 5000), 0.0)
    made.user, made.route, made.captured = "alice", "shop", captured or None
    return made


REQUEST = Request(
    "GET",
    Target(Form.ORIGIN, "https", Authority("a.example"), "/x/%C3%A9", "page=2&q=a%20b%26c"),
    Fields([("User-Agent", "curl/8"), ("Cookie", 's=1; t="2"')]),
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain {} { } {Not} {-}", "plain {} { } {Not} {-}"),
        ('{"id": {id}, "css": "a{b:c}"}', '{"id": 7, "css": "a{b:c}"}'),
        ("{{id}} is {id}", "{id} is 7"),
        ("{client}|{user}|{listener}|{route}|{exchange}", "2001:db8::7|alice|web|shop|1-1f"),
        ("{method} {scheme}://{host}:{port}{path}", "GET https://a.example:443/x/%C3%A9"),
        ("{query.page},{query.q},{query.none}", "2,a b&c,"),
        ("{cookie.s}{cookie.t}{cookie.u} {field.user-agent}{field.x}", "12 curl/8"),
    ],
)
def test_places_are_filled_in_and_other_braces_are_text(text: str, filled: str) -> None:
    assert Substitution(text).fill(exchange(id="7"), REQUEST, lambda value, _: value) == filled


def test_every_fact_can_be_filled_in() -> None:
    for name in [*FACTS, *(f"{kind}.x" for kind in NAMED_FACTS)]:
        substitution = Substitution(f"{{{name}}}")
        assert substitution.names == (name,)
        assert substitution.unknown(()) == []
        substitution.fill(exchange(), REQUEST, in_field)
    assert Substitution("{id} {nothing.x} {client.x} {query}").unknown(("id",)) == ["nothing.x", "client.x", "query"]


def test_what_came_from_a_path_stays_encoded_in_one_and_is_told_apart_in_a_query() -> None:
    text = Substitution("{id}/{query.q}")
    told = exchange(id="a%2Fb&c=d")
    assert text.fill(told, REQUEST, in_path) == "a%2Fb&c=d/a%20b%26c"
    assert text.fill(told, REQUEST, in_query) == "a%2Fb%26c%3Dd/a%20b%26c"
    assert text.fill(told, REQUEST, in_text("text/plain")) == "a/b&c=d/a b&c"


# Whatever a decoder may make of what a client sends: controls, line ends of all alphabets, halves of surrogate pairs.
ANYTHING = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\r\nX: y", "\n", "\0", "\x85", "\u2028", "a\rb", " x ", "\t", "..", "../..", "/", "?", "#", "%0d%0a", "\udc80"]
)


@given(ANYTHING, st.booleans())
def test_a10_nothing_that_is_filled_in_ends_the_part_it_stands_in(value: str, is_of_a_path: bool) -> None:
    if is_of_a_path:  # as the reader of targets lets it through
        value = re.sub(r"[^\x21\x22\x24-\x3e\x40-\x7e]", "_", value)
    path, query, line = (spell(value, is_of_a_path) for spell in (in_path, in_query, in_field))
    assert re.fullmatch(r"[\x21-\x7e]*", path) is not None
    assert not set("?#") & set(path)
    assert is_of_a_path or "/" not in path
    assert re.fullmatch(r"[A-Za-z0-9._~%-]*", query) is not None
    assert re.fullmatch(r"[\x20-\x7e]*", line) is not None
    wire = field_line("X-Value", line.strip(" \t")).wire
    assert wire.count(b"\r") == wire.count(b"\n") == 1


@given(ANYTHING)
def test_a35_what_is_filled_into_a_page_is_text_in_it(value: str) -> None:
    class Reader(HTMLParser):
        tags = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags += 1

    value = value.encode("utf-8", "replace").decode()
    reader = Reader()
    reader.feed(f'<p title="{in_text("text/html; charset=utf-8")(value, False)}">')
    assert reader.tags == 1
    assert json.loads(f'"{in_text("application/problem+json")(value, False)}"') == value
    assert in_text("text/plain")(value, True) == unquote(value)

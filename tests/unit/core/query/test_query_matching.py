"""Queries asked of exchanges: what holds, what does not, and what cannot be known yet."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest

from interpose.core.journal import Trait
from interpose.core.query import QueryError, compile_query, demand, parse
from interpose.core.query.matching import narrowed
from interpose.core.query.needs import needs, terms
from interpose.core.query.tree import Phrase, Term
from interpose.core.query.words import INBOUND, OUTBOUND, STATES, WORDS, Kind, Need


class Known:
    """A subject that knows what it is given, and notes what it is asked."""

    def __init__(self, values: Mapping[str, str | float | Sequence[str]]) -> None:
        self._values = values
        self.asked: list[str] = []

    def text(self, word: str) -> str | None:
        self.asked.append(word)
        value = self._values.get(word)
        assert value is None or isinstance(value, str)
        return value

    def texts(self, word: str, name: str) -> Sequence[str] | None:
        self.asked.append(word)
        value = self._values.get(f"{word}.{name}" if name else word)
        assert value is None or isinstance(value, list)
        return value

    def number(self, word: str) -> float | None:
        self.asked.append(word)
        value = self._values.get(word)
        assert value is None or isinstance(value, int | float)
        return value


@pytest.mark.parametrize(
    ("query", "values", "answer"),
    [
        ("host:a.example", {"host": "a.example"}, True),
        ("host:a.example", {"host": "b.example"}, False),
        ("host:a.example", {}, None),
        ("host:a,*.b,c*d", {"host": "x.b"}, True),
        ("host:a,*.b,c*d", {"host": "cxd"}, True),
        ("host:a,*.b,c*d", {"host": "b"}, False),
        ("host:a*", {"host": "ab"}, True),
        ("host:a*", {"host": "ba"}, False),
        ("host:a*", {}, None),
        ("host:*a", {}, None),
        ("method:get", {"method": "GET"}, True),
        ("method:GET,P*", {"method": "put"}, True),
        ("method:GET", {"method": "get"}, True),
        ("method:GET", {"method": "HEAD"}, False),
        ("method:GET", {}, None),
        ("method:\u00df", {"method": "SS"}, False),
        ("path:/A*", {"path": "/a/b"}, False),
        ("path:/u/{id}", {"path": "/u/1"}, True),
        ("user:alice", {"user": "Alice"}, False),
        ('user:""', {"user": ""}, True),
        ('user:""', {"user": "bob"}, False),
        ("user:*", {"user": "bob"}, True),
        ("user:*", {"user": ""}, False),
        ("user:*", {}, None),
        ("group:staff,dev", {"group": ["dev", "x"]}, True),
        ("group:staff", {"group": []}, False),
        ('group:""', {"group": []}, True),
        ("group:*", {"group": ["x"]}, True),
        ("request.x-a:*b*", {"request.x-a": ["1", "aBc"]}, True),
        ("request.x-a:*", {"request.x-a": [""]}, True),
        ("request.x-a:*", {"request.x-a": []}, False),
        ("request.x-a:*", {}, None),
        ("field.x:1", {"request.x": ["1"]}, True),
        ("field.x:1", {"request.x": ["2"]}, None),
        ("field.x:1", {"request.x": ["2"], "response.x": ["1"]}, True),
        ("field.x:1", {"request.x": ["2"], "response.x": []}, False),
        ("type:*json*", {"request.type": "", "response.type": "Application/JSON; x"}, True),
        ("body:Token", {"request.body": "a tOKen", "response.body": ""}, True),
        ("body:Token", {"request.body": "", "response.body": ""}, False),
        ("tok", {"text": ["GET /", "a TOKEN"]}, True),
        ("tok", {"text": ["GET /"]}, False),
        ("tok", {}, None),
        ("status:5xx", {"status": 503}, True),
        ("status:5xx", {"status": 404}, False),
        ("status:5xx", {}, None),
        ("status:5xx", {"status": math.nan}, False),
        ("status:200,404", {"status": 404}, True),
        ("status:200,404", {"status": math.nan}, False),
        ("status:200,>=500", {"status": 200}, True),
        ("status:*", {"status": 200}, True),
        ("status:*", {"status": math.nan}, False),
        ("size:>1MB", {"size": 1_000_001}, True),
        ("size:>1MB", {"size": 1_000_000}, False),
        ("age:<10m", {"age": 599.9}, True),
        ("from:10.0.0.0/8,::1", {"from": "10.1.2.3"}, True),
        ("from:10.0.0.0/8,::1", {"from": "::ffff:10.1.2.3"}, True),
        ("from:10.0.0.0/8,::1", {"from": "::1"}, True),
        ("from:10.0.0.0/8,::1", {"from": "11.1.2.3"}, False),
        ("from:10.0.0.0/8", {"from": ""}, False),
        ("from:10.0.0.0/8", {}, None),
        ("from:*", {"from": "11.1.2.3"}, True),
        ("to:*", {"to": ""}, False),
        ("is:held,marked", {"is": ["marked"]}, True),
        ("is:held", {"is": []}, False),
        ("kind:tcp", {"kind": "tcp"}, True),
        ("failure:dns_*", {"failure": "dns_timeout"}, True),
        ("failure:*", {"failure": ""}, False),
        ("time:mon-fri", {}, None),
        ("time:mon-fri", {"time": math.nan}, False),
    ],
)
def test_a_term_holds_or_not_or_nobody_knows_yet(
    query: str, values: Mapping[str, str | float | Sequence[str]], answer: bool | None
) -> None:
    assert compile_query(parse(query)).decide(Known(values)) is answer


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("user:t user:t", True),
        ("user:t user:f", False),
        ("user:t status:200", None),
        ("user:f status:200", False),
        ("status:200 user:f", False),
        ("status:200 user:t", None),
        ("status:200 port:1", None),
        ("user:t user:t user:t", True),
        ("user:t status:200 user:t", None),
        ("status:200 port:1 user:f", False),
        ("user:t OR status:200", True),
        ("status:200 OR user:t", True),
        ("user:f OR status:200", None),
        ("user:f OR user:f", False),
        ("status:200 OR port:1 OR user:f", None),
        ("-user:t", False),
        ("-user:f", True),
        ("-status:200", None),
        ("--status:200", None),
        ("-(user:t status:200)", None),
        ("-(user:f status:200)", True),
        ("user:t -(status:200 OR user:f)", None),
    ],
)
def test_unknown_stays_unknown_until_something_else_decides(query: str, answer: bool | None) -> None:
    matcher = compile_query(parse(query))
    assert matcher.decide(Known({"user": "t"})) is answer
    assert matcher.matches(Known({"user": "t"})) is (answer is True)


def test_contents_are_asked_for_last_and_only_when_it_matters() -> None:
    subject = Known({"host": "b", "request.body": "x", "response.body": "x"})
    assert not compile_query(parse("body:x host:a")).matches(subject)
    assert subject.asked == ["host"]


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
def test_time_is_local_and_knows_summer() -> None:
    office = compile_query(parse("time:mon-fri/08:00-18:00"))
    friday_17_59_in_winter, friday_17_59_in_summer = 1_763_744_340, 1_752_854_340
    assert time.strftime("%a %H:%M", time.localtime(friday_17_59_in_winter)) == "Fri 17:59"
    assert office.matches(Known({"time": friday_17_59_in_winter}))
    assert not office.matches(Known({"time": friday_17_59_in_winter + 60}))
    assert not office.matches(Known({"time": friday_17_59_in_winter + 57_600}))
    assert time.strftime("%a %H:%M", time.localtime(friday_17_59_in_summer)) == "Fri 17:59"
    assert office.matches(Known({"time": friday_17_59_in_summer}))
    assert not office.matches(Known({"time": friday_17_59_in_summer + 60}))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("host:a method:GET", Need.REQUEST_HEAD),
        ("from:::1 -user:a", Need.CLIENT | Need.USER),
        ("route:a OR status:200", Need.ROUTE | Need.RESPONSE_HEAD),
        ("request.body:x", Need.REQUEST_BODY),
        ("size:>1", Need.REQUEST_BODY | Need.RESPONSE_BODY),
        ("is:held", Need.RECORD),
        ("x", Need.REQUEST_HEAD | Need.RESPONSE_HEAD | Need.REQUEST_BODY | Need.RESPONSE_BODY),
    ],
)
def test_a_query_says_what_has_to_be_known_for_it(query: str, wanted: Need) -> None:
    assert needs(parse(query)) == wanted
    assert compile_query(parse(query)).needs == wanted


@pytest.mark.parametrize(
    ("query", "known", "position", "length", "message"),
    [
        ("host:a -status:200", INBOUND, 8, 10,
         "`status` is known when the head of the response is there, and not where this rule is asked: leave it out"),
        ("user:a", Need.CLIENT | Need.REQUEST_HEAD, 0, 6,
         "`user` is known when the client has said who it is, and not where this rule is asked: leave it out"),
        ("took:>1s", OUTBOUND, 0, 8,
         "`took` is known when all is over and recorded, and not where this rule is asked: leave it out"),
        ("host:a field.x-a:1", INBOUND, 7, 11,
         "`field` means the other message too, which this rule cannot see: write `request.x-a`"),
        ("body:x", INBOUND, 0, 6,
         "`body` means the other message too, which this rule cannot see: write `request.body`"),
        ("body:x", Need.REQUEST_HEAD, 0, 6,
         "`body` is known when the response's content is there, and not where this rule is asked: leave it out"),
        ("body:x", OUTBOUND, 0, 6,
         "`body` means the other message too, which this rule cannot see: write `response.body`"),
        ("request.body:x", OUTBOUND, 0, 14,
         "`request.body` is known when the request's content is there, and not where this rule is asked: leave it out"),
        ("host:a example", INBOUND, 7, 7,
         "a text is looked for in all of an exchange, which this rule cannot see: "
         "write a word before it"),
    ],
)  # fmt: skip
def test_a_word_that_is_not_known_yet_is_pointed_at(
    query: str, known: Need, position: int, length: int, message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        demand(parse(query), known, query)
    assert (caught.value.position, caught.value.length, caught.value.message) == (position, length, message)


def test_what_is_known_is_not_complained_about() -> None:
    demand(parse("host:a request.body:x -user:b route:c request.x:1"), INBOUND, "")
    demand(parse("status:5xx type:*json response.body:x -request.y:2"), OUTBOUND, "")
    demand(parse("*"), Need.CLIENT, "")


def test_terms_come_in_the_order_of_the_text() -> None:
    tree = parse("host:a (b OR -port:1) c")
    assert [leaf.text if isinstance(leaf, Phrase) else leaf.word for leaf in terms(tree)] == ["host", "b", "port", "c"]


def test_a_word_for_either_message_is_two_words_for_one_each() -> None:
    tree = parse("field.x:1")
    assert isinstance(tree, Term)
    assert [str(term) for term in narrowed(tree)] == ["request.x:1", "response.x:1"]
    tree = parse("host:a")
    assert isinstance(tree, Term)
    assert narrowed(tree) == (tree,)


def test_the_table_knows_the_states_of_the_journal() -> None:
    traits = {str(trait.name).lower() for trait in Trait}
    assert set(STATES) == traits | {"marked"}


def test_split_words_differ_in_nothing_but_the_message() -> None:
    for word in WORDS.values():
        for narrow in (WORDS[name] for name in word.split):
            assert (narrow.kind, narrow.folds, narrow.named, narrow.many) == (
                word.kind, word.folds, word.named, word.many,
            )  # fmt: skip
            assert not narrow.needs & ~word.needs
        if word.split:
            assert word.needs == WORDS[word.split[0]].needs | WORDS[word.split[1]].needs
        if word.kind is Kind.CHOICE:
            assert word.values

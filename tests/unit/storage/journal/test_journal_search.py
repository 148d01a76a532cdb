"""A query finds in SQL exactly what the query language's own matcher says of each record."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.journal_records import STARTED, record

from interpose.core.query import And, Not, Or, Phrase, Query, Term, compile_query, parse
from interpose.core.query.recorded import Recorded
from interpose.core.query.values import Contained, Exact, Glob, Network, Present, Span, Template, Window
from interpose.core.record import Kind, Part, Passage, Record, Try
from interpose.storage.journal import conditions, journal, schema, search, shelves
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction

NOW = STARTED + 1000.0
HOSTS = ("shop.example", "api.shop.example", "other.test", "192.0.2.9", "[odd]*?.example", "")
WORDS = ("token", "Token", "not found", "naïve café", '{"a": "b"}', "oken", "zz", "KELVIN K", "x" * 90)
USERS = ("", "alice", "Bob", "alice*")
MARKS = ("", "star", "Red")
COMMENTS = ("", "a Regression here", "100%")
TYPES = ("", "text/html; charset=utf-8", "application/json", "image/PNG")


class Case:
    """A record, what its texts are, and what was added to it."""

    def __init__(self, number: int, dice: random.Random) -> None:
        self.number = number
        self.mark = dice.choice(MARKS) if dice.random() < 0.3 else ""
        self.comment = dice.choice(COMMENTS) if dice.random() < 0.3 else ""
        self.request_text = dice.choice(WORDS) if dice.random() < 0.5 else ""
        self.response_text = " ".join(dice.choices(WORDS, k=dice.randrange(4)))
        host = dice.choice(HOSTS)
        path = dice.choice(("/", "/users/7", "/users/7/orders", "/a[b]c", "/caf%C3%A9"))
        query = dice.choice(("", "?page=2", "?q=a+b%26&page=3", "?flag"))
        kind = dice.choice((Kind.HTTP, Kind.HTTP, Kind.HTTP, Kind.WEBSOCKET, Kind.TCP))
        failure = dice.choice(("", "", "", "dns_error", "connection_refused"))
        self.states = [state for state in ("held", "replayed", "blocked", "edited", "cached") if dice.random() < 0.1]
        notes = {"filter": "allow", "rule": "r1"} if "blocked" in self.states else {}
        notes |= {"edited": "alice"} if "edited" in self.states else {}
        hit = b"Cache-Status: origin; fwd=miss, interpose; hit; ttl=3\r\n" if "cached" in self.states else b""
        self.states += ["error"] * bool(failure) + ["marked"] * bool(self.mark)
        self.record = record(
            number,
            kind=kind,
            started=STARTED + dice.randrange(900),
            duration_s=dice.choice((0.0, 0.25, 3.0)),
            client=(dice.choice(("10.0.0.7", "10.1.2.3", "2001:db8::1", "::ffff:10.0.0.9", "")), 40000 + number),
            user=dice.choice(USERS),
            route=dice.choice(("", "shop")),
            method=dice.choice(("GET", "POST", "get")),
            host=host,
            port=dice.choice((0, 80, 443)),
            target=f"https://{host}{path}{query}",
            status=dice.choice((0, 200, 200, 404, 500, 503)),
            request=self._part(dice, self.request_text, b"X-A: 1\r\nx-a: two\r\nCookie: id=x; t=abc\r\n"),
            response=self._part(dice, self.response_text, hit + b"ETag: \"W%d\"\r\n" % number),
            failure=failure,
            notes=notes,
            held="abcdefgh" if "held" in self.states else "",
            replay_of=3 if "replayed" in self.states else 0,
            attempts=[Try("o", peer=(f"192.0.2.{dice.randrange(4)}", 443))] if dice.random() < 0.8 else [],
        )  # fmt: skip

    @staticmethod
    def _part(dice: random.Random, text: str, fields: bytes) -> Part:
        content = text.encode()
        kind = dice.choice(TYPES)
        fields += f"Content-Type: {kind}\r\n".encode() if kind else b""
        if text and dice.random() < 0.3:
            content = gzip.compress(content)
            fields += b"Content-Encoding: gzip\r\n"
        if dice.random() < 0.1:
            content += b"" if content[:2] == b"\x1f\x8b" else b"\0" * 9000  # into a file
        return Part(fields, content, len(content) * dice.choice((1, 1, 300)))

    def subject(self) -> Recorded:
        return Recorded(
            self.record,
            now=NOW,
            number=self.number,
            mark=self.mark,
            comment=self.comment,
            states=self.states,
            request_text=self.request_text,
            response_text=self.response_text,
        )


class Library:
    """A journal, and the same records as they were before they went into it."""

    def __init__(self, directory: Path) -> None:
        dice = random.Random(5)
        self.cases = [Case(number, dice) for number in range(1, 241)]
        writer = JournalWriter(str(directory), Redaction(()))
        for start in range(0, 240, 40):
            writer.add([copied(case.record) for case in self.cases[start : start + 40]])
            if start < 160:
                writer.index_some(40)
        for case in self.cases:
            writer.mark(case.number, case.mark)
            writer.comment(case.number, case.comment)
        self.writer = writer
        self.reader = Reader(str(directory), wall=lambda: NOW)

    def found(self, query: Query, limit: int = 1000) -> list[int]:
        numbers: list[int] = []
        before = 0
        for _ in range(500):
            found = self.reader.find(query, before=before, limit=limit)
            numbers += [row.id for row in found.rows]
            if not found.more:
                return numbers
            before = found.before
        raise AssertionError("the search does not come to an end")

    def matching(self, query: Query) -> list[int]:
        matcher = compile_query(query)
        return [case.number for case in reversed(self.cases) if matcher.matches(case.subject())]


def copied(record: Record) -> Record:
    return Record(**{name: getattr(record, name) for name in record.__struct_fields__})


@contextmanager
def small_library(directory: Path, most_values: int = 1000) -> Iterator[Library]:
    """One with many shelves and chunks, although it has few records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelves, "SHELF_RECORDS", 50)
        patch.setattr(schema, "CHUNK_BITS", 5)
        patch.setattr(search, "FIRST_BLOCK", 16)
        for module in (journal, conditions):
            patch.setattr(module, "MOST_VALUES", most_values)
        library = Library(directory)
        assert len(shelves.shelves(library.writer._database)) > 1
        yield library
        library.reader.close()
        library.writer.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with small_library(tmp_path_factory.mktemp("journal")) as library:
        yield library


QUERIES = (
    "host:shop.example", "host:*.example", "host:[odd]*", 'host:""', "-host:shop.example,other.test", "host:*",
    "method:post", "method:G*", "-method:get", "status:200", "status:5xx", "status:>=404", "-status:200", "status:*",
    "status:200..404", "kind:tcp", "kind:http", "-kind:http", "kind:w*", "from:10.0.0.0/8", "from:2001:db8::/32",
    "-from:10.0.0.7", "from:*", "mark:star", "mark:RED", 'mark:""', "mark:*", "-mark:*", "user:alice", 'user:""',
    'user:"alice\\*"', "user:*", "user:Bob", "user:B*", "listener:proxy", "route:shop", 'route:""', "scheme:HTTPS",
    "port:443", "-port:443", "port:80..443", "port:*", "path:/users/{id}", "path:/users/*", "path:/", "path:/a[b]c",
    "-path:/users/{id}/*", "url:https://shop.example/*", "query.page:2", 'query.q:"a b&"', "-query.page:*",
    'query.flag:""', "request.x-a:two", "request.x-a:*", 'request.x-b:""', "field.etag:*W1*", "response.etag:*",
    "request.host:other.test", "cookie.t:abc", "cookie.t:*", "cookie.none:*", "type:application/json",
    "type:IMAGE/png", "response.type:text/*", 'request.type:""', "size:>1kB", "request.size:0", "response.size:<9kB",
    "body:token", "body:TOKEN", "body:oken", 'body:"not found"', 'body:"token not"', "body:zz", "body:é",
    "request.body:kelvin", "response.body:naïve", "-body:token", "body:x" + "x" * 80, "token", '"NOT FOUND"', "zz",
    '"GET https"', '"x-a: two"', "to:192.0.2.1", "to:192.0.2.0/30", "-to:*", 'failure:dns_error', "failure:*",
    "-failure:*", "is:held", "is:edited,cached", "-is:error", "is:marked", "is:*", 'is:blocked', "is:replayed",
    "note.filter:allow", "note.rule:*", "age:<200s", "age:>200s", "age:100s..500s", "age:<200s status:200",
    "time:mon-fri", "time:00:00-12:00", "time:12:00-00:00", "took:>1s", "took:<=250ms", "comment:REGRESSION",
    "comment:100%", "id:17", "id:<20", "exchange:1-11", "exchange:1-*", "group:staff", "variant.a:b",
    "host:shop.example OR body:token", "(status:200 OR status:404) body:token -user:alice", "-(host:*.example token)",
    "-(host:*.example status:200)", "token OR is:held", "zz OR id:5",
)  # fmt: skip


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_finds_what_its_matcher_matches(library: Library, text: str) -> None:
    query = parse(text)
    expected = library.matching(query)
    assert library.found(query) == expected
    counted = library.reader.count(query)
    assert (counted.count, counted.exact) == (len(expected), True)


def test_nothing_is_missed_where_values_are_too_many_to_be_noted(tmp_path: Path) -> None:
    with small_library(tmp_path, most_values=2) as library:
        assert library.writer._number("SELECT count(*) FROM seen") == 4 * 3
        for text in QUERIES:
            assert library.found(parse(text)) == library.matching(parse(text)), text


def test_the_table_of_queries_is_worth_something(library: Library) -> None:
    sizes = {text: len(library.matching(parse(text))) for text in QUERIES}
    empty = {text for text, size in sizes.items() if not size}
    assert {text for text in empty if not text.startswith("time:")} == {"cookie.none:*", "group:staff", "variant.a:b"}


exact = st.builds(Exact, st.sampled_from((*HOSTS, *USERS, *MARKS, "GET", "post", "/users/7", "two", "", "K")))
piece = st.sampled_from(("", "shop", "al", "E", "[", "?", "/users", "t", "o"))
glob = st.lists(piece, min_size=2, max_size=4).map(lambda parts: Glob(tuple(parts)))
text_value = st.one_of(exact, glob, st.just(Present()))
number_value = st.builds(
    Span,
    st.one_of(st.none(), st.sampled_from((0, 200, 250.5, 404, 443))),
    st.sampled_from((0, 200, 404, 500, 9000)),
    with_low=st.booleans(),
    with_high=st.booleans(),
).filter(lambda span: span.low != span.high or (span.with_low and span.with_high))
contained = st.sampled_from([*WORDS, "é", "to", "100%"]).map(lambda text: Contained(text.lower()))
TEXT_WORDS = ("host", "method", "scheme", "path", "url", "user", "listener", "route", "mark", "exchange", "kind",
              "failure", "request.type", "response.type", "type", "is")  # fmt: skip
NAMED = (("query", "page"), ("request", "x-a"), ("response", "etag"), ("field", "content-type"), ("cookie", "id"),
         ("note", "filter"), ("request", "host"))  # fmt: skip


def term(word: str, name: str, value: st.SearchStrategy[object]) -> st.SearchStrategy[Query]:
    return st.lists(value, min_size=1, max_size=3).map(lambda values: Term(word, name, tuple(values)))  # type: ignore[arg-type]


leaf = st.one_of(
    st.sampled_from(TEXT_WORDS).flatmap(lambda word: term(word, "", text_value)),
    st.sampled_from(NAMED).flatmap(lambda named: term(*named, text_value)),
    st.sampled_from(("status", "port", "size", "request.size", "response.size", "age", "took", "id")).flatmap(
        lambda word: term(word, "", st.one_of(number_value, st.just(Present())))
    ),
    st.sampled_from(("from", "to")).flatmap(
        lambda word: term(word, "", st.sampled_from((Network("10.0.0.0/8"), Network("192.0.2.1/32"), Present())))
    ),
    st.sampled_from(("body", "request.body", "response.body", "comment")).flatmap(
        lambda word: term(
            word, "", st.sampled_from([*WORDS, "é", "to", "100%"]).map(lambda text: Contained(text.lower()))
        )
    ),
    term("path", "", st.just(Template(("", "users", None), ("id",)))),
    term("time", "", st.just(Window(0, 4, 60, 700))),
    st.sampled_from((*WORDS, "GET", "w1", "te")).map(Phrase),
)
queries = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries)
def test_any_query_finds_what_its_matcher_matches(library: Library, query: Query) -> None:
    assert library.found(query) == library.matching(query)


@settings(max_examples=30, deadline=None)
@given(query=queries, limit=st.integers(1, 30))
def test_pages_together_are_all_that_is_found(library: Library, query: Query, limit: int) -> None:
    assert library.found(query, limit) == library.matching(query)


def test_a_search_that_reads_too_many_candidates_says_where_to_go_on(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_READ", 7)
    query = parse("body:oken -user:alice")
    first = library.reader.find(query)
    assert first.more
    assert len(first.rows) < 8
    assert library.found(query) == library.matching(query)
    assert not library.reader.count(query).exact


def test_a_search_that_takes_too_long_says_where_to_go_on(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_S", -1.0)
    query = parse("user:nobody-has-this-name")
    first = library.reader.find(query)
    assert (first.rows, first.more) == ([], True)
    assert library.found(query) == []


def test_newer_records_can_be_asked_for(library: Library) -> None:
    assert [row.id for row in library.reader.find(after=238).rows] == [240, 239]
    assert [row.id for row in library.reader.find(before=4).rows] == [3, 2, 1]
    assert not library.reader.find(after=238).more


def test_the_messages_of_a_conversation_are_text_too(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    passages = [Passage(0.1, True, b"HELO there", 10), Passage(0.2, False, b"250 welcome", 11)]
    writer.add([record(1, kind=Kind.TCP, messages=passages, messages_total=2)])
    reader = Reader(str(tmp_path))
    for indexed in (False, True):
        if indexed:
            assert writer.index_some() == 1
        assert [row.id for row in reader.find(parse("request.body:helo")).rows] == [1]
        assert [row.id for row in reader.find(parse("response.body:welcome")).rows] == [1]
        assert reader.find(parse("request.body:welcome")).rows == []
    reader.close()
    writer.close()

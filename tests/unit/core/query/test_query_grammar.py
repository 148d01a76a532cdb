"""From text to a tree, and where a text is none."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interpose.core.query import And, Not, Or, Phrase, Query, QueryError, Term, parse
from interpose.core.query.complete import complete
from interpose.core.query.values import (
    Contained,
    Exact,
    Glob,
    Network,
    Present,
    Span,
    Template,
    Value,
    Window,
)
from interpose.core.query.words import WORDS


def term(word: str, *values: Value, name: str = "") -> Term:
    return Term(word, name, values)


A, B, C = Phrase("a"), Phrase("b"), Phrase("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("a b c", And((A, B, C))),
        ("a and b AND c", And((A, B, C))),
        ("a or b OR c", Or((A, B, C))),
        ("a b or c", Or((And((A, B)), C))),
        ("a (b or c)", And((A, Or((B, C))))),
        ("(a b) c", And((A, B, C))),
        ("a or (b or c)", Or((A, B, C))),
        ("((a))", A),
        ("-a b", And((Not(A), B))),
        ("not a b", And((Not(A), B))),
        ("NOT (a b)", Not(And((A, B)))),
        ("--a", Not(Not(A))),
        ("a -(b OR -c)", And((A, Not(Or((B, Not(C))))))),
        ("  \t\na\r\n ", A),
        ("(a)(b)", And((A, B))),
        ('"a b"', Phrase("a b")),
        (r'"a \"b\" \\ \*"', Phrase('a "b" \\ *')),
        ("a*b", Phrase("a*b")),
        ("*", term("kind", Present())),
        ("-* OR a", Or((Not(term("kind", Present())), A))),
        ('"*"', Phrase("*")),
        ('"a:b"', Phrase("a:b")),
        ("a\\b", Phrase("a\\b")),
        ('"or"', Phrase("or")),
        ("order nothing android", And((Phrase("order"), Phrase("nothing"), Phrase("android")))),
        ("not-a", Phrase("not-a")),
        ("12.5% a=b <x>", And((Phrase("12.5%"), Phrase("a=b"), Phrase("<x>")))),
        ("Κελβιν", Phrase("Κελβιν")),
    ],
)
def test_terms_join(text: str, tree: Query) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("host:Shop.Example", term("host", Exact("shop.example"))),
        ("host:*.example.com", term("host", Glob(("", ".example.com")))),
        ("host:a**b*", term("host", Glob(("a", "b", "")))),
        ("host:a,b", term("host", Exact("a"), Exact("b"))),
        ("HOST:a", term("host", Exact("a"))),
        ("method:GET,head", term("method", Exact("get"), Exact("head"))),
        ("path:/Admin", term("path", Exact("/Admin"))),
        ("path:/api/*", term("path", Glob(("/api/", "")))),
        ("path:/u/{id}/o", term("path", Template(("", "u", None, "o"), ("id",)))),
        ("path:/u/{id}/*", term("path", Template(("", "u", None), ("id",), rest=True))),
        ("url:https://a.example/x?y=1", term("url", Exact("https://a.example/x?y=1"))),
        ("user:Alice", term("user", Exact("Alice"))),
        ('user:""', term("user", Exact(""))),
        ("user:*", term("user", Present())),
        (r"user:\*", term("user", Exact("*"))),
        (r'user:"a*\* b"', term("user", Glob(("a", "* b")))),
        (r"user:a\,b\ c", term("user", Exact("a,b c"))),
        ('user:"a,b",c', term("user", Exact("a,b"), Exact("c"))),
        ("query.Page:2", term("query", Exact("2"), name="Page")),
        ('query."a b":2', term("query", Exact("2"), name="a b")),
        ("field.Content-Type:JSON*", term("field", Glob(("json", "")), name="content-type")),
        ("request.x-a.b:1", term("request", Exact("1"), name="x-a.b")),
        ("request.size:1", term("request.size", Span(1, 1, "B"))),
        ('request."size":1', term("request", Exact("1"), name="size")),
        ("cookie.Session:*", term("cookie", Present(), name="Session")),
        ("note.filter:allow", term("note", Exact("allow"), name="filter")),
        ("status:404", term("status", Span(404, 404))),
        ("status:5xx,2XX", term("status", Span(500, 599), Span(200, 299))),
        ("status:>=500", term("status", Span(500, None))),
        ("status:>500", term("status", Span(500, None, with_low=False))),
        ("status:<=399", term("status", Span(None, 399))),
        ("status:<400", term("status", Span(None, 400, with_high=False))),
        ("status:500..599", term("status", Span(500, 599))),
        ("status:*", term("status", Present())),
        ("port:443,8000..8999", term("port", Span(443, 443), Span(8000, 8999))),
        ("id:>=70000", term("id", Span(70000, None))),
        ("size:0", term("size", Span(0, 0, "B"))),
        ("size:>10kB", term("size", Span(10_000, None, "B", with_low=False))),
        ("size:1MB..1MiB", term("size", Span(1_000_000, 1_048_576, "B"))),
        ("size:1.5mb", term("size", Span(1_500_000, 1_500_000, "B"))),
        ("size:0.3KiB", term("size", Span(307, 307, "B"))),
        ("size:2TiB", term("size", Span(2_199_023_255_552, 2_199_023_255_552, "B"))),
        ("age:<10m", term("age", Span(None, 600, "s", with_high=False))),
        ("took:>1.5s", term("took", Span(1.5, None, "s", with_low=False))),
        ("took:200ms..2h", term("took", Span(0.2, 7200, "s"))),
        ("age:>=1w", term("age", Span(604_800, None, "s"))),
        ("from:10.1.2.3/8", term("from", Network("10.0.0.0/8"))),
        ("from:192.0.2.7", term("from", Network("192.0.2.7/32"))),
        ("from:2001:db8::/32,::1", term("from", Network("2001:db8::/32"), Network("::1/128"))),
        ("from:::ffff:10.0.0.0/104", term("from", Network("10.0.0.0/8"))),
        ("time:mon-fri/08:00-18:00", term("time", Window(0, 4, 480, 1080))),
        ("time:Sat", term("time", Window(5, 5, 0, 1440))),
        ("time:22:30-06:00", term("time", Window(0, 6, 1350, 360))),
        ("time:fri-mon/00:00-24:00", term("time", Window(4, 0, 0, 1440))),
        ("kind:WebSocket", term("kind", Exact("websocket"))),
        ("failure:dns_*", term("failure", Glob(("dns_", "")))),
        ("is:held,edited", term("is", Exact("held"), Exact("edited"))),
        ('body:"To*ken"', term("body", Contained("to*ken"))),
        ("comment:x", term("comment", Contained("x"))),
        ("host:a(b)", None),
    ],
)
def test_values_are_normalised(text: str, tree: Query | None) -> None:
    if tree is None:
        with pytest.raises(QueryError):
            parse(text)
    else:
        assert parse(text) == tree


def test_a_term_knows_where_it_stood() -> None:
    tree = parse('a  -method:GET,"b" OR "c d"')
    assert isinstance(tree, Or)
    both, phrase = tree.parts
    assert isinstance(both, And)
    negated = both.parts[1]
    assert isinstance(negated, Not)
    assert isinstance(negated.part, Term)
    assert isinstance(phrase, Phrase)
    assert (negated.part.position, negated.part.length) == (4, 14)
    assert (phrase.position, phrase.length) == (22, 5)


@pytest.mark.parametrize(
    ("text", "position", "length", "message"),
    [
        ("host:a methd:GET", 7, 5, "there is no word `methd`: did you mean `method`?"),
        ("http://a.example", 0, 4, 'there is no word `http`: put "quotes" around it to look for the text'),
        ("12:30", 0, 2, 'there is no word `12`: put "quotes" around it to look for the text'),
        (":x", 0, 1, 'there is no word ``: put "quotes" around it to look for the text'),
        ("query:x", 0, 5, "`query` needs a name: write it as in query.page:2"),
        ("host.a:x", 0, 6, "`host` stands without a name: write it as in host:*.example.com"),
        ('request."a"', 0, 11, "a word needs a colon and a value behind it, as in host:example.com"),
        ("host:", 5, 1, '`host` has no value here: write one, or "" for none'),
        ("host:a,", 7, 1, '`host` has no value here: write one, or "" for none'),
        ("host: a", 5, 1, '`host` has no value here: write one, or "" for none'),
        ('host:"a', 5, 1, 'this quote is never closed: write " behind the text'),
        ('host:"a"b', 8, 1, 'a blank is missing here, or "quotes" around the text before'),
        ("path:/a(b)", 7, 1, 'a blank is missing here, or "quotes" around the text before'),
        (r"host:a\b", 6, 2, r"a backslash makes a sign literal: write \\ for itself"),
        ("host:http://a", 5, 8, "a host has neither scheme nor path: write the name alone, or url:… or path:…"),
        ("host:bücher.example", 5, 14, "a host has its ASCII form in requests: write the one that begins with xn--"),
        ("body:~x", 5, 1, "there are no regular expressions: write * for any text"),
        ("host:>a", 5, 2, "`>` compares numbers, and `host` is no number: "
         'write it as in host:*.example.com, or put ">…" in quotes'),
        ("status:abc", 7, 3, "`abc` is no status: write it as in status:5xx"),
        ("status:20", 7, 2, "`status` is a number from 100 to 999, not 20"),
        ("status:6xx", 7, 3, ""),
        ("status:599..500", 7, 8, "the range ends before it begins: write 500..599"),
        ("status:500..", 7, 5, "a range has two ends: write `LOW..HIGH`, or `>=LOW`, or `<=HIGH`"),
        ("status:>500..600", 7, 9, "a range needs no comparison: write `LOW..HIGH`"),
        ("status:٤٠٤", 7, 3, "`٤٠٤` is no status: write it as in status:5xx"),
        ("port:65536", 5, 5, "`port` is a number from 0 to 65535, not 65536"),
        ("port:1_0", 5, 3, "`1_0` is no number: write it as in port:443,8443"),
        ("size:>1M", 5, 3, "`M` is no unit of sizes: write B, kB, MB, GB, TB or KiB, MiB, GiB, TiB"),
        ("size:9999999TB", 5, 9, "`9999999TB` is more than 1 EiB, which no content is"),
        ("size:-1", 5, 2, "`-1` is no size: write it as in size:>1MB"),
        ("age:<10", 4, 3, "`10` has no unit: write ms, s, m (minutes), h, d or w behind the number"),
        ("age:<10M", 4, 4, "`M` is no unit of time: write ms, s, m (minutes), h, d or w behind the number"),
        ("age:10m", 4, 3, "no two moments are equal: write `age:<10m` or `age:>10m`"),
        ("age:<9999w", 4, 6, "`9999w` is more than a hundred years: write a shorter time"),
        ("from:10.*", 5, 4, "`10.*` is neither an IP address nor a network: "
         "a part of the addresses is written as a network, 10.0.0.0/8"),
        ("from:10.0.0", 5, 6, "`10.0.0` is neither an IP address nor a network: write it as in from:10.0.0.0/8"),
        ("from:10.0.0.0/33", 5, 11, ""),
        ("from:fe80::1%eth0", 5, 12, ""),
        ("time:mo", 5, 2, "`mo` is no time of the week: write it as in time:mon-fri/08:00-18:00, or sat-sun"),
        ("time:mun-fri", 5, 7, "`mun` is no day: did you mean `sun`?"),
        ("time:08:60-09:00", 5, 11, "there is no 08:60: a day has 00:00 to 24:00"),
        ("time:08:00-08:00", 5, 11, "nothing lies between 08:00 and 08:00"),
        ("is:hold", 3, 4, "`is` knows no `hold`: did you mean `held`?"),
        ("kind:ftp", 5, 3, ""),
        ("kind:xyzzy", 5, 5, "`kind` knows no `xyzzy`; there is http, websocket, tunnel, tcp, udp"),
        ("failure:conection_refused", 8, 17, "`failure` knows no `conection_refused`: "
         "did you mean `connection_refused`?"),
        ("path:/a{b}", 5, 5, "`{name}` stands for a whole segment: write it between slashes, as in /users/{id}"),
        ("path:/{a}/*/b", 5, 8, "beside `{name}` a wildcard may only stand at the end, as in /users/{id}/*"),
        ("path:/{a}/{a}", 5, 8, "two segments have the same name: give each its own"),
        ('body:""', 5, 2, 'every text contains the empty one: write what is looked for, as in body:"token"'),
        ('""', 0, 2, "every text contains the empty one: write what is looked for"),
        ("", 0, 1, "the query is empty: write at least one term, as in host:example.com"),
        (" \n", 0, 1, "the query is empty: write at least one term, as in host:example.com"),
        ("a or", 4, 1, "the query ends where a term is missing: write one, as in host:example.com"),
        ("a (or b)", 3, 1, "a term is missing before this: write one, as in host:example.com"),
        ("(a and)", 6, 1, "a term is missing before this: write one, as in host:example.com"),
        ("()", 1, 1, "a term is missing before this: write one, as in host:example.com"),
        ("-", 1, 1, "the query ends where a term is missing: write one, as in host:example.com"),
        ("a (b", 2, 1, "this parenthesis is never closed: write ) behind what belongs into it"),
        ("a) b", 1, 1, "this parenthesis closes nothing: take it out, or open one before"),
        ("a\x00b", 1, 1, "here is a control character, which no text has: take it out"),
        ("a\ud800", 1, 1, "here is a control character, which no text has: take it out"),
    ],
)  # fmt: skip
def test_an_error_says_what_is_wrong_and_points_at_it(text: str, position: int, length: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    error = caught.value
    assert (error.position, error.length, error.text) == (position, length, text)
    if message:
        assert error.message == message


def test_an_error_is_shown_below_its_place() -> None:
    with pytest.raises(QueryError) as caught:
        parse("host:a\nmethd:GET b")
    assert caught.value.rendered == "host:a methd:GET b\n       ^^^^^"
    assert str(caught.value) == "At character 8: there is no word `methd`: did you mean `method`?"
    with pytest.raises(QueryError) as caught:
        parse("a " * 100 + "nowhere:x " + "b " * 99)
    line, carets = caught.value.rendered.split("\n")
    assert len(line) == 102
    assert line[carets.index("^") : len(carets)] == "nowhere"


def test_text_depth_and_terms_are_bounded() -> None:
    assert parse("(" * 64 + "a" + ")" * 64) == A
    for text, position in [("(" * 65 + "a" + ")" * 65, 64), ("-" * 65 + "a", 64), ("(-" * 33, 64)]:
        with pytest.raises(QueryError, match="64 deep") as caught:
            parse(text)
        assert caught.value.position == position
    assert parse("a " * 200) == And((A,) * 200)
    with pytest.raises(QueryError, match="at most 200 terms") as caught:
        parse("a " * 201)
    assert caught.value.position == 400
    assert parse("a" * 8192) == Phrase("a" * 8192)
    with pytest.raises(QueryError, match="at most 8192 characters, and this one 8193"):
        parse("a" * 8193)


signs = st.sampled_from([*'aB1:.,*<>=~-()" \\{}/\t', " or ", "not ", " host:", " size:", "5xx", "..", "1MB", ' note."'])


@given(st.lists(signs).map("".join))
@example('request."":x')
@example("a:b:c")
@example("-(-a)--b")
@example('field."a\\"b":"*"')
@example("path:{a}/*")
def test_any_text_is_a_query_that_prints_itself_or_an_error_inside_of_it(text: str) -> None:
    judged(text)


@given(st.text())
def test_any_other_text_is_judged_too(text: str) -> None:
    judged(text)


def judged(text: str) -> None:
    read = read_or_refused(text)
    if isinstance(read, QueryError):
        assert 0 <= read.position <= len(text)
        assert read.length >= 1
        assert read.message
        assert read.rendered.count("\n") == 1
    else:
        assert parse(str(read)) == read


def read_or_refused(text: str) -> Query | QueryError:
    try:
        return parse(text)
    except QueryError as error:
        return error


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


def values_of(word: str) -> st.SearchStrategy[Value]:
    """Values that a reader may have made."""
    match word:
        case "user":
            parts = st.lists(texts, min_size=1, max_size=3).map(lambda inner: Glob(("", *inner, "")))
            return texts.map(Exact) | parts | st.just(Present()) | st.just(Exact(""))
        case "size":
            amounts = st.integers(0, 1 << 60)
            return amounts.map(lambda n: Span(n, n, "B")) | amounts.map(lambda n: Span(None, n, "B", with_high=False))
        case "took":
            seconds = st.integers(0, 10**15).map(lambda n: round(n / 10**6, 6))
            return seconds.map(lambda s: Span(s, None, "s", with_low=False))
        case "time":
            days, minutes = st.integers(0, 6), st.integers(0, 1439)
            windows = st.builds(Window, days, days, minutes, minutes)
            return windows.filter(lambda window: window.start != window.end)
        case "from":
            return st.ip_addresses(v=4).map(lambda address: Network(f"{address}/32"))
        case _:
            return texts.map(lambda text: Contained(text.translate({n: n + 32 for n in range(65, 91)})))


leaves = st.one_of(
    texts.map(Phrase),
    st.builds(lambda name, value: Term("cookie", name, (value,)), texts, values_of("user")),
    *(
        st.lists(values_of(word), min_size=1, max_size=3).map(lambda found, word=word: Term(word, "", tuple(found)))
        for word in ("user", "size", "took", "time", "from", "body")
    ),
)


def joined(children: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    """Trees as `parse` makes them: no And beside an And, no Or beside an Or."""

    def many(join: type[And] | type[Or]) -> st.SearchStrategy[Query]:
        others = children.filter(lambda part: not isinstance(part, join))
        return st.lists(others, min_size=2, max_size=3).map(lambda parts: join(tuple(parts)))

    return st.one_of(children.map(Not), many(And), many(Or))


@given(st.recursive(leaves, joined, max_leaves=8))
def test_what_a_tree_prints_is_the_tree(tree: Query) -> None:
    assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a AND (b OR NOT c)", "a (b OR -c)"),
        ("size:>1500000B,1048576", "size:>1500kB,1MiB"),
        ("age:<90m,>86400s", "age:<90m,>1d"),
        ("took:>1500ms", "took:>1.5s"),
        ("took:>0.001ms", "took:>0.000001s"),
        ("status:5xx,404", "status:500..599,404"),
        ("from:10.0.0.1/32,::/0", "from:10.0.0.1,::/0"),
        ("time:mon-sun", "time:mon-sun"),
        ("time:sat-sat/09:00-10:30", "time:sat/09:00-10:30"),
        ('user:"a b*",c', 'user:"a b*",c'),
        ("path:/{a}/*", "path:/{a}/*"),
    ],
)
def test_a_query_prints_in_one_spelling(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


def steps(text: str) -> int:
    """How many lines of the query's modules are run to read a text, to print it, and to complete it."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if "core/query" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        complete(text, len(text))
        read = read_or_refused(text)
        assert str(read)
        assert not isinstance(read, QueryError) or read.rendered
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("before", "repeated", "after"),
    [
        ("", "a ", ""),
        ("", "host:a ", ""),
        ("", "-a or ", "a"),
        ("", "(a)", ""),
        ("host:", "a,", "a"),
        ("host:", "*a", ""),
        ("host:", "*", "a"),
        ("path:", "/{a}", ""),
        ("user:", "\\*", ""),
        ("", '"a" ', ""),
        ('"', "\\\\", ""),
        ('"', "a", ""),
        ("", "a", ":x"),
        ("", "a.", '"'),
        ("", "(", ""),
        ("", "-", ""),
        ("", "not ", "a"),
        ("size:", "9", "MB"),
        ("size:1", "..1", ""),
        ("time:mon", "/08:00-09:00", ""),
        ("from:", "1:", "/8"),
        ("is:", "hel", ""),
    ],
)
def test_a30_twice_the_text_takes_twice_the_steps(before: str, repeated: str, after: str) -> None:
    once, twice = (f"{before}{repeated * number}{after}" for number in (60, 120))
    assert steps(twice) <= 2.5 * steps(once)
    whole = f"{before}{repeated * (8000 // len(repeated))}{after}"
    assert steps(whole) < 50 * len(whole) + 2000


def test_every_example_of_the_table_is_a_query_of_its_word() -> None:
    for word in WORDS.values():
        tree = parse(word.example)
        assert isinstance(tree, Term), word
        assert (tree.word, bool(tree.name)) == (word.word, word.named)
        for value in word.values:
            assert parse(f"{word.word}:{value}"), (word, value)

"""The index of a list of queries: it leaves out only what cannot match, and keeps the order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.core.query import compile_query, parse
from interpose.core.query.index import Index, necessary


class Known:
    """A subject of which everything is known that is given; the rest is not."""

    def __init__(self, **texts: str | None) -> None:
        self.given = texts
        self.asked = 0

    def text(self, word: str) -> str | None:
        self.asked += 1
        return self.given.get(word)

    def texts(self, word: str, name: str) -> list[str] | None:
        return None

    def number(self, word: str) -> float | None:
        value = self.given.get(word)
        return None if value is None else float(value)


HOSTS = ["a.example", "b.example", "x.a.example", "example", "aexample", "10.1.2.3", ""]
CLIENTS = ["10.1.2.3", "10.9.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.1.2.3", "fe80::1%eth0", "/run/x", ""]
TERMS = [
    "host:a.example", "host:*.example", "host:*.a.example,b.example", "host:*example", "host:*xample", "host:a*",
    'host:""', "host:*", "from:10.0.0.0/8", "from:10.1.2.3", "from:2001:db8::/32", "from:0.0.0.0/0", "from:::/0",
    "from:*", "port:443", "port:80,443", "port:1..100", "port:*", "method:get", "method:GET,Post", "method:P*",
    "user:alice", 'user:""', "user:al*", "listener:one", "path:/x", "path:/x*", "scheme:http,https", "*",
]  # fmt: skip

queries = st.recursive(
    st.sampled_from(TERMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
        inner.map(lambda part: f"-({part})"),
    ),
    max_leaves=6,
)


def maybe(values: list[str]) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.sampled_from(values))


subjects = st.fixed_dictionaries(
    {
        "host": maybe(HOSTS),
        "from": maybe(CLIENTS),
        "port": maybe(["80", "443", "nan"]),
        "method": maybe(["GET", "get", "POST", "PUT"]),
        "user": maybe(["alice", "bob", ""]),
        "listener": maybe(["one", "two"]),
        "path": maybe(["/x", "/y", ""]),
        "scheme": maybe(["http", ""]),
        "kind": maybe(["http"]),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.lists(queries, max_size=12), st.lists(subjects, min_size=1, max_size=4))
def test_the_first_that_matches_is_the_one_that_walking_the_list_finds(
    texts: list[str], asked: list[dict[str, str | None]]
) -> None:
    trees = [parse(text) for text in texts]
    matchers = [compile_query(tree) for tree in trees]
    index = Index(trees)
    for values in [*asked, *asked]:  # the second time from what is remembered
        subject = Known(**values)
        matching = [number for number, matcher in enumerate(matchers) if matcher.matches(subject)]
        candidates = index.candidates(subject)
        assert list(candidates) == sorted(set(candidates))
        assert set(matching) <= set(candidates)
        assert [number for number in candidates if matchers[number].matches(subject)] == matching


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("host:a.example", [("host", "a.example")]),
        ("host:*.a.example path:/x", [(".host", ".a.example")]),
        ("host:*ads.example", [(".host", ".example")]),
        ("host:*ads", None),
        ("path:/x", None),
        ("-host:a.example", None),
        ("host:a.example OR port:25", [("host", "a.example"), ("port", 25.0)]),
        ("host:a.example OR path:/x", None),
        ("method:get port:25", [("port", 25.0)]),
        ("from:10.0.0.0/8", [("from", (4, 8, 10))]),
        ("port:1..100", None),
    ],
)
def test_a_necessary_condition_is_the_most_selective_there_is(text: str, keys: list[tuple[str, object]] | None) -> None:
    assert necessary(parse(text)) == keys


def test_what_a_look_up_costs_does_not_grow_with_the_list() -> None:
    def asked(size: int) -> int:
        index = Index([parse(f"host:*.n{number}.example from:10.{number % 200}.0.0/16") for number in range(size)])
        subject = Known(host="www.n7.example", **{"from": "10.7.0.1"})
        assert index.candidates(subject) == (7,)
        return subject.asked

    assert asked(1000) == asked(10) <= 2


def test_what_is_remembered_is_bounded() -> None:
    index = Index([parse("host:*.example"), parse("from:10.0.0.0/8")])
    for number in range(10_000):
        values = {"from": f"10.{number // 60000}.{number // 250}.{number % 250}"}
        assert index.candidates(Known(host=f"h{number}.example", **values)) == (0, 1)
    assert len(index._by_host) <= 4096
    assert len(index._by_client) <= 4096

"""Cache-Control, as it is written and miswritten."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.protocol.cache_control import (
    MOST_SECONDS,
    SILENT_REQUEST,
    SILENT_RESPONSE,
    RequestDirectives,
    ResponseDirectives,
    directives,
    request_directives,
    response_directives,
    seconds,
    targeted_directives,
)

MALFORMED = b"\0"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" , ,", []),
        (b"no-store", [(b"no-store", b"")]),
        (b"Max-Age=60, PUBLIC", [(b"max-age", b"60"), (b"public", b"")]),
        (b'a="b, c" , d', [(b"a", b"b, c"), (b"d", b"")]),
        (b'a="\\"b\\", c"', [(b"a", b'"b", c')]),
        (b'a=""', [(b"a", MALFORMED)]),
        (b"a=", [(b"a", MALFORMED)]),
        (b"a =1", [(b"a", MALFORMED)]),
        (b"a= 1", [(b"a", MALFORMED)]),
        (b"a=1 x", [(b"a", MALFORMED)]),
        (b'a="b"c', [(b"a", MALFORMED)]),
        (b"a=1=2", [(b"a", MALFORMED)]),
        (b"no-store;x", [(b"no-store", MALFORMED)]),
        (b"=1, @, a", [(b"a", b"")]),
        (
            b'x="foo, no-store, max-age=1',
            [(b"x", MALFORMED), (b"foo", MALFORMED), (b"no-store", b""), (b"max-age", MALFORMED)],
        ),
        (b'a=1, x="y', [(b"a", b"1"), (b"x", MALFORMED), (b"y", MALFORMED)]),
    ],
)
def test_directives_have_a_name_and_an_argument(value: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert list(directives(value)) == expected


def test_a_response_says_all_it_can() -> None:
    said = response_directives(
        [
            b"max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, public, immutable, must-understand",
            b'no-store, must-revalidate, proxy-revalidate, no-cache="a", private="b, C", no-transform',
        ]
    )
    assert said == ResponseDirectives(
        no_store=True,
        public=True,
        must_revalidate=True,
        proxy_revalidate=True,
        must_understand=True,
        immutable=True,
        max_age=1,
        s_maxage=2,
        stale_while_revalidate=3,
        stale_if_error=4,
        no_transform=True,
        no_cache_fields=frozenset((b"a",)),
        private_fields=frozenset((b"b", b"c")),
    )
    assert response_directives([]) is SILENT_RESPONSE


def test_a_request_says_all_it_can() -> None:
    said = request_directives(
        [b"max-age=1, max-stale=2, min-fresh=3", b"stale-if-error=4, no-cache, no-store, only-if-cached, no-transform"]
    )
    assert said == RequestDirectives(True, True, True, 1, 2, 3, 4, no_transform=True)
    assert request_directives([]) is SILENT_REQUEST


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-stale", MOST_SECONDS),
        (b"max-stale=5", 5),
        (b"max-stale=x", None),
        (b"max-stale, max-stale=5", None),
        (b"foo", None),
    ],
)
def test_max_stale_without_a_number_has_no_limit(value: bytes, expected: int | None) -> None:
    assert request_directives([value]).max_stale == expected


def test_what_is_said_twice_is_read_once() -> None:
    assert request_directives([b"no-cache, foo-1"]) is request_directives([b"no-cache, foo-1"])
    assert response_directives([b"max-age=9, foo-1"]) is response_directives([b"max-age=9, foo-1"])
    assert response_directives([b"max-age=9, " + b"x" * 500]).max_age == 9


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"0", 0), (b"60", 60), (b"0060", 60), (b"2147483648", 2147483648), (b"2147483649", 2147483648),
        (b"9" * 100, 2147483648), (b"0" * 100 + b"7", 7), (b"", None), (b"-1", None), (b"+1", None), (b"1.0", None),
        (b" 1", None), (b"1_0", None), (b"\xd9\xa1", None), (b"1\n", None),
    ],
)  # fmt: skip
def test_a2_seconds_are_digits(raw: bytes, expected: int | None) -> None:
    assert seconds(raw) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"max-age=60"], ResponseDirectives(max_age=60, targeted_by=b"surrogate-control")),
        (
            [b"max-age=60+30"],
            ResponseDirectives(max_age=60, stale_while_revalidate=30, targeted_by=b"surrogate-control"),
        ),
        ([b"no-store", b"foo"], ResponseDirectives(no_store=True, targeted_by=b"surrogate-control")),
        ([b"max-age=60;there, no-store"], ResponseDirectives(no_store=True, targeted_by=b"surrogate-control")),
        ([b'content="ESI/1.0"'], None),
        ([b"no-store-remote"], None),
        ([b""], None),
    ],
)
def test_surrogate_control_counts_when_it_says_something(
    values: list[bytes], expected: ResponseDirectives | None
) -> None:
    assert targeted_directives(b"surrogate-control", values) == expected


WORDS = st.sampled_from(
    [b"max-age", b"no-cache", b"private", b"=", b'"', b",", b" ", b"\\", b"60", b"x", b";", b"\t", b"\xff", b"no-store"]
)


@given(st.lists(st.lists(WORDS, max_size=12).map(b"".join) | st.binary(max_size=30), max_size=3))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_any_bytes_are_directives(values: list[bytes]) -> None:
    said = response_directives(values)
    assert said.max_age is None or 0 <= said.max_age <= MOST_SECONDS
    asked = request_directives(values)
    assert asked.max_age == said.max_age
    for name in (b"cdn-cache-control", b"surrogate-control"):
        targeted_directives(name, values)


@given(st.lists(WORDS, max_size=12).map(b"".join))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_a_no_store_among_commas_is_never_missed(rest: bytes) -> None:
    """Whatever comes before it on the line, unless a whole quoted string holds it."""
    if rest.count(b'"') % 2 == 0 and b"\\" not in rest:
        assert response_directives([rest + b",no-store"]).no_store
        assert response_directives([b"no-store," + rest]).no_store
    if b'"' not in rest:
        assert response_directives([rest + b',"x,no-store']).no_store


def test_a30_long_nonsense_takes_time_that_grows_with_its_length() -> None:
    def took(value: bytes) -> float:
        start = time.perf_counter()
        response_directives([value])
        targeted_directives(b"cdn-cache-control", [value])
        return time.perf_counter() - start

    for piece in (b'"', b"a,", b'"a', b'\\"', b"a=(", b"a; ", b'a="b",', b" ", b"a=1, "):
        assert min(took(piece * (32768 // len(piece))) for _ in range(3)) < 1

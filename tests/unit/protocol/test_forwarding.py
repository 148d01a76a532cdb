"""Fields of the way: who the client is, where a message has been, how far it may go."""

from __future__ import annotations

import pytest

from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.protocol.forwarding import (
    IDENTITY,
    MAX_HOPS,
    MAX_IDENTITY_BYTES,
    check_loop,
    max_forwards,
    trail,
    via_line,
    with_identity,
)


def lines(*pairs: tuple[str, str]) -> list[object]:
    return [(line.name.decode(), line.value.decode()) for line in Fields(pairs).lines]


@pytest.mark.parametrize(
    ("client", "authority", "scheme", "written"),
    [
        (
            "192.0.2.1",
            "a.example",
            "http",
            [
                ("X-Forwarded-For", "192.0.2.1"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "a.example"),
                ("X-Real-IP", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.1;host=a.example;proto=http"),
            ],
        ),
        (
            "2001:db8::1",
            "a.example:8443",
            "https",
            [
                ("X-Forwarded-For", "2001:db8::1"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "a.example:8443"),
                ("X-Real-IP", "2001:db8::1"),
                ("Forwarded", 'for="[2001:db8::1]";host="a.example:8443";proto=https'),
            ],
        ),
        (
            "",
            "",
            "http",
            [
                ("X-Forwarded-For", "unknown"),
                ("X-Forwarded-Proto", "http"),
                ("X-Real-IP", "unknown"),
                ("Forwarded", "for=unknown;proto=http"),
            ],
        ),
    ],
)
def test_a_client_is_described_in_both_manners(
    client: str, authority: str, scheme: str, written: list[tuple[str, str]]
) -> None:
    assert [(line.name.decode(), line.value.decode()) for line in trail(client, authority, scheme).lines] == written


OURS = trail("192.0.2.1", "a", "http")


def identity(pairs: list[tuple[str, str]], trusted: bool) -> list[tuple[str, str]]:
    done = with_identity(Fields(pairs).lines, OURS, trusted)
    return [(line.name.decode(), line.value.decode()) for line in done]


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_a11_nothing_that_a_stranger_claims_stays(name: bytes) -> None:
    claimed = [("X", "1"), (name.decode().title(), "203.0.113.66"), (name.decode(), "for=203.0.113.66")]
    assert identity(claimed, trusted=False) == [("X", "1"), *identity([], trusted=False)]


def test_a11_a_trusted_peers_lists_grow_by_us_and_the_rest_stays() -> None:
    assert identity(
        [("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("X-Real-IP", "1.1.1.1"), ("X", "1")],
        trusted=True,
    ) == [
        ("X-Real-IP", "1.1.1.1"),
        ("X", "1"),
        ("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 192.0.2.1"),
        ("Forwarded", "for=192.0.2.1;host=a;proto=http"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "a"),
    ]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
@pytest.mark.parametrize("value", ["a," * MAX_HOPS + "a", "a" * (MAX_IDENTITY_BYTES + 1)])
def test_a12_a_trusted_peers_lists_have_a_limit(name: str, value: str) -> None:
    with pytest.raises(Failure) as raised:
        identity([(name, value)], trusted=True)
    assert raised.value.status == 431
    assert len(identity([(name, value)], trusted=False)) == len(OURS.lines)


@pytest.mark.parametrize(
    ("via", "is_loop"),
    [
        ("1.1 us", True),
        ("1.0 a, 1.1 us (comment)", True),
        ("HTTP/1.1  us", True),
        ("1.1\tus", True),
        ("1.0 us,1.1 a", True),
        ("1.1 us2", False),
        ("1.1 notus", False),
        ("us", False),
        ("us 1.1", False),
        ("", False),
        (", ,1.1 a,", False),
    ],
)
def test_a22_our_own_name_in_via_for_the_second_time_is_a_loop(via: str, is_loop: bool) -> None:
    check_loop(Fields([("X", "1.1 us"), ("Via", "1.1 a"), ("via", via)]).lines, b"us")
    found = Fields([("Via", "1.1 us"), ("X", "1.1 us"), ("Via", "1.1 a"), ("via", via)]).lines
    if is_loop:
        with pytest.raises(Failure) as raised:
            check_loop(found, b"us")
        assert raised.value.status == 508
    else:
        check_loop(found, b"us")


@pytest.mark.parametrize("name", ["us", "us:8080", "a.example"])
def test_via_names_the_version_that_was_received(name: str) -> None:
    assert via_line(0, name).wire == f"Via: 1.0 {name}\r\n".encode()


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "a,b", "ä", "a:x"])
def test_a_name_that_would_break_via_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a token"):
        via_line(1, name)


@pytest.mark.parametrize(
    ("value", "hops"), [("0", 0), ("7", 7), ("-1", None), ("+1", None), ("1_0", None), ("x", None), ("", None)]
)
def test_max_forwards_is_a_number_or_nothing(value: str, hops: int | None) -> None:
    assert max_forwards(Fields([("X", "1"), ("Max-Forwards", value)]).lines) == hops
    assert max_forwards([]) is None

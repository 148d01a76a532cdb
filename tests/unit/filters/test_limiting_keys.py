"""Whose allowance a request is taken from."""

from __future__ import annotations

import msgspec
import pytest

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.limiting.keys import LONGEST, client_key, key_of


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unix"),
        ("/run/a:b", "/run/a:b"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_64_bits(host: str, key: str) -> None:
    assert client_key(host) == key


def asked(by: str, *lines: tuple[str, str | bytes], user: str | None = None) -> str:
    exchange = Exchange(1, 0, "web", Address("192.0.2.1", 5), 0.0)
    exchange.user = user
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("shop.example", 80), "/"), Fields(lines))
    return key_of(by)(exchange, request)


def test_each_by_has_its_key_and_who_says_nothing_is_a_client() -> None:
    assert asked("client") == "192.0.2.1"
    assert asked("host") == "host shop.example"
    assert asked("rule") == "all"
    assert asked("user", user="ann") == "user ann"
    assert asked("user") == "client 192.0.2.1"
    assert asked("field:X-Key", ("x-key", "k1")) == "X-Key k1"
    assert asked("field:X-Key") == "client 192.0.2.1"
    assert asked("cookie:id", ("Cookie", "a=b; id=7; id=8")) == "id 7"
    assert asked("cookie:id", ("Cookie", "identity=7")) == "client 192.0.2.1"


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xc3\xa4", b"x" * 5000])
def test_a41_what_clients_make_up_is_bounded_text_that_can_be_sent(value: bytes) -> None:
    key = asked("field:X-Key", ("x-key", value))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(key)) == key
    assert len(key) <= LONGEST + 6


def test_nobody_can_pretend_to_be_somebody_else_s_key() -> None:
    assert asked("field:X-Key", ("x-key", "client 192.0.2.1")) != asked("field:X-Key")
    assert asked("user", user="192.0.2.1") != asked("client")

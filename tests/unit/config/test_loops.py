"""Which relays lead to themselves, and which only look as if they did."""

import pytest
from msgspec.structs import replace

from interpose.config.load import config_of
from interpose.config.loops import loops


def found(*relays: tuple[str, list[str]], udp: tuple[int, ...] = ()) -> list[tuple[str, str]]:
    """For each loop the relay and the server, of relays given as address and servers."""
    config = config_of(
        {
            "listener": [{"address": "127.0.0.1:0", "role": "echo"}],
            "upstream": [{"name": f"u{n}", "servers": servers} for n, (_, servers) in enumerate(relays, 1)],
        }
    )
    base = config.listeners[0]
    listeners = tuple(
        replace(base, address=address, role="relay", upstream=f"u{n}", udp=n in udp)
        for n, (address, _) in enumerate(relays, 1)
    )
    return [
        (loop.relay, loop.server.partition("://")[2] or loop.server)
        for loop in loops(replace(config, listeners=listeners))
    ]


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "localhost:9000"),
        ("localhost:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "0.0.0.0:9000"),
        ("127.0.0.1:9000", "[::ffff:127.0.0.1]:9000"),
        ("0.0.0.0:9000", "127.0.0.1:9000"),
        ("0.0.0.0:9000", "127.9.9.9:9000"),
        ("0.0.0.0:9000", "0.0.0.0:9000"),
        ("[::]:9000", "[::1]:9000"),
        ("[::1]:9000", "[::]:9000"),
        ("unix:/run/relay", "unix:/run/relay"),
    ],
)
def test_a_relay_that_is_its_own_server_is_found(address: str, server: str) -> None:
    assert found((address, ["127.0.0.1:1", server])) == [("listener[1]", server)]


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9001"),
        ("127.0.0.1:9000", "127.0.0.2:9000"),
        ("127.0.0.1:9000", "[::1]:9000"),
        ("[::]:9000", "127.0.0.1:9000"),
        ("0.0.0.0:9000", "192.0.2.1:9000"),
        ("127.0.0.1:9000", "server.example:9000"),
        ("127.0.0.1:0", "127.0.0.1:9000"),
        ("unix:/run/relay", "unix:/run/other"),
        ("unix:/run/relay", "127.0.0.1:9000"),
    ],
)
def test_a_relay_to_something_else_is_none(address: str, server: str) -> None:
    assert found((address, [server])) == []


def test_relays_that_lead_round_are_found_and_one_that_leads_into_them_is_not() -> None:
    a, b, c, outside = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"
    assert found((a, [b]), (b, [c]), (c, [a]), (outside, [a])) == [
        ("listener[1]", b), ("listener[2]", c), ("listener[3]", a),
    ]  # fmt: skip
    assert found((a, [b]), (b, [c]), (c, ["127.0.0.1:9"])) == []


def test_datagrams_and_connections_never_meet() -> None:
    a, b = "127.0.0.1:1", "127.0.0.1:2"
    assert found((a, [b]), (b, [a]), udp=(1,)) == []
    assert found((a, [b]), (b, [a]), udp=(1, 2)) == [("listener[1]", b), ("listener[2]", a)]

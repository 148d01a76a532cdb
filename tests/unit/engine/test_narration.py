"""What people are told of conversations, literally."""

from __future__ import annotations

import time

import pytest

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.stream import UNKNOWN, Address, StreamInfo, TlsInfo
from interpose.engine.narration import Mode, Narration, client_of

CLIENT = Address("192.0.2.1", 50000)
SERVER = Address("192.0.2.2", 8001)


class Told:
    """The lines, without the time of day that each begins with."""

    def __init__(self, mode: Mode = "text") -> None:
        self.raw = b""
        self.narration = Narration(self._write, mode, wall=lambda: 1_000_000_000.0)

    def _write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        self.raw += line

    @property
    def lines(self) -> list[str]:
        now = time.strftime("%H:%M:%S  ", time.localtime(1_000_000_000.0))
        lines = self.raw.decode().split("\n")[:-1]
        assert all(line.startswith(now) for line in lines)
        return [line.removeprefix(now) for line in lines]


def exchange_of(client: Address) -> Exchange:
    return Exchange(5, 1, "echo", client, 100.0, "tcp")


def test_a_conversation_from_its_beginning_to_its_end() -> None:
    told = Told()
    exchange = exchange_of(CLIENT)
    account = told.narration.connected(exchange, StreamInfo(CLIENT, SERVER))
    account.received(b"Foobar\n")
    account.received(b"x")
    account.sends_no_more()
    exchange.finish(Outcome(200, 8, None, 101.5))
    assert told.lines == [
        "192.0.2.1:50000  connected to 192.0.2.2:8001 over IPv4",
        '192.0.2.1:50000  sent 7 bytes: "Foobar\\n"',
        '192.0.2.1:50000  sent 1 byte: "x"',
        "192.0.2.1:50000  sends no more",
        "192.0.2.1:50000  ended after 1.500 s: 8 bytes came, 8 were sent back",
    ]


def test_why_a_conversation_was_broken_off() -> None:
    told = Told()
    exchange = exchange_of(CLIENT)
    told.narration.connected(exchange, StreamInfo(CLIENT, SERVER))
    exchange.finish(Outcome(502, 0, Failure("connection_terminated", Side.DOWNSTREAM, "It\x1b broke off."), 100.0))
    assert told.lines[-1] == (
        "192.0.2.1:50000  ended after 0.000 s: 0 bytes came, 0 were sent back. It\\x1b broke off."
    )


@pytest.mark.parametrize(
    ("client", "local", "tls", "line"),
    [
        (
            Address("2001:db8::1", 5000),
            Address("::1", 8001),
            None,
            "[2001:db8::1]:5000  connected to [::1]:8001 over IPv6",
        ),
        (
            Address("", 0),
            Address("/run/e\x1bcho", 0),
            None,
            "unix:#1-5  connected to unix:/run/e\\x1bcho over a Unix socket",
        ),
        (
            CLIENT,
            SERVER,
            TlsInfo("TLSv1.3", "c"),
            "192.0.2.1:50000  connected to 192.0.2.2:8001 over IPv4 with TLSv1.3",
        ),
        (UNKNOWN, SERVER, None, "unknown#1-5  connected to 192.0.2.2:8001 over IPv4"),
    ],
)
def test_who_connected_and_how(client: Address, local: Address, tls: TlsInfo | None, line: str) -> None:
    told = Told()
    told.narration.connected(exchange_of(client), StreamInfo(client, local, tls))
    assert told.lines == [line]


def test_a_long_piece_is_shortened_between_two_characters() -> None:
    told = Told()
    account = told.narration.connected(exchange_of(CLIENT), StreamInfo(CLIENT, SERVER))
    account.received(b"a" * 255 + "é".encode() * 1000)
    assert told.lines[1] == f'192.0.2.1:50000  sent 2255 bytes: "{"a" * 255}" … and 2000 bytes more'


def test_hexadecimal_counts_through_the_conversation() -> None:
    told = Told("hex")
    account = told.narration.connected(exchange_of(CLIENT), StreamInfo(CLIENT, SERVER))
    account.received(b"Foobar\n")
    account.received(b"\x1b" * 300)
    lines = told.lines[1:]
    assert lines[:3] == [
        "192.0.2.1:50000  sent 7 bytes:",
        "192.0.2.1:50000  00000000  46 6f 6f 62 61 72 0a                              |Foobar.|",
        "192.0.2.1:50000  sent 300 bytes:",
    ]
    assert lines[3].startswith("192.0.2.1:50000  00000007  1b 1b")
    assert lines[-1] == "192.0.2.1:50000  … and 44 bytes more"
    assert len(lines) == 3 + 16 + 1


def test_nothing_that_was_sent_passes_for_a_line_of_ours() -> None:
    told = Told()
    account = told.narration.connected(exchange_of(CLIENT), StreamInfo(CLIENT, SERVER))
    account.received(b'"\n12:00:00  192.0.2.9:1  connected\r\x1b[2J\x9b\xc2\x9b\xe2\x80\xa8\xe2\x80\xae')
    assert told.lines[1] == (
        '192.0.2.1:50000  sent 48 bytes: ""\\n12:00:00  192.0.2.9:1  connected\\r\\x1b[2J\\x9b\\u009b\\u2028\\u202e"'
    )


def test_what_a_relay_passes_back_is_told_apart() -> None:
    told = Told()
    account = told.narration.connected(exchange_of(CLIENT), StreamInfo(CLIENT, SERVER))
    account.received(b"question")
    account.answered(b"answer")
    assert told.lines[1:] == [
        '192.0.2.1:50000  sent 8 bytes: "question"',
        '192.0.2.1:50000  was sent 6 bytes: "answer"',
    ]


def test_datagrams() -> None:
    told = Told()
    told.narration.datagram(CLIENT, b"Foobar\n")
    told.narration.datagram(CLIENT, b"FOOBAR\n", verb="was sent")
    told.narration.datagram(CLIENT, b"")
    assert told.lines == [
        '192.0.2.1:50000  sent a datagram of 7 bytes: "Foobar\\n"',
        '192.0.2.1:50000  was sent a datagram of 7 bytes: "FOOBAR\\n"',
        "192.0.2.1:50000  sent an empty datagram",
    ]


def test_who_is_turned_away() -> None:
    told = Told()
    told.narration.turned_away(exchange_of(CLIENT), "192.0.2.1 is in none of the networks.")
    assert told.lines == ["192.0.2.1:50000  was turned away: 192.0.2.1 is in none of the networks."]


def test_a_unix_client_with_a_path_is_called_by_it() -> None:
    assert client_of(Address("/tmp/me\n", 0), "0-1") == "unix:/tmp/me\\n#0-1"

"""SOCKS as bytes: what clients send, what nobody should send, and both sides of a conversation against each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.core.failure import CONSEQUENCES, Failure, Side
from interpose.protocol import socks
from interpose.protocol.socks import Ask, Datagram, Login
from interpose.protocol.socks_client import Bound, Dialogue, unwrapped, write_login, write_request, write_request_4
from interpose.protocol.socks_grammar import Command, Reply, Unreadable

CONNECT, BIND, ASSOCIATE = Command.CONNECT, Command.BIND, Command.ASSOCIATE
V6 = bytes(15) + b"\1"

# What is read, from which bytes, and what it is.
GOOD: list[tuple[Callable[[bytes], Any], bytes, Any]] = [
    (socks.read_methods, b"\x05\x01\x00", {0}),
    (socks.read_methods, b"\x05\x03\x00\x02\x80", {0, 2, 128}),
    (socks.read_methods, b"\x05\xff" + bytes(range(255)), set(range(255))),
    (socks.read_login, b"\x01\x04anna\x06secret", Login(b"anna", b"secret")),
    (socks.read_login, b"\x01\x00\x00", Login(b"", b"")),
    (socks.read_login, b"\x01\xff" + b"u" * 255 + b"\xff" + b"p" * 255, Login(b"u" * 255, b"p" * 255)),
    (socks.read_login, b"\x01\x02a:\x02:b", Login(b"a:", b":b")),
    (socks.read_request, b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", Ask(5, CONNECT, "127.0.0.1", 80)),
    (socks.read_request, b"\x05\x01\x00\x04" + V6 + b"\x01\xbb", Ask(5, CONNECT, "::1", 443)),
    (socks.read_request, b"\x05\x01\x00\x03\x0bexample.org\xff\xff", Ask(5, CONNECT, "example.org", 65535)),
    (socks.read_request, b"\x05\x01\x00\x03\x0cExample.ORG.\x00\x50", Ask(5, CONNECT, "example.org", 80)),
    (socks.read_request, b"\x05\x01\x00\x03\x09127.0.0.1\x00\x50", Ask(5, CONNECT, "127.0.0.1", 80)),
    (socks.read_request, b"\x05\x01\x00\x03\x03::1\x00\x50", Ask(5, CONNECT, "::1", 80)),
    (socks.read_request, b"\x05\x01\x00\x03\x0a0x7f000001\x00\x50", Ask(5, CONNECT, "0x7f000001", 80)),
    (socks.read_request, b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", Ask(5, BIND, "127.0.0.1", 80)),
    (socks.read_request, b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", Ask(5, ASSOCIATE, "", 0)),
    (socks.read_request, b"\x05\x03\x00\x03\x010\x13\x88", Ask(5, ASSOCIATE, "", 0)),
    (socks.read_request, b"\x05\x03\x00\x03\x03\r\n\x00\x13\x88", Ask(5, ASSOCIATE, "", 0)),
    (socks.read_request_4, b"\x04\x01\x00\x50\x7f\x00\x00\x01anna\x00", Ask(4, CONNECT, "127.0.0.1", 80)),
    (socks.read_request_4, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", Ask(4, CONNECT, "127.0.0.1", 80)),
    (socks.read_request_4, b"\x04\x02\x00\x50\x7f\x00\x00\x01\x00", Ask(4, BIND, "127.0.0.1", 80)),
    (socks.read_request_4, b"\x04\x01\x00\x50\x00\x00\x00\x00\x00", Ask(4, CONNECT, "0.0.0.0", 80)),
    (socks.read_request_4, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00Example.org\x00", Ask(4, CONNECT, "example.org", 80)),
    (
        socks.read_request_4,
        b"\x04\x01\x00\x50\x00\x00\x00\xff" + b"u" * 255 + b"\x00" + b"h" * 255 + b"\x00",
        Ask(4, CONNECT, "h" * 255, 80),
    ),
]

# What is read, from which bytes, and what the client hears of it.
BAD: list[tuple[Callable[[bytes], Any], bytes, Reply]] = [
    (socks.read_methods, b"\x05\x00", Reply.FAILED),
    (socks.read_methods, b"\x04", Reply.FAILED),
    (socks.read_methods, b"GET ", Reply.FAILED),
    (socks.read_login, b"\x05", Reply.FAILED),
    (socks.read_login, b"\x00\x01a\x01b", Reply.FAILED),
    (socks.read_request, b"\x04", Reply.FAILED),
    (socks.read_request, b"\x05\x00\x00", Reply.COMMAND_NOT_SUPPORTED),
    (socks.read_request, b"\x05\x04\x00", Reply.COMMAND_NOT_SUPPORTED),
    (socks.read_request, b"\x05\xf0\x00", Reply.COMMAND_NOT_SUPPORTED),
    (socks.read_request, b"\x05\x01\x01", Reply.FAILED),
    (socks.read_request, b"\x05\x01\x00\x00", Reply.ADDRESS_NOT_SUPPORTED),
    (socks.read_request, b"\x05\x01\x00\x02", Reply.ADDRESS_NOT_SUPPORTED),
    (socks.read_request, b"\x05\x03\x00\x05", Reply.ADDRESS_NOT_SUPPORTED),
    (socks.read_request, b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", Reply.FAILED),
    (socks.read_request, b"\x05\x01\x00\x03\x00\x00\x50", Reply.FAILED),
    *(
        (socks.read_request, b"\x05\x01\x00\x03" + bytes((len(host),)) + host + b"\x00\x50", Reply.FAILED)
        for host in (
            b"a b", b"a\0b", b"a\r\nb", b"\xe4.example", b"a:80", b"[::1]", b"::1%lo", b"fe80::1%1", b":::", b"a/b",
            b"a@b", b".a", b"a..b", b".", b"..", b"%61", b"1:2", b"\x7f", b"user:pw@host",
        )
    ),
    (socks.read_request_4, b"\x05", Reply.FAILED),
    (socks.read_request_4, b"\x04\x00", Reply.COMMAND_NOT_SUPPORTED),
    (socks.read_request_4, b"\x04\x03", Reply.COMMAND_NOT_SUPPORTED),
    (socks.read_request_4, b"\x04\x01\x00\x00\x7f\x00\x00\x01\x00", Reply.FAILED),
    (socks.read_request_4, b"\x04\x01\x00\x50\x7f\x00\x00\x01" + b"u" * 256, Reply.FAILED),
    (socks.read_request_4, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"h" * 256, Reply.FAILED),
    (socks.read_request_4, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00", Reply.FAILED),
    (socks.read_request_4, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00a b\x00", Reply.FAILED),
]  # fmt: skip


@pytest.mark.parametrize(("read", "data", "expected"), GOOD)
def test_a_message_is_read_at_its_last_byte_and_not_before(
    read: Callable[[bytes], Any], data: bytes, expected: object
) -> None:
    assert read(data) == (expected, len(data))
    assert read(data + b"what follows") == (expected, len(data))
    for end in range(len(data)):
        assert read(data[:end]) is None


@pytest.mark.parametrize(("read", "data", "reply"), BAD)
def test_what_is_no_message_is_refused_however_it_is_cut(
    read: Callable[[bytes], Any], data: bytes, reply: Reply
) -> None:
    for tail in (b"", b"x", b"x" * 600):
        with pytest.raises(Unreadable) as refused:
            read(data + tail)
        assert socks.reply_to(refused.value) is reply
        assert refused.value.side is Side.DOWNSTREAM
    verdicts = [_verdict(read, data[:end]) for end in range(len(data))]
    first = next((verdict for verdict in verdicts if verdict is not None), refused.value.detail)
    assert first == refused.value.detail  # and no prefix of it was taken for a message


READERS = [socks.read_methods, socks.read_login, socks.read_request, socks.read_request_4]


@given(
    st.sampled_from(READERS),
    st.sampled_from([b"", b"\x05\x01", b"\x05\x01\x00\x03", b"\x04\x01\x00\x50\0\0\0\1", b"\x01\x04"]),
    st.binary(max_size=600),
)
@settings(max_examples=600, derandomize=True, deadline=None)
def test_the_first_verdict_stays_whatever_follows(read: Callable[[bytes], Any], beginning: bytes, data: bytes) -> None:
    """Each longer piece is read as the one before it was, as soon as that one was read at all."""
    data = beginning + data
    verdict = None
    for end in range(len(data) + 1):
        now = _verdict(read, data[:end])
        assert verdict is None or now == verdict
        verdict = now
    if isinstance(verdict, tuple):
        assert verdict[1] <= len(data)
    elif verdict is None:
        assert len(data) < 2 + 3 * 256


def _verdict(read: Callable[[bytes], Any], data: bytes) -> object:
    try:
        return read(data)
    except Unreadable as refused:
        return refused.detail


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\0\0\0\x01\x7f\0\0\x01\0\x35query", Datagram("127.0.0.1", 53, b"query")),
        (b"\0\0\0\x01\x7f\0\0\x01\0\x35", Datagram("127.0.0.1", 53, b"")),
        (b"\0\0\0\x04" + V6 + b"\0\x35q", Datagram("::1", 53, b"q")),
        (b"\0\0\0\x03\x04A.io\0\x35q", Datagram("a.io", 53, b"q")),
        *(
            (data, None)
            for data in (
                b"", b"\0", b"\0\0\0", b"\0\0\0\x01\x7f\0\0\x01\0", b"\0\1\0\x01\x7f\0\0\x01\0\x35q",
                b"\0\0\x01\x01\x7f\0\0\x01\0\x35q", b"\0\0\x80\x01\x7f\0\0\x01\0\x35q", b"\0\0\0\x01\x7f\0\0\x01\0\0q",
                b"\0\0\0\x02\x7f\0\0\x01\0\x35q", b"\0\0\0\x03\x00\0\x35q", b"\0\0\0\x03\x03a b\0\x35q",
                b"\0\0\0\x03\xffabc\0\x35",
            )
        ),
    ],
)  # fmt: skip
def test_datagrams(data: bytes, expected: Datagram | None) -> None:
    if expected is not None:
        assert socks.read_datagram(data) == expected
        return
    with pytest.raises(Unreadable):
        socks.read_datagram(data)
    with pytest.raises(Failure, match="SOCKS"):
        unwrapped(data)


@given(st.binary(max_size=300))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_any_datagram_is_read_or_refused(data: bytes) -> None:
    try:
        found = socks.read_datagram(data)
    except Unreadable:
        return
    assert data.endswith(found.content)
    assert found.host
    assert 0 < found.port < 65536


def test_what_a_server_says() -> None:
    assert socks.write_choice(2) == b"\x05\x02"
    assert socks.write_verdict(is_known=True) == b"\x01\x00"
    assert socks.write_verdict(is_known=False) == b"\x01\x01"
    assert socks.write_reply(5, Reply.SUCCEEDED, "10.0.0.1", 80) == b"\x05\x00\x00\x01\x0a\x00\x00\x01\x00\x50"
    assert socks.write_reply(5, Reply.SUCCEEDED, "::1", 80) == b"\x05\x00\x00\x04" + V6 + b"\x00\x50"
    assert socks.write_reply(5, Reply.NOT_ALLOWED) == b"\x05\x02\x00\x01" + bytes(6)
    assert socks.write_reply(4, Reply.SUCCEEDED, "10.0.0.1", 80) == b"\x00\x5a" + bytes(6)
    assert socks.write_reply(4, Reply.HOST_UNREACHABLE) == b"\x00\x5b" + bytes(6)
    assert socks.write_datagram("10.0.0.1", 53, b"q") == b"\0\0\0\x01\x0a\0\0\x01\0\x35q"


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("dns_error", 4), ("dns_timeout", 4), ("destination_ip_prohibited", 2), ("destination_ip_unroutable", 3),
        ("connection_refused", 5), ("connection_timeout", 6), ("connection_terminated", 1), ("proxy_loop_detected", 2),
        ("http_request_denied", 2), ("connection_limit_reached", 1), ("proxy_internal_error", 1),
    ],
)  # fmt: skip
def test_every_failure_has_a_reply(kind: str, reply: int) -> None:
    assert socks.reply_to(Failure(kind, Side.UPSTREAM)) == reply
    assert set(socks._REPLIES) <= CONSEQUENCES.keys()


def served(dialogue: Dialogue, *, knows: Login | None, step: int, code: Reply = Reply.SUCCEEDED) -> tuple[Ask, bytes]:
    """What a server reads of a client's dialogue, and what the client got early; it gets pieces of `step` bytes."""
    sent = dialogue.begin()

    def answer(data: bytes) -> bytes:
        nonlocal unread
        said = b""
        while data and dialogue.answer is None:
            said += dialogue.take(data[:step])
            data = data[step:]
        unread = dialogue.rest + data
        return said

    unread = b""

    if sent[0] == 4:
        found = socks.read_request_4(sent)
    else:
        offered = socks.read_methods(sent)
        assert offered is not None
        assert offered[1] == len(sent)
        method = 2 if knows is not None and 2 in offered[0] else 0
        sent = answer(socks.write_choice(method))
        if method == 2:
            login = socks.read_login(sent)
            assert login is not None
            assert login[1] == len(sent)
            sent = answer(socks.write_verdict(is_known=login[0] == knows))
        found = socks.read_request(sent)
    assert found is not None
    assert found[1] == len(sent)
    answer(socks.write_reply(found[0].version, code, "192.0.2.9", 4321) + b"early")
    return found[0], unread


@pytest.mark.parametrize("step", [1, 2, 1000])
@pytest.mark.parametrize("login", [None, Login(b"anna", b"secret")])
@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("version", [4, 5])
def test_a_client_and_a_server_understand_each_other(version: int, host: str, login: Login | None, step: int) -> None:
    if version == 4 and ":" in host:
        with pytest.raises(ValueError, match="IPv6"):
            Dialogue(version, CONNECT, host, 80, login)
        return
    dialogue = Dialogue(version, CONNECT, host, 80, login)
    ask, early = served(dialogue, knows=login, step=step)
    assert ask == Ask(version, CONNECT, host, 80)
    assert dialogue.answer == (Bound("192.0.2.9", 4321) if version == 5 else Bound("0.0.0.0", 0))
    assert early == b"early"


@pytest.mark.parametrize("code", [reply for reply in Reply if reply])
@pytest.mark.parametrize("version", [4, 5])
def test_a_client_learns_of_every_no(version: int, code: Reply) -> None:
    with pytest.raises(Failure, match=r"asked for .* port 80"):
        served(Dialogue(version, CONNECT, "example.org", 80), knows=None, step=1000, code=code)


def test_a_client_learns_that_its_login_is_wrong_or_wanted() -> None:
    login = Login(b"anna", b"wrong")
    with pytest.raises(Failure, match="this user with this password"):
        served(Dialogue(5, CONNECT, "a.io", 80, login), knows=Login(b"anna", b"right"), step=1)
    for method, words, login_or_none in ((0xFF, "wants a user", None), (0xFF, "way of logging in", login)):
        dialogue = Dialogue(5, CONNECT, "a.io", 80, login_or_none)
        with pytest.raises(Failure, match=words):
            dialogue.take(bytes((5, method)))


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", b"\x04\x00", b"\x05\x00\x05", b"\x05\x02"])
def test_a_client_takes_no_other_answer(data: bytes) -> None:
    with pytest.raises(Failure):
        Dialogue(5, CONNECT, "a.io", 80).take(data)


@pytest.mark.parametrize("data", [b"", b"\x05\x00\x00\x07", b"\x04", b"\x05\x42"])
def test_a_client_takes_no_other_reply(data: bytes) -> None:
    dialogue = Dialogue(5, CONNECT, "a.io", 80)
    dialogue.take(b"\x05\x00")
    with pytest.raises(Failure):
        dialogue.take(data)


@pytest.mark.parametrize("data", [b"", b"\x04\x5a", b"\x00\x5b", b"H"])
def test_a_client_of_version_4_takes_no_other_reply(data: bytes) -> None:
    with pytest.raises(Failure):
        Dialogue(4, CONNECT, "a.io", 80).take(data)


@given(st.sampled_from([4, 5]), st.lists(st.binary(min_size=1, max_size=20), max_size=8))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_client_survives_any_server(version: int, pieces: list[bytes]) -> None:
    dialogue = Dialogue(version, CONNECT, "a.io", 80, Login(b"a", b"b"))
    with suppress(Failure):
        for piece in pieces:
            if dialogue.answer is None:
                dialogue.take(piece)


@pytest.mark.parametrize(
    "say",
    [
        lambda: write_login(Login(b"u" * 256, b"")),
        lambda: write_login(Login(b"u", b"p" * 256)),
        lambda: write_request(CONNECT, "h" * 256, 80),
        lambda: write_request(CONNECT, "\xe4.example", 80),
        lambda: write_request(CONNECT, "", 80),
        lambda: write_request_4("a\0b", 80),
        lambda: write_request_4("a.io", 80, b"a\0b"),
        lambda: Dialogue(4, ASSOCIATE, "a.io", 80),
        lambda: Dialogue(6, CONNECT, "a.io", 80),
    ],
)
def test_what_cannot_be_said_is_not_sent(say: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"SOCKS|255|ASCII"):
        say()

"""The framed form of the spool, octet by octet."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.protocol.spool_frame import (
    CLIENT_OPENING,
    SERVER_OPENING,
    Answer,
    FrameError,
    Message,
    Offer,
    Refused,
    Resume,
    Stored,
    decode,
    encode,
    is_framed,
    is_stored_line,
    refusal_in,
    refusal_line,
    stored_line,
)

ID = bytes(range(10))
DIGEST = bytes(range(32))

MESSAGES: list[tuple[Message, bytes]] = [
    (
        Offer(ID, 258, DIGEST, "ä.txt"),
        b"\x01\x00\x00\x00\x3a" + ID + b"\x00\x00\x00\x00\x00\x00\x01\x02" + DIGEST + b"\x00\x06\xc3\xa4.txt",
    ),
    (Offer(ID, 0, DIGEST, ""), b"\x01\x00\x00\x00\x34" + ID + bytes(8) + DIGEST + b"\x00\x00"),
    (Resume(1 << 40), b"\x02\x00\x00\x00\x08\x00\x00\x01\x00\x00\x00\x00\x00"),
    (Stored(7, DIGEST), b"\x03\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x00\x07" + DIGEST),
    (Answer(b"ok\n"), b"\x04\x00\x00\x00\x03ok\n"),
    (Answer(b""), b"\x04\x00\x00\x00\x00"),
    (Refused("full", is_final=False), b"\x05\x00\x00\x00\x05\x00full"),
    (Refused("no", is_final=True), b"\x05\x00\x00\x00\x03\x01no"),
]


@pytest.mark.parametrize(("message", "octets"), MESSAGES)
def test_a_message_is_these_octets_and_these_octets_are_the_message(message: Message, octets: bytes) -> None:
    assert encode(message) == octets
    assert decode(octets) == (message, len(octets))
    assert decode(octets + b"\x01more") == (message, len(octets))
    assert [decode(octets[:end]) for end in range(len(octets))] == [None] * len(octets)


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"\x00", "kind 0"),
        (b"GET / HTTP/1.1", "kind 71"),
        (b"\x02\x00\x00\x00\x07", "RESUME has 7 octets"),
        (b"\x03\x00\x00\x00\x29", "STORED has 41 octets"),
        (b"\x04\x00\x10\x00\x01", "ANSWER has 1048577 octets"),
        (b"\x05\x00\x00\x00\x00", "REFUSED has 0 octets"),
        (b"\x05\xff\xff\xff\xff", "REFUSED has 4294967295 octets"),
        (b"\x05\x00\x00\x00\x01\x02", "this one says 2"),
        (b"\x01\x00\x00\x04\x35", "OFFER has 1077 octets"),
        (b"\x01\x00\x00\x00\x34" + ID + bytes(8) + DIGEST + b"\x00\x01", "it has 0"),
        (b"\x01\x00\x00\x00\x35" + ID + bytes(8) + DIGEST + b"\x00\x01\xff", "not UTF-8"),
        (b"\x01\x00\x00\x00\x34" + ID + b"\x80" + bytes(7) + DIGEST + b"\x00\x00", "which no file has"),
    ],
)
def test_what_is_no_message_is_refused_as_soon_as_it_can_be_seen(octets: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        decode(octets)


@pytest.mark.parametrize(
    ("beginning", "verdict"),
    [
        (b"", None),
        (b"\x89", None),
        (CLIENT_OPENING[:-1], None),
        (CLIENT_OPENING, True),
        (CLIENT_OPENING + b"\x01\x00", True),
        (SERVER_OPENING, False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"\x89SPOOL\n\x01?", False),  # somebody translated line ends
        (b"hello", False),
        (b"\x89SPOOL\r\n\x02", False),
    ],
)
def test_the_forms_are_told_apart_by_their_first_octets(beginning: bytes, verdict: bool | None) -> None:
    assert is_framed(beginning) is verdict


def test_long_names_and_reasons_are_cut_at_a_character() -> None:
    offer = decode(encode(Offer(ID, 1, DIGEST, "ä" * 1000)))
    refused = decode(encode(Refused("x" + "ä" * 5000, is_final=False)))
    assert offer is not None
    assert offer[0] == Offer(ID, 1, DIGEST, "ä" * 512)
    assert refused is not None
    assert refused[0] == Refused("x" + "ä" * 2047, is_final=False)
    surrogate = decode(encode(Offer(ID, 1, DIGEST, "a\udcffb")))
    assert surrogate is not None
    assert surrogate[0] == Offer(ID, 1, DIGEST, "a?b")


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_more_is_awaited_or_they_are_refused(octets: bytes) -> None:
    with contextlib.suppress(FrameError):
        found = decode(octets)
        if found is None:
            return
        message, length = found
        assert decode(encode(message)) == (message, length)


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [
        (stored_line("a.txt", 7, DIGEST.hex(), "abcdefghijklmnop"), True),
        (b"stored a.txt 7 bytes\n", False),
        (stored_line("a", 7, DIGEST.hex(), "abcdefghijklmnop") + b"x", False),
        (stored_line("a\nb", 7, DIGEST.hex(), "abcdefghijklmnop"), False),
        (b"", False),
    ],
)
def test_a_sinks_answer_is_known_as_one(answer: bytes, is_one: bool) -> None:
    assert is_stored_line(answer) is is_one


def test_a_refusal_is_known_as_one() -> None:
    assert refusal_line("file too large") == b"not stored: file too large\n"
    assert refusal_in(b"not stored: file too large\n") == "file too large"
    assert refusal_in(b"not stored: \xff\n") == "\ufffd"
    for answer in (b"", b"not stored: \n", b"not stored: a", b"not stored: a\nb\n", b"stored a\n"):
        assert refusal_in(answer) is None

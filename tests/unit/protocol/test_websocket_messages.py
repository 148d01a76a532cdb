"""WebSocket messages out of octets, whole, byte by byte, masked, in frames, compressed, and what is none."""

import time
import zlib

import pytest

from interpose.core.record import Passage
from interpose.protocol.passages import MOST_MESSAGES, Passages, WebSocketPassages
from interpose.protocol.websocket import Message, Messages

MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes, *, last: bool = True, compressed: bool = False, masked: bool = False) -> bytes:
    """One frame, made here without the code under test."""
    first = opcode | (0x80 if last else 0) | (0x40 if compressed else 0)
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    if masked:
        length = bytes([length[0] | 0x80]) + length[1:] + MASK
        payload = bytes(octet ^ MASK[place % 4] for place, octet in enumerate(payload))
    return bytes([first]) + length + payload


def deflated(*texts: bytes) -> list[bytes]:
    """Messages compressed one after the other, with what came before as their context (RFC 7692, 7.2.1)."""
    deflater = zlib.compressobj(wbits=-15)
    return [
        (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")
        for text in texts
    ]


COMPRESSED = deflated(b"hello hello hello", b"hello hello again")
CASES = {
    "one text": (frame(1, b"hello"), [Message("text", b"hello", 5)]),
    "masked": (frame(1, b"hello", masked=True), [Message("text", b"hello", 5)]),
    "empty": (frame(2, b""), [Message("binary", b"", 0)]),
    "two": (frame(1, b"a") + frame(2, b"b", masked=True), [Message("text", b"a", 1), Message("binary", b"b", 1)]),
    "in frames": (
        frame(1, b"he", last=False, masked=True) + frame(0, b"l", last=False) + frame(0, b"lo", masked=True),
        [Message("text", b"hello", 5)],
    ),
    "a ping between frames": (
        frame(1, b"he", last=False) + frame(9, b"?") + frame(0, b"llo"),
        [Message("ping", b"?", 1), Message("text", b"hello", 5)],
    ),
    "close": (frame(8, b"\x03\xe8bye"), [Message("close", b"\x03\xe8bye", 5)]),
    "medium": (frame(2, b"x" * 300), [Message("binary", b"x" * 300, 300)]),
    "longer than what is kept": (frame(2, b"y" * 70_000, masked=True), [Message("binary", b"y" * 1000, 70_000)]),
    "compressed": (
        frame(1, COMPRESSED[0], compressed=True) + frame(1, COMPRESSED[1], compressed=True, masked=True),
        [
            Message("text", b"hello hello hello", len(COMPRESSED[0]), True),
            Message("text", b"hello hello again", len(COMPRESSED[1]), True),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_messages_come_out_however_the_octets_came(name: str, step: int) -> None:
    octets, expected = CASES[name]
    messages = Messages(1000)
    found = [
        message for place in range(0, len(octets), step) for message in messages.feed(octets[place : place + step])
    ]
    assert found == expected


def test_a_message_may_say_that_its_last_block_is_the_last() -> None:
    """The example of RFC 7692, 7.2.3.4, and after it a message of one who goes on compressing."""
    finished = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
    octets = frame(1, finished, compressed=True) * 2 + frame(1, COMPRESSED[0], compressed=True)
    found = list(Messages(1000).feed(octets))
    assert [message.data for message in found] == [b"Hello", b"Hello", b"hello hello hello"]


def test_a30_many_small_messages_cost_as_much_as_their_octets_and_no_more() -> None:
    def costs(count: int) -> float:
        octets = frame(9, b"", masked=True) * count
        began = time.process_time()
        assert sum(1 for _ in Messages(1000).feed(octets)) == count
        return time.process_time() - began

    assert min(costs(80_000) for _ in range(3)) < 16 * min(costs(10_000) for _ in range(3))


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"\x83\x00", "not known"),
        (b"\xa1\x00", "not known"),
        (frame(0, b"x"), "has not begun"),
        (frame(1, b"a", last=False) + frame(1, b"b"), "inside another"),
        (frame(9, b"x" * 126), "control frame"),
        (frame(9, b"x", last=False), "control frame"),
        (b"\x82\x7f" + b"\xff" * 8, "impossible length"),
        (frame(1, b"\xff\xff\xff", compressed=True), "cannot be inflated"),
        (frame(1, deflated(b"x" * 100_000)[0], compressed=True), "longer than what is kept"),
    ],
)
def test_what_is_no_websocket_is_said_to_be_none(octets: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(Messages(1000).feed(octets))


def test_what_passed_is_written_down_with_its_time_up_to_the_cap() -> None:
    now = iter((1.0, 2.5, 3.0))
    passages = Passages(lambda: next(now), 0.5, 5)
    passages.received(b"GET")
    passages.answered(b"0123456789")
    passages.received(b"abcd")
    assert passages.kept == [
        Passage(0.5, True, b"GET", 3),
        Passage(2.0, False, b"01234", 10),
        Passage(2.5, True, b"ab", 4),
    ]
    assert passages.total == 3


def test_only_so_many_messages_are_kept_and_all_are_counted() -> None:
    passages = Passages(lambda: 0.0, 0.0, 100)
    for _ in range(MOST_MESSAGES + 7):
        passages.received(b"")
    assert (len(passages.kept), passages.total) == (MOST_MESSAGES, MOST_MESSAGES + 7)


def test_a_direction_that_is_no_websocket_is_written_down_as_it_comes() -> None:
    passages = WebSocketPassages(lambda: 0.0, 0.0, 100)
    passages.received(frame(1, b"hello", masked=True))
    passages.answered(b"\xff\xff")
    passages.answered(b"more")
    passages.received(frame(9, b""))
    assert [(one.inbound, one.kind, one.data) for one in passages.kept] == [
        (True, "text", b"hello"),
        (False, "", b"\xff\xff"),
        (False, "", b"more"),
        (True, "ping", b""),
    ]

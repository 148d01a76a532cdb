import pytest

from interpose.engine.messages import (
    MAX_FRAME_BYTES,
    Abandon,
    Accept,
    Counters,
    Drain,
    FrameReader,
    Grant,
    Grants,
    Message,
    Prepared,
    Ready,
    Start,
    encode,
)

MESSAGES: list[Message] = [
    Start(3, 7, b"\x00config", Grants((Grant(1, "web"), Grant(2, "proxy")), (2,)), 30.0, 0),
    Accept(Grants((), ())),
    Drain(2.5),
    Abandon(),
    Ready(),
    Prepared(8, ("a sentence.", "another \N{SNOWMAN}")),
    Counters({"requests_total": 5, "connections": 2.0}),
]


def test_every_message_arrives_as_it_was_sent_whole() -> None:
    assert list(FrameReader().feed(b"".join(map(encode, MESSAGES)))) == MESSAGES


def test_every_message_arrives_as_it_was_sent_byte_by_byte() -> None:
    reader = FrameReader()
    wire = b"".join(map(encode, MESSAGES))
    assert [message for byte in wire for message in reader.feed(bytes([byte]))] == MESSAGES


@pytest.mark.parametrize("size", range(1, 40))
def test_a_frame_may_be_cut_anywhere(size: int) -> None:
    reader = FrameReader()
    wire = b"".join(map(encode, MESSAGES))
    parts = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert [message for part in parts for message in reader.feed(part)] == MESSAGES


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\xff\xff\xff\xff", id="a length above the limit"),
        pytest.param((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), id="a length just above the limit"),
        pytest.param(b"\x00\x00\x00\x00", id="nothing"),
        pytest.param(b"\x00\x00\x00\x01\xc1", id="no MessagePack"),
        pytest.param(b"\x00\x00\x00\x06\x91\xa4Nope", id="a message that there is not"),
        pytest.param(b"\x00\x00\x00\x08\x92\xa5Drain\xc0", id="a message with a wrong type"),
        pytest.param(b"\x00\x00\x00\x07\x91\xa5Drain", id="a message that lacks something"),
    ],
)
def test_what_is_no_message_is_a_value_error(wire: bytes) -> None:
    with pytest.raises(ValueError):
        list(FrameReader().feed(wire))


def test_a_message_above_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="above the"):
        encode(Start(0, 1, bytes(MAX_FRAME_BYTES), Grants((), ()), 1.0, 0))

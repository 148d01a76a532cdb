"""Messages as frames: judged by the reader of frames that the tests have, and by zlib."""

import zlib

import pytest
from tests.support.websocket import BINARY, CLOSE, TEXT, Frame, frames

from interpose.protocol.websocket import Message, Messages
from interpose.protocol.websocket_frames import Deflate, Frames, agreed_deflate

LONG = b"hello " * 50_000


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize(
    ("kind", "opcode", "data"),
    [
        ("text", TEXT, b"hello"),
        ("binary", BINARY, b""),
        ("binary", BINARY, bytes(range(126))),
        ("text", TEXT, b"x" * 65_535),
        ("text", TEXT, b"x" * 65_536),
        ("close", CLOSE, b"\x03\xe8bye"),
    ],
)
def test_a_message_is_one_frame(kind: str, opcode: int, data: bytes, masks: bool) -> None:
    assert frames(Frames(masks=masks, deflate=None).write(kind, data)) == ([Frame(opcode, data, masks)], b"")


def inflated(payloads: list[bytes], bits: int = 15) -> list[bytes]:
    """What a receiver makes of compressed messages that follow each other."""
    inflater = zlib.decompressobj(-bits)
    return [inflater.decompress(payload + b"\x00\x00\xff\xff") for payload in payloads]


def test_compressed_messages_refer_to_those_before_them() -> None:
    writer = Frames(masks=False, deflate=Deflate())
    octets = [writer.write("text", text, compressed=True) for text in (b"hello hello", b"", b"hello hello", LONG)]
    assert [one[0] for one in octets] == [0xC1] * 4
    payloads = [frames(one)[0][0].payload for one in octets]
    assert inflated(payloads) == [b"hello hello", b"", b"hello hello", LONG]
    assert len(payloads[2]) < len(payloads[0])
    assert len(payloads[3]) < len(LONG) / 100


def test_where_each_message_stands_by_itself_none_refers_to_another() -> None:
    writer = Frames(masks=False, deflate=Deflate(server_resets=True))
    first, second = (frames(writer.write("text", b"hello hello", compressed=True))[0][0].payload for _ in range(2))
    assert first == second
    assert inflated([second]) == [b"hello hello"]


def test_the_window_is_no_larger_than_agreed() -> None:
    writer = Frames(masks=True, deflate=Deflate(client_bits=9))
    octets = writer.write("binary", bytes(range(256)) * 64, compressed=True)
    assert inflated([frames(octets)[0][0].payload], 9) == [bytes(range(256)) * 64]


@pytest.mark.parametrize("deflate", [None, Deflate(server_bits=8)], ids=["nothing agreed", "a window zlib has not"])
def test_what_cannot_be_compressed_goes_as_it_is(deflate: Deflate | None) -> None:
    octets = Frames(masks=False, deflate=deflate).write("text", b"hello", compressed=True)
    assert (octets[0], frames(octets)[0]) == (0x81, [Frame(TEXT, b"hello", False)])


def test_what_is_written_is_read_as_the_same_messages() -> None:
    writer, reader = Frames(masks=True, deflate=Deflate()), Messages(1 << 20)
    said = [("text", b"one", True), ("ping", b"?", False), ("binary", LONG, True), ("close", b"", False)]
    octets = b"".join(writer.write(kind, data, compressed=packed) for kind, data, packed in said)
    read = list(reader.feed(octets))
    assert [(message.kind, message.data) for message in read] == [(kind, data) for kind, data, _ in said]
    assert read[0] == Message("text", b"one", len(read[0].data) + 2, True)


@pytest.mark.parametrize(
    ("lines", "agreed"),
    [
        ([], None),
        (["x-other; a=1"], None),
        (["permessage-deflate"], Deflate()),
        (["x-other, Permessage-Deflate; server_no_context_takeover"], Deflate(server_resets=True)),
        (
            ["permessage-deflate; client_max_window_bits=10; client_no_context_takeover"],
            Deflate(client_bits=10, client_resets=True),
        ),
        (['permessage-deflate; server_max_window_bits="12"'], Deflate(server_bits=12)),
        (["permessage-deflate; client_max_window_bits=99; server_max_window_bits"], Deflate()),
    ],
)
def test_what_was_agreed_on_is_read(lines: list[str], agreed: Deflate | None) -> None:
    assert agreed_deflate(lines) == agreed

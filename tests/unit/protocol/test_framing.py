"""Where bodies end, and how they are written: decoders and encoders by themselves."""

from __future__ import annotations

import contextlib

import pytest

from interpose.core.fields import Fields
from interpose.protocol.framing import (
    CHUNKED,
    FORBIDDEN_TRAILERS,
    FRAMING_TRAILERS,
    MAX_EXTENSION_BYTES,
    MAX_EXTENSIONS_BYTES,
    MAX_TRAILERS,
    MAX_TRAILERS_BYTES,
    UNTIL_CLOSE,
    BadFraming,
    ChunkedDecoder,
    decoder_for,
    encode_chunk,
    encode_end,
)
from interpose.protocol.head import HeadParser


def chunked() -> ChunkedDecoder:
    return ChunkedDecoder(HeadParser().field)


@pytest.mark.parametrize(
    ("framing", "pieces", "read"),
    [
        (3, [b"abc"], [(b"abc", b"")]),
        (3, [b"abcdef"], [(b"abc", b"def")]),
        (3, [b"a", b"bc"], [(b"a", None), (b"bc", b"")]),
        (3, [b"a", b"bcd"], [(b"a", None), (b"bc", b"d")]),
        (UNTIL_CLOSE, [b"a", b"b"], [(b"a", None), (b"b", None)]),
        (CHUNKED, [b"0\r\n\r\n"], [(b"", b"")]),
        (CHUNKED, [b"3\r\nabc\r\n0\r\n\r\nnext"], [(b"abc", b"next")]),
        (CHUNKED, [b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"], [(b"abcde", b"")]),
        (
            CHUNKED,
            [b"3\r\na", b"bc", b"\r", b"\n0\r\n", b"\r\n"],
            [(b"a", None), (b"bc", None), (b"", None), (b"", None), (b"", b"")],
        ),
        (CHUNKED, [b"00003\r\nabc\r\n000\r\n\r\n"], [(b"abc", b"")]),
        (CHUNKED, [b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"], [(b"0123456789" * 2, b"")]),
        (CHUNKED, [b'3;a;b=c;d="e;\\"f"\r\nabc\r\n0;last\r\n\r\n'], [(b"abc", b"")]),
    ],
)
def test_a_body_ends_where_its_framing_says(
    framing: int, pieces: list[bytes], read: list[tuple[bytes, bytes | None]]
) -> None:
    decoder = decoder_for(framing, HeadParser().field)
    assert [decoder.decode(piece) for piece in pieces] == read
    assert decoder.trailers is None


def test_trailers_are_there_once_the_body_has_ended() -> None:
    decoder = chunked()
    assert decoder.decode(b"0\r\nX-Sum: abc\r\nSet-Cookie: a=b\r\n") == (b"", None)
    assert decoder.trailers is None
    assert decoder.decode(b"\r\n") == (b"", b"")
    assert decoder.trailers is not None
    assert list(decoder.trailers) == [("X-Sum", "abc"), ("Set-Cookie", "a=b")]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"3\nabc\r\n0\r\n\r\n", 400),
        (b"3\r\nabc\n0\r\n\r\n", 400),
        (b"3\r\nabcd\r\n0\r\n\r\n", 400),
        (b"3\r\nab\r\n0\r\n\r\n", 400),
        (b"-3\r\n", 400),
        (b"0x3\r\n", 400),
        (b" 3\r\n", 400),
        (b"3 \r\n", 400),
        (b"3;\r\n", 400),
        (b"g\r\n", 400),
        (b"\r\n", 400),
        (b"3\r \n", 400),
        (b"1" * 16 + b"\r\n", 400),
        (b"3;" + b"x" * MAX_EXTENSION_BYTES + b"\r\n", 400),
        (b"3;" + b"x" * (MAX_EXTENSION_BYTES + 20), 400),
        (b"0\r\nX : y\r\n\r\n", 400),
        (b"0\r\nX: y\n\r\n", 400),
        (b"0\r\n" + b"X: y\r\n" * (MAX_TRAILERS + 1), 431),
        (b"0\r\nX: " + b"y" * MAX_TRAILERS_BYTES, 431),
        *[(b"0\r\n" + name + b": x\r\n\r\n", 400) for name in sorted(FRAMING_TRAILERS)],
    ],
)
def test_what_is_no_chunked_body_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(BadFraming) as raised:
        chunked().decode(data)
    assert raised.value.status == status


def test_extensions_are_limited_in_all() -> None:
    decoder = chunked()
    one = b"1;" + b"x" * 1000 + b"\r\na\r\n"
    for _ in range(MAX_EXTENSIONS_BYTES // 1001):
        decoder.decode(one)
    with pytest.raises(BadFraming):
        decoder.decode(one)


def test_a_line_that_waits_for_its_end_does_not_grow_without_end() -> None:
    for opening in (b"", b"3;a=", b"0\r\nX: "):
        decoder = chunked()
        decoder.decode(opening)
        taken = 0
        with contextlib.suppress(BadFraming):
            while taken < 100_000:
                decoder.decode(b"1" * 1000)
                taken += 1000
        assert taken <= MAX_TRAILERS_BYTES


def test_chunks_are_written_as_they_are_read() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_end(None) == b"0\r\n\r\n"
    assert encode_end(Fields([("X", "y"), ("Z", "")])) == b"0\r\nX: y\r\nZ: \r\n\r\n"


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS - FRAMING_TRAILERS))
def test_trailers_that_reach_back_are_read_and_not_sent_on(name: bytes) -> None:
    decoder = chunked()
    decoder.decode(b"0\r\n" + name.title() + b": x\r\nX: y\r\n\r\n")
    assert decoder.trailers is not None
    assert len(decoder.trailers) == 2
    assert encode_end(decoder.trailers) == b"0\r\nX: y\r\n\r\n"

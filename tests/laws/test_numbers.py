"""A2: what is taken for a number is one. Accepted implies matched, by patterns of this file's own."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interpose.core.failure import Failure
from interpose.protocol import number
from interpose.protocol.framing import BadFraming, ChunkedDecoder
from interpose.protocol.head import HeadParser

LENGTH = re.compile(rb"[0-9]{1,18}\Z")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")

# What int(), str.strip() and str.lower() would have let pass.
LENIENT = [
    b"", b"+1", b"-1", b"+0", b"-0", b"1_0", b"1__0", b"_1", b"0x1", b"0X1", b"0o7", b"0b1", b" 1", b"1 ", b"\t1",
    b"1\t", b"1\n", b"\n1", b"1\r", b"\x0b1", b"\x0c1", b"1\x1c", b"\x851", b"1\x85", b"\xa01", b"1\xa0", b"\xc2\xa01",
    b"1.0", b"1e3", b"1,1", b"1;1", b"1,", b"nan", b"inf", b"0x", b"0" * 19, b"9" * 19, b"1" * 4301, b"\x001",
    b"1\x00", *(f"{digit}".encode() for digit in "\u0661\u0967\uff11\U0001d7cf\u00b2\u2167"), "\u20091".encode(),
    "1\u3000".encode(),
]  # fmt: skip

numberish = st.one_of(
    st.binary(max_size=24),
    st.text("0123456789abcdefABCDEF+-_xX. \t\r\n\x0b\x85\xa0\u0660\u0967\uff11\xb2", max_size=24).map(
        lambda text: text.encode()
    ),
    st.from_regex(rb"[0-9A-Fa-f]{1,20}", fullmatch=True),
)


@pytest.mark.parametrize("raw", LENIENT)
def test_a2_what_python_would_take_for_a_number_is_none(raw: bytes) -> None:
    assert number.decimal(raw) is None
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", raw):
        assert number.hexadecimal(raw) is None


@pytest.mark.parametrize(
    ("raw", "decimal", "hexadecimal"),
    [
        (b"0", 0, 0),
        (b"00", 0, 0),
        (b"007", 7, 7),
        (b"10", 10, 16),
        (b"999999999999999999", 999999999999999999, None),
        (b"fffffffffffffff", None, (1 << 60) - 1),
        (b"FfFf", None, 65535),
        (b"ffffffffffffffff", None, None),
    ],
)
def test_a2_numbers_have_their_value(raw: bytes, decimal: int | None, hexadecimal: int | None) -> None:
    assert (number.decimal(raw), number.hexadecimal(raw)) == (decimal, hexadecimal)


@given(numberish)
@settings(max_examples=500, derandomize=True, deadline=None)
def test_a2_accepted_implies_matched(raw: bytes) -> None:
    assert (number.decimal(raw) is not None) == (LENGTH.match(raw) is not None)
    assert (number.hexadecimal(raw) is not None) == (CHUNK_SIZE.match(raw) is not None)


@given(numberish)
@example(b"+1")
@example(b"1_0")
@settings(max_examples=500, derandomize=True, deadline=None)
def test_a2_an_accepted_length_is_digits_and_nothing_else(raw: bytes) -> None:
    """The whole way through the head: only blanks around a value are taken off, and only space and tab are blanks."""
    try:
        _, framing, _ = HeadParser().request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:" + raw, "http")
    except Failure:
        return
    digits = re.fullmatch(rb"[ \t]*([0-9]{1,18})[ \t]*", raw)
    assert digits is not None
    assert framing == int(digits[1])


@given(numberish)
@example(b"5 ")
@settings(max_examples=500, derandomize=True, deadline=None)
def test_a2_an_accepted_chunk_size_is_hexadecimal_digits(raw: bytes) -> None:
    decoder = ChunkedDecoder(HeadParser().field)
    try:
        content, rest = decoder.decode(raw + b"\r\n")
    except BadFraming:
        return
    if b"\r" in raw or b";" in raw:
        return  # more than one line, or an extension: the corpus has those
    assert (content, rest) == (b"", None)
    assert re.fullmatch(rb"[0-9A-Fa-f]{1,15}", raw)


@given(
    st.text(max_size=12).map(lambda text: text.encode())
    | st.sampled_from(["chunKed", "CHUNKED", "\u212ahunked", "chun\u212aed"]).map(str.encode)
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a2_an_accepted_coding_is_chunked_in_ascii(raw: bytes) -> None:
    """The Kelvin sign is a k to str.lower(), and only to it."""
    try:
        HeadParser().request(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + raw, "http")
    except Failure:
        return
    assert re.fullmatch(rb"[ \t]*[Cc][Hh][Uu][Nn][Kk][Ee][Dd][ \t]*", raw)

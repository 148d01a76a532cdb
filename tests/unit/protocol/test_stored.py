"""A stored head is what was stored, or it is an error."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.core.fields import field_line
from interpose.protocol import stored
from interpose.protocol.stored import StoredHead, decode, encode

HEAD = StoredHead(
    200,
    b"OK",
    (field_line("Content-Type", "text/plain"), field_line("ETag", '"a"'), field_line("X-Empty", "")),
    1000.25,
    1001.5,
    ((b"accept-encoding", b"gzip"), (b"accept-language", None)),
    5,
    hashlib.sha256(b"hello").digest(),
    (b"one", b"two"),
    b"GET http://a.example/",
)


def sealed(rest: bytes) -> bytes:
    """Bytes whose digest is right, whatever they say."""
    return b"IPSH\x01" + hashlib.blake2b(rest, digest_size=16).digest() + rest


def test_a_head_comes_back_as_it_was_stored() -> None:
    assert decode(encode(HEAD)) == HEAD


def test_a_partial_one_without_anything_comes_back() -> None:
    head = StoredHead(206, b"", (), 0.0, 0.0, complete=False)
    assert decode(encode(head)) == head
    assert decode(encode(head)).complete is False


@pytest.mark.parametrize("complete", [True, False])
def test_one_that_was_purged_softly_stays_so(complete: bool) -> None:
    head = HEAD.replace(expired=True, complete=complete)
    assert decode(encode(head)) == head
    assert decode(encode(head)) != head.replace(expired=False)


def test_a18_no_changed_byte_passes() -> None:
    raw = encode(HEAD)
    for place in range(len(raw)):
        for change in (1, 0x20, 0x80, 0xFF):
            changed = bytearray(raw)
            changed[place] ^= change
            with pytest.raises(ValueError):
                decode(bytes(changed))


def test_a18_no_cut_and_no_addition_passes() -> None:
    raw = encode(HEAD)
    for end in range(len(raw)):
        with pytest.raises(ValueError):
            decode(raw[:end])
    with pytest.raises(ValueError):
        decode(raw + b"\0")


def rest_with(
    lines: list[tuple[bytes, bytes]], *, reason: bytes = b"OK", status: int = 200, time: float = 1.0
) -> bytes:
    def string(value: bytes) -> bytes:
        return struct.pack("!I", len(value)) + value

    fixed = struct.pack("!HBddQ", status, 1, time, 1.0, 0) + string(reason) + string(b"key") + string(b"")
    written = b"".join(string(name) + string(value) for name, value in lines)
    return fixed + struct.pack("!I", len(lines)) + written + struct.pack("!II", 0, 0)


def test_the_layout_is_this() -> None:
    assert decode(sealed(rest_with([(b"A", b"b")]))).lines == (field_line("A", "b"),)


@pytest.mark.parametrize(
    "rest",
    [
        rest_with([(b"A", b"b\r\nSet-Cookie: x")]),
        rest_with([(b"A b", b"c")]),
        rest_with([(b"", b"c")]),
        rest_with([(b"A", b" c")]),
        rest_with([(b"A", b"c\0")]),
        rest_with([(b"Transfer-Encoding", b"chunked")]),
        rest_with([(b"content-length", b"3")]),
        rest_with([(b"Connection", b"close")]),
        rest_with([], reason=b"OK\r\nA: b"),
        rest_with([], status=99),
        rest_with([], status=600),
        rest_with([], time=float("nan")),
        rest_with([], time=float("inf")),
        rest_with([])[:-1],
        rest_with([]) + b"\0",
        rest_with([])[:-8] + struct.pack("!II", 0xFFFFFFF0, 0),
        rest_with([])[:-8] + struct.pack("!III", 1, 0xFFFFFFFF, 0),
        b"",
    ],
)
def test_a18_lines_are_judged_again_even_when_the_digest_is_right(rest: bytes) -> None:
    with pytest.raises(ValueError):
        decode(sealed(rest))


def test_another_version_is_not_read() -> None:
    with pytest.raises(ValueError, match="version"):
        decode(b"IPSH\x02" + encode(HEAD)[5:])


def test_a_head_beyond_any_honest_size_is_not_read() -> None:
    with pytest.raises(ValueError, match="limit"):
        decode(bytes(stored.MAX_ENCODED_BYTES + 1))


def test_replacing_a_part_forgets_the_memo() -> None:
    head = HEAD.replace()
    head.memo = "known"
    changed = head.replace(status=404)
    assert (changed.status, changed.lines, changed.memo) == (404, head.lines, None)
    assert changed != head
    assert head == HEAD


@given(st.binary(max_size=300))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_bytes_are_a_head_or_an_error(raw: bytes) -> None:
    for data in (raw, sealed(raw)):
        try:
            head = decode(data)
        except ValueError:
            continue
        assert encode(head) == data


@given(
    st.lists(
        st.tuples(st.from_regex(rb"x-[a-z]{1,8}", fullmatch=True), st.from_regex(rb"[!-~]{0,20}", fullmatch=True)),
        max_size=5,
    ),
    st.integers(100, 599),
    st.floats(0, 1e12),
    st.lists(st.tuples(st.binary(max_size=9), st.none() | st.binary(max_size=9)), max_size=3),
    st.lists(st.binary(max_size=9), max_size=3),
    st.integers(0, 1 << 60),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_what_is_encoded_is_decoded(
    pairs: list[tuple[bytes, bytes]],
    status: int,
    time: float,
    vary: list[tuple[bytes, bytes | None]],
    tags: list[bytes],
    length: int,
) -> None:
    lines = tuple(field_line(name, value) for name, value in pairs)
    head = StoredHead(status, b"", lines, time, time + 1, tuple(vary), length, bytes(32), tuple(tags), b"k", True)
    assert decode(encode(head)) == head

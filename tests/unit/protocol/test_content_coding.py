from __future__ import annotations

import contextlib
import gzip
import random
import subprocess
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.protocol.content_coding import (
    CODINGS,
    PIECE_BYTES,
    Bounds,
    CodingError,
    Decoder,
    Encoder,
    coding_of,
    decoded,
    encoded,
)

TEXT = b"".join(b"line %d of a text\n" % number for number in range(20000))


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


# Made and undone by libraries that the code under test does not use, where there are such.
MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}
UNDOERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], ""),
        ([b"identity"], ""),
        ([b""], ""),
        ([b" gzip\t"], "gzip"),
        ([b"GZip"], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"identity, br"], "br"),
        ([b"deflate", b"identity"], "deflate"),
        ([b"zstd,"], "zstd"),
    ],
)
def test_the_coding_of_a_content_is_the_one_that_its_fields_name(values: list[bytes], coding: str) -> None:
    assert coding_of(values) == coding


@pytest.mark.parametrize("values", [[b"gzip, gzip"], [b"gzip", b"br"], [b"compress"], [b"x\xe9"], [b"gzip;q=1"]])
def test_a_coding_that_is_unknown_or_not_the_only_one_is_refused(values: list[bytes]) -> None:
    with pytest.raises(CodingError, match="of the content is not one of") as caught:
        coding_of(values)
    assert not caught.value.is_too_much


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("data", [b"", b"a", TEXT, random.Random(1).randbytes(200_000)], ids=len)
def test_what_others_made_is_undone_and_what_we_made_is_undone_by_others(coding: str, data: bytes) -> None:
    bounds = Bounds(1 << 20, 10_000)
    assert decoded(MAKERS[coding](data), coding, bounds) == data
    assert UNDOERS[coding](encoded(data, coding)) == data


def test_deflate_without_its_header_is_undone_too() -> None:
    assert decoded(raw_deflate(TEXT), "deflate") == TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_behind_each_other_are_one_content(coding: str) -> None:
    make = MAKERS[coding]
    assert decoded(make(b"one ") + make(b"") + make(b"two"), coding) == b"one two"


@pytest.mark.parametrize("coding", CODINGS)
def test_cut_anywhere_it_gives_the_same_and_its_begin_alone_is_not_whole(coding: str) -> None:
    made = MAKERS[coding](b"some words, some words" * 20)
    for cut in range(len(made)):
        decoder = Decoder(coding)
        begin = b"".join(decoder.decode(made[:cut]))
        if cut > 0:
            with pytest.raises(CodingError, match="ends before"):
                decoder.finish()
        assert begin + b"".join(decoder.decode(made[cut:])) == b"some words, some words" * 20
        decoder.finish()


@pytest.mark.parametrize("coding", CODINGS)
def test_octets_behind_the_end_are_refused(coding: str) -> None:
    with pytest.raises(CodingError):
        decoded(MAKERS[coding](b"text") + b"more", coding)


@pytest.mark.parametrize("coding", CODINGS)
def test_an_encoder_takes_its_content_in_chunks(coding: str) -> None:
    encoder = Encoder(coding)
    made = b"".join(encoder.encode(TEXT[start : start + 1000]) for start in range(0, len(TEXT), 1000))
    made += encoder.finish()
    assert UNDOERS[coding](made) == TEXT
    assert len(made) < len(TEXT) // 4


@given(st.binary(max_size=2000), st.sampled_from(CODINGS), st.integers(1, 64))
@settings(max_examples=300, deadline=None)
def test_any_octets_are_undone_or_refused_and_wherever_they_are_cut(data: bytes, coding: str, size: int) -> None:
    def outcome(cuts: int) -> bytes | None:
        decoder = Decoder(coding)
        try:
            out = b"".join(b"".join(decoder.decode(data[at : at + cuts])) for at in range(0, len(data), cuts))
            decoder.finish()
        except CodingError:
            return None
        return out

    assert outcome(size) == outcome(2000)


@given(st.data(), st.sampled_from(CODINGS))
@settings(max_examples=200, deadline=None)
def test_a_changed_octet_raises_nothing_but_the_one_error(data: st.DataObject, coding: str) -> None:
    made = bytearray(MAKERS[coding](b"a content of some length, " * 30))
    made[data.draw(st.integers(0, len(made) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CodingError):
        decoded(bytes(made), coding)


def test_a29_more_than_a_multiple_of_what_came_is_refused() -> None:
    made = zlib.compress(bytes(1_000_000))
    with pytest.raises(CodingError, match="100 times its size") as caught:
        decoded(made, "deflate")
    assert caught.value.is_too_much
    assert decoded(made, "deflate", Bounds(1_000_000, 2000)) == bytes(1_000_000)
    with pytest.raises(CodingError, match="more than 999999 octets"):
        decoded(made, "deflate", Bounds(999_999, 2000))


def test_a29_a_little_may_always_come_of_very_little() -> None:
    assert decoded(gzip.compress(b"a" * 60_000), "gzip") == b"a" * 60_000


def bomb(coding: str, size: int) -> bytes:
    """Zeros, coded as densely as the coding can."""
    zeros = bytes(1 << 20)
    match coding:
        case "gzip" | "deflate":
            stream = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
            return b"".join(stream.compress(zeros) for _ in range(size >> 20)) + stream.flush()
        case "br":
            maker = brotli.Compressor(quality=9, lgwin=24)
            return b"".join(maker.process(zeros) for _ in range(size >> 20)) + maker.finish()
        case _:
            press = zstandard.ZstdCompressor(level=19).compressobj()
            return b"".join(press.compress(zeros) for _ in range(size >> 20)) + press.flush()


GROWTH = """
import resource, sys, time
from interpose.protocol.content_coding import CodingError, Decoder
data, coding = sys.stdin.buffer.read(), sys.argv[1]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.process_time()
try:
    for piece in Decoder(coding).decode(data):
        pass
    said = "passed"
except CodingError as error:
    said = "too much" if error.is_too_much else str(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(said, grown, time.process_time() - begun, sep="|")
"""


@pytest.mark.parametrize("coding", CODINGS)
def test_a29_a_bomb_is_refused_at_once_and_in_little_memory(coding: str) -> None:
    made = bomb(coding, 256 << 20)
    made += b"" if coding == "deflate" else made
    child = subprocess.run([sys.executable, "-c", GROWTH, coding], input=made, capture_output=True, timeout=50)
    said, grown_kib, took_s = child.stdout.decode().split("|")
    assert said == "too much", child.stderr
    assert int(grown_kib) < 16 << 10
    assert float(took_s) < 1.0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a29_no_piece_is_larger_than_was_promised(coding: str) -> None:
    decoder = Decoder(coding, Bounds(1 << 30, 1 << 20))
    sizes = [len(piece) for piece in decoder.decode(bomb(coding, 8 << 20))]
    assert sum(sizes) == 8 << 20
    assert max(sizes) <= 2 * PIECE_BYTES


@pytest.mark.parametrize("is_small", [False, True], ids=["usual", "small"])
@pytest.mark.parametrize(
    ("coding", "level"), [("gzip", 1), ("gzip", 9), ("deflate", 5), ("br", 0), ("br", 9), ("zstd", 1), ("zstd", 12)]
)
def test_what_was_flushed_can_be_read_at_once(coding: str, level: int, is_small: bool) -> None:
    encoder, decoder = Encoder(coding, level, is_small=is_small), Decoder(coding)
    for line in TEXT[:2000].splitlines(keepends=True):
        out = encoder.encode(line) + encoder.flush()
        assert b"".join(decoder.decode(out)) == line
    b"".join(decoder.decode(encoder.finish()))
    decoder.finish()


@pytest.mark.parametrize(("coding", "quick", "thorough"), [("gzip", 1, 9), ("br", 0, 9), ("zstd", 1, 12)])
def test_a_higher_level_makes_less_of_it(coding: str, quick: int, thorough: int) -> None:
    sizes = []
    for level in (quick, thorough):
        encoder = Encoder(coding, level)
        data = encoder.encode(memoryview(TEXT)) + encoder.finish()
        assert UNDOERS[coding](data) == TEXT
        sizes.append(len(data))
    assert sizes[1] < 0.95 * sizes[0]


def test_no_other_coding_is_made() -> None:
    with pytest.raises(ValueError, match="no content coding: 'compress'"):
        Encoder("compress")

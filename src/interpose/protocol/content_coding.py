"""Content codings: `gzip`, `deflate`, `br` and `zstd`, undone and made piece by piece (RFC 9110, 8.4.1; RFC 8878).

What is undone is bounded, since a few octets can stand for a great many: by a number of octets, and by a multiple of
what came in. Pieces come out one at a time, so that whoever takes them can stop, and no more than one of them and the
coding's window is ever in memory.

Departs from RFC 9110, 8.4: of several codings on top of each other none is undone. No server makes them; whoever hides
something does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard
from zlib_ng import zlib_ng

PIECE_BYTES: Final = 65536
"""What pieces are made of. brotli looks at its bound between two steps of its buffer, and gives half as much again."""

MAX_ZSTD_WINDOW_BYTES: Final = 8 << 20
"""RFC 9659, 3: what a decoder has to support, and an encoder may ask for, on the web."""

# Its stub says that the error's class is an instance.
_ZlibError: type[Exception] = zlib_ng.error  # type: ignore[assignment]

# A zstd block of 4 octets can stand for 128 KiB, and a call of the library ends with its input only. So it is fed with
# little at a time: 2 MiB for each piece at worst.
_ZSTD_FEED_BYTES: Final = 64

_GZIP, _ZLIB, _RAW = 31, 15, -15
_ALIASES = {b"x-gzip": "gzip", b"x-compress": "compress"}
CODINGS: Final = ("gzip", "deflate", "br", "zstd")

GZIP_LEVEL: Final = 6
BROTLI_QUALITY: Final = 5
"""11 is the library's own default, a hundred times slower for a sixth less."""
ZSTD_LEVEL: Final = 3
LEVELS: Final = {"gzip": GZIP_LEVEL, "deflate": GZIP_LEVEL, "br": BROTLI_QUALITY, "zstd": ZSTD_LEVEL}
"""Where nobody says another."""

# How far an encoder looks back, as powers of two. At any level that can be configured it takes 2 MiB at most, and makes
# text larger by 1 to 2 % than with all the memory it would like. `_SMALL` is for what is mostly silent, of which there
# may be many: a quarter of a MiB.
_BROTLI_WINDOW: Final = 16
_ZSTD_WINDOW: Final = 18
_SMALL_WINDOW: Final = 14
_SMALL_GZIP: Final = 16 + _SMALL_WINDOW
_SMALL_GZIP_MEMORY: Final = 7
_SMALL_BROTLI_QUALITY: Final = 3
_GZIP_MEMORY: Final = 8


class CodingError(ValueError):
    """A content that is not what its coding says, is more than was allowed, or has a coding that is not known here.

    The text is one sentence. `is_too_much` tells the second case from the others.
    """

    def __init__(self, message: str, *, is_too_much: bool = False) -> None:
        super().__init__(message)
        self.is_too_much = is_too_much


class Bounds(NamedTuple):
    """How much may come out: `max_bytes`, and `max_ratio` times what went in where that is more than `free_bytes`."""

    max_bytes: int = 32 << 20
    max_ratio: int = 100
    free_bytes: int = 65536


BOUNDS: Final = Bounds()


def coding_of(values: Sequence[bytes]) -> str:
    """The coding that the Content-Encoding lines `values` name, "" for none. CodingError for others and for several."""
    named = [token.strip(b" \t").lower() for value in values for token in value.split(b",")]
    codings = [_ALIASES.get(token, token.decode("latin-1")) for token in named if token not in (b"", b"identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in CODINGS:
        shown = ", ".join(codings)[:100]
        raise CodingError(f"The coding {shown!r} of the content is not one of {', '.join(CODINGS)}.")
    return codings[0]


class Decoder:
    """Undoes one coding: `decode` each chunk as it comes, then `finish`."""

    __slots__ = ("_bounds", "_inner", "bytes_in", "bytes_out")

    def __init__(self, coding: str, bounds: Bounds = BOUNDS) -> None:
        self._inner: _Undoing = _UNDOING[coding]()
        self._bounds = bounds
        self.bytes_in = 0
        self.bytes_out = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What `data` stands for, in pieces that are not empty. Take all of them before the next call. CodingError."""
        self.bytes_in += len(data)
        most, ratio, free = self._bounds
        allowed = min(most, max(free, ratio * self.bytes_in))
        try:
            for piece in self._inner.pieces(data):
                self.bytes_out += len(piece)
                if self.bytes_out > allowed:
                    why = f"{most} octets" if allowed == most else f"{ratio} times its size"
                    raise CodingError(f"The content is more than {why} when its coding is undone.", is_too_much=True)
                yield piece
        except (_ZlibError, brotli.error, zstandard.ZstdError) as error:
            raise CodingError(f"The content is not what its coding says: {error}.") from None

    def finish(self) -> None:
        """Nothing more comes. CodingError when something was still missing."""
        if self.bytes_in and not self._inner.is_whole:
            raise CodingError("The content ends before its coding does.")


class _Undoing(Protocol):
    """One coding being undone."""

    @property
    def is_whole(self) -> bool:
        """Whether the content may end here."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What `data` stands for. Raises the library's own error."""


class _Gzip:
    """RFC 1952: members, one behind the other."""

    def __init__(self) -> None:
        self._member: zlib_ng._Decompress | None = None

    @property
    def is_whole(self) -> bool:
        return self._member is None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                self._member = zlib_ng.decompressobj(_GZIP)
            yield from _inflated(self._member, data)
            if not self._member.eof:
                return
            data = self._member.unused_data
            self._member = None


class _Deflate:
    """RFC 9110, 8.4.1.2 says zlib's form; many servers send the bare one (RFC 1951), so the first two octets decide."""

    def __init__(self) -> None:
        self._begin = b""
        self._stream: zlib_ng._Decompress | None = None

    @property
    def is_whole(self) -> bool:
        return self._stream is not None and self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._begin += data
            if len(self._begin) < 2:
                return
            data, self._begin = self._begin, b""
            # RFC 1950, 2.2: the method is 8, and both octets as a number are a multiple of 31.
            has_header = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = zlib_ng.decompressobj(_ZLIB if has_header else _RAW)
        yield from _inflated(self._stream, data)
        if self._stream.unused_data or (self._stream.eof and self._stream.unconsumed_tail):
            raise _ZlibError("octets behind its end")


def _inflated(stream: zlib_ng._Decompress, data: bytes) -> Iterator[bytes]:
    """What `data` inflates to. A full piece may have left more of it inside, even when no input is left."""
    while True:
        piece = stream.decompress(data, PIECE_BYTES)
        if piece:
            yield piece
        data = stream.unconsumed_tail
        if stream.eof or (not data and len(piece) < PIECE_BYTES):
            return


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_whole(self) -> bool:
        return bool(self._stream.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream.is_finished():
                if data:  # (of the same call: the library itself refuses)
                    raise brotli.error("octets behind its end")
                return
            piece = self._stream.process(data, output_buffer_limit=PIECE_BYTES)
            data = b""
            if piece:
                yield piece
            elif self._stream.can_accept_more_data():
                return


class _Zstd:
    """RFC 8878: frames, one behind the other."""

    def __init__(self) -> None:
        self._library = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    @property
    def is_whole(self) -> bool:
        return self._frame is None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_FEED_BYTES):
            feed = data[start : start + _ZSTD_FEED_BYTES]
            while feed:
                if self._frame is None:
                    self._frame = self._library.decompressobj()
                if piece := self._frame.decompress(feed):
                    yield piece
                if not self._frame.eof:
                    break
                feed = self._frame.unused_data
                self._frame = None


_UNDOING: dict[str, type[_Gzip | _Deflate | _Brotli | _Zstd]] = {
    "gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


class Encoder:
    """Makes one coding: `encode` each chunk as it comes, `flush` where the other side is to have all of it so far, then
    `finish`. What they return may be empty. ValueError for a coding that is not made here.

    `is_small` takes less memory for as long as it lasts, and makes the content a tenth larger.
    """

    __slots__ = ("_stream",)

    def __init__(self, coding: str, level: int | None = None, *, is_small: bool = False) -> None:
        if coding not in _MAKING:
            raise ValueError(f"no content coding: {coding!r}")
        self._stream: _Making = _MAKING[coding](LEVELS[coding] if level is None else level, is_small)

    def encode(self, data: bytes | memoryview) -> bytes:
        """What may leave after `data`."""
        return self._stream.compress(data)

    def flush(self) -> bytes:
        """What makes everything so far readable for who undoes the coding. It costs some octets each time."""
        return self._stream.flush()

    def finish(self) -> bytes:
        """What is left."""
        return self._stream.finish()


class _Making(Protocol):
    """One coding being made."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...

    def finish(self) -> bytes: ...


class _GzipMaking:
    _form = _GZIP
    _small_form = _SMALL_GZIP

    def __init__(self, level: int, is_small: bool) -> None:
        form, memory = (self._small_form, _SMALL_GZIP_MEMORY) if is_small else (self._form, _GZIP_MEMORY)
        self._stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, form, memory)

    def compress(self, data: bytes | memoryview, /) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zlib_ng.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _DeflateMaking(_GzipMaking):
    _form = _ZLIB
    _small_form = _SMALL_WINDOW


class _BrotliMaking:
    def __init__(self, level: int, is_small: bool) -> None:
        quality, window = (min(level, _SMALL_BROTLI_QUALITY), _SMALL_WINDOW) if is_small else (level, _BROTLI_WINDOW)
        self._stream = brotli.Compressor(quality=quality, lgwin=window)

    def compress(self, data: bytes | memoryview, /) -> bytes:
        return bytes(self._stream.process(data))

    def flush(self) -> bytes:
        return bytes(self._stream.flush())

    def finish(self) -> bytes:
        return bytes(self._stream.finish())


class _ZstdMaking:
    def __init__(self, level: int, is_small: bool) -> None:
        window = _SMALL_WINDOW if is_small else _ZSTD_WINDOW
        usual = zstandard.ZstdCompressionParameters.from_level(level)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, window_log=window, hash_log=min(usual.hash_log, window), chain_log=min(usual.chain_log, window)
        )
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def compress(self, data: bytes | memoryview, /) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


_MAKING: dict[str, Callable[[int, bool], _Making]] = {
    "gzip": _GzipMaking,
    "deflate": _DeflateMaking,
    "br": _BrotliMaking,
    "zstd": _ZstdMaking,
}


def decoded(data: bytes, coding: str, bounds: Bounds = BOUNDS) -> bytes:
    """All that `data` stands for in `coding` ("" is none). CodingError."""
    if not coding:
        return data
    decoder = Decoder(coding, bounds)
    whole = b"".join(decoder.decode(data))
    decoder.finish()
    return whole


def encoded(data: bytes, coding: str) -> bytes:
    """`data` in `coding` ("" is none)."""
    if not coding:
        return data
    encoder = Encoder(coding)
    return encoder.encode(data) + encoder.finish()

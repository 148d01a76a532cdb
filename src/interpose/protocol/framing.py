"""Where a message's body ends (RFC 9112, 6 and 7): one module for reader, writer and cache.

A framing is a number: the length in octets, 0 for no content, or one of two marks. Decoders take what the connection
received and give back content and, once the body has ended, what follows it:

    decode(data) -> (content, None)     the body goes on
                 -> (content, rest)     the body has ended; `rest` belongs to the next message

They raise `Failure` for anything that is not exactly the grammar; the caller knows whose side that is.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from interpose.core.failure import Failure
from interpose.core.fields import FieldLine, Fields
from interpose.protocol import number
from interpose.protocol.forwarding import IDENTITY

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

LAST_CHUNK: Final = b"0\r\n\r\n"

MAX_EXTENSION_BYTES = 1024
MAX_EXTENSIONS_BYTES = 16384
MAX_TRAILERS_BYTES = 32768
MAX_TRAILERS = 100

# chunk-size [ chunk-ext ] (RFC 9112, 7.1.1). The meaning of extensions is not ours and they are not sent on, but a
# reader that takes what is no extension for one may disagree with the next on where the line ends. Linear: no part can
# begin where the one before could go on. (Possessive groups would say so; CPython before 3.11.5 matches them wrongly.)
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*+;[ \t]*+"
    + _TOKEN
    + rb"(?:[ \t]*+=[ \t]*+(?:"
    + _TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*)"
)

_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")

# What a reader must know before the content is an error in a trailer section (THREATS A3).
FRAMING_TRAILERS: frozenset[bytes] = frozenset(
    b"connection content-length expect host http2-settings keep-alive max-forwards proxy-connection te trailer "
    b"transfer-encoding upgrade".split(b" ")
)
# Other fields about routing, authentication, conditions, caching or content processing are read, kept apart and not
# sent on (RFC 9110, 6.5.1): some servers make fields of trailers. So is what claims who the client is (THREATS A11).
FORBIDDEN_TRAILERS: frozenset[bytes] = (
    FRAMING_TRAILERS
    | IDENTITY
    | frozenset(
        b"age authorization cache-control content-encoding content-location content-range content-type cookie date "
        b"expires if-match if-modified-since if-none-match if-range if-unmodified-since location pragma "
        b"proxy-authenticate proxy-authorization range retry-after set-cookie vary via www-authenticate".split(b" ")
    )
)


class BadFraming(Exception):
    """The bytes are not a body. `text` says what is wrong."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Decoder(Protocol):
    """What finds the end of one body."""

    trailers: Fields | None

    def decode(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Content, and what follows the body once it has ended."""


class LengthDecoder:
    """A body of a known number of octets."""

    __slots__ = ("remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.trailers: Fields | None = None

    def decode(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See the module."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data, None
        if size == self.remaining:
            self.remaining = 0
            return data, b""
        content = data[: self.remaining]
        rest = data[self.remaining :]
        self.remaining = 0
        return content, rest


class CloseDecoder:
    """A body that ends with its connection."""

    __slots__ = ("trailers",)

    def __init__(self) -> None:
        self.trailers: Fields | None = None

    def decode(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See the module."""
        return data, None


class LineParser(Protocol):
    """Reads one field line (`HeadParser.field`)."""

    def __call__(self, raw: bytes) -> FieldLine:
        """The line; `Failure` when it is none."""


class ChunkedDecoder:
    """The chunked transfer coding.

    States: expecting a size line, inside a chunk (`_remaining` > 0), expecting the CRLF after one, in the trailer
    section. Lines end with CRLF and nothing else. An incomplete line waits in `_line`, which its limit bounds.
    """

    __slots__ = (
        "_extensions",
        "_line",
        "_parse_line",
        "_remaining",
        "_state",
        "_trailer_bytes",
        "_trailer_lines",
        "trailers",
    )

    def __init__(self, parse_line: LineParser) -> None:
        self._parse_line = parse_line
        self._state = _SIZE
        self._remaining = 0
        self._line = b""
        self._extensions = 0
        self._trailer_lines: list[FieldLine] = []
        self._trailer_bytes = 0
        self.trailers: Fields | None = None

    def decode(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See the module."""
        parts: list[bytes] = []
        place = self._whole_chunks(data, parts) if self._state is _SIZE and not self._line else 0
        size = len(data)
        while place < size:
            if self._state is _DATA:
                piece = data[place : place + self._remaining]
                parts.append(piece)
                place += len(piece)
                self._remaining -= len(piece)
                if self._remaining == 0:
                    self._state = _DATA_END
                continue
            line, place = self._next_line(data, place)
            if line is None:
                break
            if self._state is _SIZE:
                self._begin_chunk(line)
            elif self._state is _DATA_END:
                if line:
                    raise BadFraming("A chunk is longer than its size says.")
                self._state = _SIZE
            elif line:
                self._add_trailer(line)
            else:
                self.trailers = Fields.of(self._trailer_lines) if self._trailer_lines else None
                return b"".join(parts), data[place:]
        return parts[0] if len(parts) == 1 else b"".join(parts), None

    def _whole_chunks(self, data: bytes, parts: list[bytes]) -> int:
        """Take the chunks at the beginning that are here whole and have no extension, as nearly all do, at a third of
        what the other way costs: who sends them decides how small they are. Where the first other one begins."""
        place = 0
        while (size := _PLAIN_SIZE.match(data, place)) is not None:
            length = number.hexadecimal(size[1])
            begin = size.end()
            if not length or data[begin + length : begin + length + 2] != b"\r\n":
                break
            place = begin + length + 2
            parts.append(data[begin : place - 2])
        return place

    def _next_line(self, data: bytes, place: int) -> tuple[bytes | None, int]:
        """The line that begins at `place` (or began earlier) without its CRLF, and where it ends; None when it is not
        all there."""
        end = data.find(b"\n", place)
        if end < 0:
            self._line += data[place:]
            self._check_open_line(self._line)
            return None, len(data)
        line = self._line + data[place:end] if self._line else data[place:end]
        self._line = b""
        if not line.endswith(b"\r"):
            raise BadFraming("A line of the chunked coding ends with a bare LF.")
        line = line[:-1]
        self._check_open_line(line)
        return line, end + 1

    def _check_open_line(self, line: bytes) -> None:
        """Judge a line that may go on: nothing may wait for an end that no longer matters."""
        if self._state is _DATA_END:
            if line not in (b"", b"\r"):
                raise BadFraming("A chunk is longer than its size says.")
            return
        if self._state is _SIZE:
            if len(line) > MAX_EXTENSION_BYTES + 16:
                raise BadFraming(f"A chunk extension is longer than {MAX_EXTENSION_BYTES} bytes.")
        elif self._trailer_bytes + len(line) > MAX_TRAILERS_BYTES:
            raise BadFraming(f"The trailer section is larger than {MAX_TRAILERS_BYTES} bytes.", 431)
        if b"\r" in line[:-1]:
            raise BadFraming("A line of the chunked coding has a CR in it.")

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BadFraming("A chunk does not begin with its size in hexadecimal digits.")
        self._extensions += len(match[2])
        if len(match[2]) > MAX_EXTENSION_BYTES or self._extensions > MAX_EXTENSIONS_BYTES:
            raise BadFraming(
                f"Chunk extensions are longer than {MAX_EXTENSION_BYTES} bytes, or {MAX_EXTENSIONS_BYTES} in all."
            )
        length = number.hexadecimal(match[1])
        assert length is not None
        self._remaining = length
        self._state = _DATA if length else _TRAILERS

    def _add_trailer(self, raw: bytes) -> None:
        try:
            line = self._parse_line(raw)
        except Failure as failure:
            raise BadFraming(failure.detail, failure.status) from None
        self._trailer_bytes += len(raw) + 2
        if line.key in FRAMING_TRAILERS:
            raise BadFraming(f"The field {line.name.decode()} may not be a trailer.")
        if len(self._trailer_lines) >= MAX_TRAILERS:
            raise BadFraming(f"There are more than {MAX_TRAILERS} trailers.", 431)
        self._trailer_lines.append(line)


_SIZE, _DATA, _DATA_END, _TRAILERS = "size", "data", "data end", "trailers"


def decoder_for(framing: int, parse_line: LineParser) -> Decoder:
    """The decoder of a body with this framing."""
    if framing == CHUNKED:
        return ChunkedDecoder(parse_line)
    if framing == UNTIL_CLOSE:
        return CloseDecoder()
    return LengthDecoder(framing)


def encode_chunk(content: bytes) -> bytes:
    """One chunk; content must not be empty (that would end the body)."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def encode_end(trailers: Fields | None) -> bytes:
    """The last chunk, the trailer section and the empty line."""
    if trailers is None:
        return LAST_CHUNK
    return b"0\r\n%b\r\n" % b"".join([line.wire for line in trailers.lines if line.key not in FORBIDDEN_TRAILERS])

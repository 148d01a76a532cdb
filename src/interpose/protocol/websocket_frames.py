"""WebSocket messages as frames (RFC 6455), compressed where that was agreed on (RFC 7692).

Who stands between takes messages apart and puts them together anew, each in one frame. To the client it is the server,
so that it masks nothing, and to the server the client.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from interpose.protocol.number import decimal
from interpose.protocol.websocket import KINDS

_OPCODES = {kind: opcode for opcode, kind in KINDS.items()}
_TAIL = b"\x00\x00\xff\xff"
_PARAMETER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*\"?(\d{1,2})\"?\s*)?")

LEAST_BITS = 9
"""zlib cannot write for a smaller window; who agreed on 8 gets messages uncompressed, as is always allowed."""


class Deflate(NamedTuple):
    """What was agreed on about compression: the windows, and whether each message stands by itself."""

    client_bits: int = 15
    server_bits: int = 15
    client_resets: bool = False
    server_resets: bool = False


def agreed_deflate(lines: Sequence[str]) -> Deflate | None:
    """What the Sec-WebSocket-Extensions of a 101 say about compression; None: nothing is compressed (7.1)."""
    for line in lines:
        for extension in line.split(","):
            name, *parameters = extension.split(";")
            if name.strip(" \t").lower() == "permessage-deflate":
                return _deflate(parameters)
    return None


def _deflate(parameters: list[str]) -> Deflate:
    said: dict[str, str | None] = {}
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is not None:
            said[match[1].lower()] = match[2]
    return Deflate(
        client_bits=_bits(said.get("client_max_window_bits")),
        server_bits=_bits(said.get("server_max_window_bits")),
        client_resets="client_no_context_takeover" in said,
        server_resets="server_no_context_takeover" in said,
    )


def _bits(value: str | None) -> int:
    bits = None if value is None else decimal(value.encode())
    return bits if bits is not None and 8 <= bits <= 15 else 15


class Frames:
    """Writes the messages of one direction. `masks`: as a client does; `deflate` is what was agreed on."""

    __slots__ = ("_bits", "_deflater", "_masks", "_resets")

    def __init__(self, *, masks: bool, deflate: Deflate | None) -> None:
        self._masks = masks
        self._bits = 0 if deflate is None else deflate.client_bits if masks else deflate.server_bits
        self._resets = deflate is not None and (deflate.client_resets if masks else deflate.server_resets)
        self._deflater: zlib._Compress | None = None

    def write(self, kind: str, data: bytes, *, compressed: bool = False) -> bytes:
        """The frame of one message; `compressed` where that is possible."""
        first = 0x80 | _OPCODES[kind]
        if compressed and self._bits >= LEAST_BITS:
            first |= 0x40
            data = self._deflated(data)
        return bytes([first]) + self._length(len(data)) + self._masked(data)

    def _deflated(self, data: bytes) -> bytes:
        deflater = self._deflater
        if deflater is None or self._resets:
            deflater = self._deflater = zlib.compressobj(wbits=-self._bits)
        # What is empty after the tail is gone stands as one empty block (7.2.3.6).
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL) or b"\0"

    def _length(self, length: int) -> bytes:
        mark = 0x80 if self._masks else 0
        if length < 126:
            return bytes([mark | length])
        if length < 1 << 16:
            return bytes([mark | 126]) + length.to_bytes(2, "big")
        return bytes([mark | 127]) + length.to_bytes(8, "big")

    def _masked(self, data: bytes) -> bytes:
        if not self._masks:
            return data
        mask = os.urandom(4)
        if not data:
            return mask
        repeated = (mask * (len(data) // 4 + 1))[: len(data)]
        masked = int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")
        return mask + masked.to_bytes(len(data), "big")

"""Secrets of TLS put into a capture, so that whoever opens it reads what was encrypted (a Decryption Secrets Block).

Only the secrets of sessions whose beginning is in the capture go in: to give somebody a capture is not to give away
everything that the key log opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from interpose.storage.exports import pcapng
from interpose.storage.exports.packet_file import blocks

MAX_KEY_LOG_BYTES: Final = 64 << 20

Secrets = Mapping[bytes, bytes]
"""The lines of each session, by the random that its client began with."""

_LINE = re.compile(rb"([A-Z][A-Z0-9_]{1,63} ([0-9A-Fa-f]{64}) [0-9A-Fa-f]{2,512})\r?")
# A record with a ClientHello (RFC 8446, 4.1.2 and 5.1), as far as its random: always among its first 43 octets.
_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..\x01\x00..\x03[\x01-\x03](.{32})", re.DOTALL)


def secrets_in(file: BinaryIO) -> Secrets:
    """The secrets in a key log. What is not such a line is left out. ValueError, a sentence, when there are none."""
    data = file.read(MAX_KEY_LOG_BYTES + 1)
    if len(data) > MAX_KEY_LOG_BYTES:
        raise ValueError(f"it has more than {MAX_KEY_LOG_BYTES >> 20} MiB; take the lines that are of interest.")
    found: dict[bytes, dict[bytes, None]] = {}
    for line in data.split(b"\n"):
        if match := _LINE.fullmatch(line):
            found.setdefault(bytes.fromhex(match[2].decode()), {})[match[1]] = None
    if not found:
        raise ValueError("there are no secrets in it: it has no line such as CLIENT_RANDOM, 64 and more hex digits.")
    return {random: b"".join(line + b"\n" for line in lines) for random, lines in found.items()}


def sessions_in(file: BinaryIO) -> set[bytes]:
    """The randoms of all ClientHellos in a capture."""
    return {bytes(match[1]) for block in blocks(file) if block.has_packet for match in _HELLO.finditer(block.octets)}


def with_secrets(file: BinaryIO, lines: bytes) -> Iterator[bytes]:
    """The pieces of the same capture with secrets at its beginning, where readers need them."""
    for block in blocks(file):
        yield block.octets
        if block.begins_section and lines:
            yield pcapng.secrets(lines, block.order)
            lines = b""

"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng): a section, its interfaces, secrets, the packets. Little-endian,
in microseconds, which is what a block that says nothing else means."""

from __future__ import annotations

import struct
from typing import Final

LINKTYPE_RAW: Final = 101
"""IP datagrams without anything before them. Both versions: the first octet tells."""

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
_SECRETS = 10
_TLS_KEY_LOG = 0x544C534B
_MAGIC = 0x1A2B3C4D
_UNKNOWN_SIZE = -1
_COMMENT, _APPLICATION, _NAME, _DESCRIPTION, _RESOLUTION = 1, 4, 2, 3, 9
_MOST_OPTION_BYTES = 0xFFFF

_EDGE = struct.Struct("<II")
_SIZE = struct.Struct("<I")
_OPTION = struct.Struct("<HH")
_PACKET_HEAD = struct.Struct("<IIIIIII")


def section(application: str, comment: str) -> bytes:
    """The beginning of a file: who made it, and what there is to know about it."""
    about = struct.pack("<IHHq", _MAGIC, 1, 0, _UNKNOWN_SIZE)
    return _block(SECTION, about + _option(_COMMENT, comment) + _option(_APPLICATION, application) + _option(0, ""))


def interface(
    name: str, description: str, *, link: int = LINKTYPE_RAW, most_bytes: int = 0, decimals: int = 6
) -> bytes:
    """An interface; the first is number 0. Of longer packets only `most_bytes` are there (0: they are never cut), and
    times have so many `decimals`."""
    about = struct.pack("<HHI", link, 0, most_bytes) + _option(_NAME, name) + _option(_DESCRIPTION, description)
    if decimals != 6:
        about += _OPTION.pack(_RESOLUTION, 1) + struct.pack("B3x", decimals)
    return _block(INTERFACE, about + _option(0, ""))


def secrets(lines: bytes, order: str = "<") -> bytes:
    """The secrets of TLS sessions, lines of a key log, for the packets that follow."""
    about = struct.pack(order + "II", _TLS_KEY_LOG, len(lines)) + lines + bytes(-len(lines) & 3)
    size = struct.pack(order + "I", 12 + len(about))
    return struct.pack(order + "I", _SECRETS) + size + about + size


def packet(number: int, at_us: int, data: bytes, comment: str = "", *, whole_bytes: int = 0) -> bytes:
    """A packet on an interface, at a time since 1970; of `whole_bytes` where it was cut."""
    size = len(data)
    rest = data + bytes(-size & 3)
    if comment:
        rest += _option(_COMMENT, comment) + _option(0, "")
    total = 32 + len(rest)
    return (
        _PACKET_HEAD.pack(
            PACKET, total, number, at_us >> 32 & 0xFFFFFFFF, at_us & 0xFFFFFFFF, size, whole_bytes or size
        )
        + rest
        + _SIZE.pack(total)
    )


def _block(kind: int, content: bytes) -> bytes:
    total = 12 + len(content)
    return _EDGE.pack(kind, total) + content + _SIZE.pack(total)


def _option(code: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")[:_MOST_OPTION_BYTES]
    return _OPTION.pack(code, len(value)) + value + bytes(-len(value) & 3)

"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng): a section, its interfaces, the packets. Little-endian, in
microseconds, which is what a block that says nothing else means."""

from __future__ import annotations

import struct
from typing import Final

LINKTYPE_RAW: Final = 101
"""IP datagrams without anything before them. Both versions: the first octet tells."""

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC = 0x1A2B3C4D
_UNKNOWN_SIZE = -1
_COMMENT, _APPLICATION, _NAME, _DESCRIPTION = 1, 4, 2, 3
_MOST_OPTION_BYTES = 0xFFFF

_EDGE = struct.Struct("<II")
_SIZE = struct.Struct("<I")
_OPTION = struct.Struct("<HH")
_PACKET_HEAD = struct.Struct("<IIIIIII")


def section(application: str, comment: str) -> bytes:
    """The beginning of a file: who made it, and what there is to know about it."""
    about = struct.pack("<IHHq", _MAGIC, 1, 0, _UNKNOWN_SIZE)
    return _block(_SECTION, about + _option(_COMMENT, comment) + _option(_APPLICATION, application) + _option(0, ""))


def interface(name: str, description: str) -> bytes:
    """An interface of IP datagrams; the first is number 0. Packets are never cut, so it names no limit."""
    about = struct.pack("<HHI", LINKTYPE_RAW, 0, 0)
    return _block(_INTERFACE, about + _option(_NAME, name) + _option(_DESCRIPTION, description) + _option(0, ""))


def packet(number: int, at_us: int, data: bytes, comment: str = "") -> bytes:
    """A packet on an interface, at a time since 1970."""
    size = len(data)
    rest = data + bytes(-size & 3)
    if comment:
        rest += _option(_COMMENT, comment) + _option(0, "")
    total = 32 + len(rest)
    return (
        _PACKET_HEAD.pack(_PACKET, total, number, at_us >> 32 & 0xFFFFFFFF, at_us & 0xFFFFFFFF, size, size)
        + rest
        + _SIZE.pack(total)
    )


def _block(kind: int, content: bytes) -> bytes:
    total = 12 + len(content)
    return _EDGE.pack(kind, total) + content + _SIZE.pack(total)


def _option(code: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")[:_MOST_OPTION_BYTES]
    return _OPTION.pack(code, len(value)) + value + bytes(-len(value) & 3)

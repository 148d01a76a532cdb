"""Captures that other programs wrote, as blocks of pcapng: those of dumpcap and Wireshark as they are, those of tcpdump
(pcap, in either order of octets, in micro- or nanoseconds) made into such."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from interpose.storage.exports import pcapng

MAX_BLOCK_BYTES: Final = 64 << 20
"""Whoever wrote a longer one has another format in mind."""

_ORDERS: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 6),
    b"\xa1\xb2\xc3\xd4": (">", 6),
    b"\x4d\x3c\xb2\xa1": ("<", 9),
    b"\xa1\xb2\x3c\x4d": (">", 9),
}
_PACKETS: Final = frozenset((2, 3, 6))
"""Kinds of blocks with a packet: obsolete, simple, enhanced."""


class Block(NamedTuple):
    """One block, whole. `order` is that of its octets, as `struct` writes it."""

    kind: int
    octets: bytes
    order: str

    @property
    def begins_section(self) -> bool:
        """Whether the file, or another one that was put behind it, begins here."""
        return self.kind == pcapng.SECTION

    @property
    def has_packet(self) -> bool:
        """Whether this is a packet."""
        return self.kind in _PACKETS


def blocks(file: BinaryIO) -> Iterator[Block]:
    """What is in the file, which ends at the last whole block: it may still be written. ValueError, a sentence, when it
    is no capture."""
    magic = file.read(4)
    if magic in _PCAP:
        yield from _of_pcap(file, *_PCAP[magic])
    elif magic == struct.pack("<I", pcapng.SECTION):
        yield from _of_pcapng(file, magic)
    else:
        raise ValueError("it is no capture: neither pcapng nor pcap.")


def _of_pcapng(file: BinaryIO, kind: bytes) -> Iterator[Block]:
    order = "<"
    while len(kind) == 4:
        head = file.read(4)
        about = b""
        if kind == struct.pack("<I", pcapng.SECTION):  # the same in both orders, and says which one follows
            about = file.read(4)
            if len(about) < 4:
                return
            if about not in _ORDERS:
                raise ValueError("it is damaged: a section begins without saying in which order its octets are.")
            order = _ORDERS[about]
        if len(head) < 4:
            return
        (total,) = struct.unpack(order + "I", head)
        if total < 12 + len(about) or total % 4 or total > MAX_BLOCK_BYTES:
            raise ValueError(f"it is damaged: a block says that it has {total} octets.")
        rest = file.read(total - 8 - len(about))
        if len(rest) < total - 8 - len(about):
            return
        yield Block(struct.unpack(order + "I", kind)[0], b"".join((kind, head, about, rest)), order)
        kind = file.read(4)


def _of_pcap(file: BinaryIO, order: str, decimals: int) -> Iterator[Block]:
    head = file.read(20)
    if len(head) < 20:
        raise ValueError("it is damaged: it ends in its first line.")
    *_, most, link = struct.unpack(order + "HHIIII", head)
    yield Block(pcapng.SECTION, pcapng.section("", ""), "<")
    interface = pcapng.interface("", "", link=link & 0xFFFF, most_bytes=most, decimals=decimals)
    yield Block(pcapng.INTERFACE, interface, "<")
    record = struct.Struct(order + "IIII")
    while len(head := file.read(16)) == 16:
        seconds, fraction, kept, whole = record.unpack(head)
        if kept > MAX_BLOCK_BYTES:
            raise ValueError(f"it is damaged: a packet says that it has {kept} octets.")
        data = file.read(kept)
        if len(data) < kept:
            return
        made = pcapng.packet(0, seconds * 10**decimals + fraction, data, whole_bytes=whole)
        yield Block(pcapng.PACKET, made, "<")

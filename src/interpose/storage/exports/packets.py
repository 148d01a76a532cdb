"""Packets: IP datagrams with a TCP segment or a UDP datagram in them, as they would have been on a wire.

They are made, so they are simple: no fragments, no options but those of a handshake, and checksums that are right
(RFC 1071). The one's complement sum of words is the number that the octets stand for, modulo 65535, which Python's
integers give at once.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import Final

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

MOST_DATAGRAM_BYTES: Final = 65507
"""The longest datagram that IPv4 takes."""

_IPV4 = struct.Struct("!BBHHHBBH")
_IPV6 = struct.Struct("!IHBB")
_TCP = struct.Struct("!HHIIBBHHH")
_UDP = struct.Struct("!HHHH")
_TCP_NUMBER, _UDP_NUMBER = 6, 17
_DO_NOT_FRAGMENT = 0x4000
_HOPS = 64
_WINDOW = 0xFFFF
_V4_IN_V6 = bytes(10) + b"\xff\xff"


@lru_cache(4096)
def octets_of(host: str) -> bytes:
    """The 4 or 16 octets of an address; b"" for what is none (a name, the path of a Unix socket)."""
    try:
        return ip_address(host.partition("%")[0]).packed
    except ValueError:
        return b""


def documented(number: int) -> bytes:
    """An address that nobody has (RFC 5737), for an end whose own is not known."""
    return IPv4Address(f"192.0.2.{number}").packed


class Way:
    """One direction between two ends; makes what goes that way. Addresses are octets, of one family or mixed."""

    __slots__ = ("_head", "_is_v6", "_ports", "_sum", "_tail")

    def __init__(self, source: bytes, source_port: int, target: bytes, target_port: int) -> None:
        if len(source) != len(target):
            source, target = _mapped(source), _mapped(target)
        self._is_v6 = len(source) == 16
        self._tail = source + target
        self._ports = (source_port, target_port)
        self._sum = int.from_bytes(self._tail) % 0xFFFF
        self._head = int.from_bytes(_ipv4(0, 0, 0)) + self._sum

    @property
    def segment_bytes(self) -> int:
        """How much goes into one TCP segment: what an Ethernet leaves."""
        return 1440 if self._is_v6 else 1460

    def tcp(self, sequence: int, acknowledged: int, flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
        """A segment. `options` come in fours."""
        offset = (20 + len(options)) << 2
        source, target = self._ports
        known = (source, target, sequence, acknowledged, offset, flags, _WINDOW)
        rest = options + data
        checksum = self._checksum(_TCP.pack(*known, 0, 0) + rest, _TCP_NUMBER)
        return self._packet(_TCP.pack(*known, checksum, 0) + rest, _TCP_NUMBER)

    def udp(self, data: bytes) -> bytes:
        """A datagram of at most MOST_DATAGRAM_BYTES."""
        source, target = self._ports
        size = 8 + len(data)
        checksum = self._checksum(_UDP.pack(source, target, size, 0) + data, _UDP_NUMBER) or 0xFFFF  # 0 says: none
        return self._packet(_UDP.pack(source, target, size, checksum) + data, _UDP_NUMBER)

    def _checksum(self, content: bytes, protocol: int) -> int:
        """That of the content and of the pseudo header before it."""
        octets = content + b"\0" if len(content) & 1 else content
        return -(int.from_bytes(octets) + self._sum + len(content) + protocol) % 0xFFFF

    def _packet(self, content: bytes, protocol: int) -> bytes:
        if self._is_v6:
            return _IPV6.pack(0x60000000, len(content), protocol, _HOPS) + self._tail + content
        size = 20 + len(content)
        # 16 bit words at even places: in the sum they weigh what they are, the protocol's octet as well.
        checksum = -(self._head + size + protocol) % 0xFFFF
        return _ipv4(size, protocol, checksum) + self._tail + content


def _ipv4(size: int, protocol: int, checksum: int) -> bytes:
    return _IPV4.pack(0x45, 0, size, 0, _DO_NOT_FRAGMENT, _HOPS, protocol, checksum)


def _mapped(address: bytes) -> bytes:
    return address if len(address) == 16 else _V4_IN_V6 + address

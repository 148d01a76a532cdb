"""One TCP connection as its segments: a handshake, data in both directions, an end, with numbers that fit together.

Real are the ends and what was said. Sequence numbers, sizes of segments and acknowledgements are made, as if nothing
had been lost: a reader of packets follows the stream, and has nothing to complain about.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from interpose.storage.exports.packets import ACK, FIN, PSH, RST, SYN, Way

_OPTIONS = "!BBHBBBB"
_MSS, _SCALE, _NOTHING = 2, 3, 1
_SHIFT: Final = 8
"""With it a window of 16 MiB is said, which nothing that is written here fills."""

ACKNOWLEDGE_EVERY_BYTES: Final = 65536
_SEQUENCE = 0xFFFFFFFF
_GOLDEN = 2654435761


class TcpStream:
    """See the module. `number` makes its first sequence numbers; `used_us` is when somebody last used it."""

    __slots__ = ("_acknowledged", "_has_ended", "_is_opening", "_next", "_ways", "is_open", "used_us")

    def __init__(self, inbound: Way, outbound: Way, number: int) -> None:
        self._ways = (outbound, inbound)
        first = number * _GOLDEN & _SEQUENCE
        self._next = [first ^ 0x5BD1E995, first]
        self._acknowledged = [0, 0]
        self._is_opening = False
        self._has_ended = [False, False]
        self.is_open = False
        self.used_us = 0

    def ask(self) -> Iterator[bytes]:
        """The first segment of a handshake; nothing when it was sent before."""
        if not self._is_opening:
            self._is_opening = True
            way = self._ways[True]
            yield way.tcp(self._next[True], 0, SYN, options=_options(way))
            self._next[True] = self._next[True] + 1 & _SEQUENCE

    def open(self) -> Iterator[bytes]:
        """What is left of the handshake."""
        if not self.is_open:
            yield from self.ask()
            self.is_open = True
            way = self._ways[False]
            yield way.tcp(self._next[False], self._next[True], SYN | ACK, options=_options(way))
            self._next[False] = self._next[False] + 1 & _SEQUENCE
            self._acknowledged[True] = self._next[True]
            yield self._segment(True, ACK)

    def say(self, inbound: bool, data: bytes) -> Iterator[bytes]:
        """Segments with `data`. What is much is acknowledged now and then."""
        yield from self.open()
        size = self._ways[inbound].segment_bytes
        last = len(data) - size
        for place in range(0, len(data), size):
            piece = data[place : place + size]
            yield self._segment(inbound, PSH | ACK if place >= last else ACK, piece)
            if self._next[inbound] - self._acknowledged[inbound] & _SEQUENCE >= ACKNOWLEDGE_EVERY_BYTES:
                yield self._segment(not inbound, ACK)

    def end(self, inbound: bool) -> Iterator[bytes]:
        """Both sides end, that which speaks `inbound` (the client) or not (the server) first."""
        yield from self.open()
        ending = [side for side in (inbound, not inbound) if not self._has_ended[side]]
        for side in ending:
            yield self._fin(side)
        if ending:
            yield self._segment(not ending[-1], ACK)

    def fin(self, inbound: bool) -> Iterator[bytes]:
        """One side ends, and the other acknowledges that."""
        yield from self.open()
        if not self._has_ended[inbound]:
            yield self._fin(inbound)
            yield self._segment(not inbound, ACK)

    @property
    def is_over(self) -> bool:
        """Whether both sides have ended."""
        return all(self._has_ended)

    def reset(self, inbound: bool) -> Iterator[bytes]:
        """One side breaks off, or refuses the connection that was asked for."""
        if self.is_open:
            yield self._segment(inbound, RST | ACK)
        else:
            yield from self.ask()
            yield self._ways[False].tcp(0, self._next[True], RST | ACK)

    def _fin(self, side: bool) -> bytes:
        segment = self._segment(side, FIN | ACK)
        self._has_ended[side] = True
        self._next[side] = self._next[side] + 1 & _SEQUENCE
        return segment

    def _segment(self, inbound: bool, flags: int, data: bytes = b"") -> bytes:
        sequence, acknowledged = self._next[inbound], self._next[not inbound]
        self._next[inbound] = sequence + len(data) & _SEQUENCE
        self._acknowledged[not inbound] = acknowledged
        return self._ways[inbound].tcp(sequence, acknowledged, flags, data)


def _options(way: Way) -> bytes:
    return struct.pack(_OPTIONS, _MSS, 4, way.segment_bytes, _NOTHING, _SCALE, 3, _SHIFT)

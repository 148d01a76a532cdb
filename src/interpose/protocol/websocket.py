"""WebSocket messages out of the octets of one direction (RFC 6455).

Frames are unmasked and put together to messages; control frames are messages of their own, also between the frames of
another one. Messages that were compressed (RFC 7692) are inflated. All of it is bounded: a message is kept up to a
limit and counted to its end. What is no WebSocket any more raises ValueError; the octets have passed all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

KINDS = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_CONTINUATION = 0
_TAIL = b"\x00\x00\xff\xff"


class Message(NamedTuple):
    """One message. `size` is that of all of it, as it was sent; `data` may have been cut at the limit."""

    kind: str
    data: bytes
    size: int
    is_compressed: bool = False


class Messages:
    """The messages of one direction, of which at most `most` octets each are kept."""

    __slots__ = ("_buffer", "_frame", "_inflater", "_is_compressed", "_kept", "_kind", "_most", "_size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = b""
        self._frame: _Frame | None = None
        self._inflater: zlib._Decompress | None = None
        self._kind = ""
        self._is_compressed = False
        self._kept = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that end in `data`."""
        waiting = self._buffer + data if self._buffer else data
        self._buffer = b""
        place = 0  # and no slice of the rest: there may be as many frames in it as it has octets
        while place < len(waiting):
            if self._frame is None:
                head = _read_head(waiting, place)
                if head is None:
                    self._buffer = waiting[place:]
                    return
                self._frame, place = head
                self._begin(self._frame)
            frame = self._frame
            payload = waiting[place : place + frame.left]
            place += len(payload)
            self._take(frame, payload)
            if frame.left:
                continue
            self._frame = None
            message = self._ended(frame)
            if message is not None:
                yield message

    def _begin(self, frame: _Frame) -> None:
        if frame.opcode >= 8:
            if frame.left > 125 or not frame.is_last:
                raise ValueError("a control frame is too long, or in pieces")
        elif frame.opcode == _CONTINUATION:
            if not self._kind:
                raise ValueError("a message goes on that has not begun")
        else:
            if self._kind:
                raise ValueError("a message begins inside another one")
            self._kind = KINDS[frame.opcode]
            self._is_compressed = frame.is_compressed

    def _take(self, frame: _Frame, payload: bytes) -> None:
        plain = _unmasked(payload, frame)
        frame.left -= len(payload)
        if frame.opcode >= 8:
            frame.control += plain
            return
        self._size += len(payload)
        room = self._most - len(self._kept)
        if room > 0:
            self._kept += plain[:room]

    def _ended(self, frame: _Frame) -> Message | None:
        if frame.opcode >= 8:
            return Message(KINDS[frame.opcode], bytes(frame.control), len(frame.control))
        if not frame.is_last:
            return None
        kind, data, size = self._kind, bytes(self._kept), self._size
        self._kind, self._size = "", 0
        self._kept.clear()
        if self._is_compressed:
            data = self._inflated(data, size)
        return Message(kind, data, size, self._is_compressed)

    def _inflated(self, data: bytes, size: int) -> bytes:
        """What a compressed message says. Later ones may refer to earlier ones: one that was cut ends it all."""
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-15)
        if size > len(data):
            raise ValueError("a compressed message is longer than what is kept of one")
        try:
            plain = self._inflater.decompress(data + _TAIL, self._most)
            if self._inflater.eof:  # its last block says that it is the last (7.2.3.4); what follows begins anew
                self._inflater = None
        except zlib.error:
            raise ValueError("a compressed message cannot be inflated") from None
        if self._inflater is not None and self._inflater.unconsumed_tail:
            raise ValueError("a compressed message is longer than what is kept of one")
        return plain


class _Frame:
    """A frame of which `left` octets are still to come."""

    __slots__ = ("control", "is_compressed", "is_last", "left", "mask", "opcode", "taken")

    def __init__(self, opcode: int, is_last: bool, is_compressed: bool, left: int, mask: bytes) -> None:
        self.opcode = opcode
        self.is_last = is_last
        self.is_compressed = is_compressed
        self.left = left
        self.mask = mask
        self.taken = 0
        self.control = bytearray()


def _read_head(data: bytes, place: int) -> tuple[_Frame, int] | None:
    """The frame that begins at `place`, and where its content does; None when its head is not all there (RFC 6455,
    5.2)."""
    if len(data) < place + 2:
        return None
    first, second = data[place], data[place + 1]
    opcode = first & 0x0F
    if first & 0x30 or (opcode not in KINDS and opcode != _CONTINUATION):
        raise ValueError("a frame of a kind that is not known")
    length, used = second & 0x7F, place + 2
    for marker, octets in ((126, 2), (127, 8)):
        if length == marker:
            length, used = int.from_bytes(data[used : used + octets], "big"), used + octets
            break
    is_masked = bool(second & 0x80)
    whole = used + 4 * is_masked
    if len(data) < whole:
        return None
    if length >> 63:
        raise ValueError("a frame of an impossible length")
    mask = data[used:whole] if is_masked else b""
    return _Frame(opcode, bool(first & 0x80), bool(first & 0x40), length, mask), whole


def _unmasked(payload: bytes, frame: _Frame) -> bytes:
    """The octets of a piece of a frame, without its mask (5.3)."""
    mask = frame.mask
    if not mask or not payload:
        return payload
    turn = frame.taken % 4
    frame.taken += len(payload)
    key = mask[turn:] + mask[:turn]
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return plain.to_bytes(len(payload), "big")

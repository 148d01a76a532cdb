"""WebSocket messages for scenes: just enough of RFC 6455 to talk, written without any library.

`client_frame` masks, as clients must; `frames` takes whole frames off the front of received bytes.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Frame(NamedTuple):
    """One frame, its masking undone."""

    opcode: int
    payload: bytes
    is_masked: bool


def accept_for(key: str) -> str:
    """The `Sec-WebSocket-Accept` that answers `key` (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def handshake(target: str, host: str) -> bytes:
    """A client's opening request."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def acceptance(key: str) -> bytes:
    """A server's answer to a handshake with `key`."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_for(key)}\r\n\r\n"
    ).encode()


def server_frame(opcode: int, payload: bytes) -> bytes:
    """A frame as servers send it."""
    return _head(opcode, len(payload), 0) + payload


def client_frame(opcode: int, payload: bytes, mask: bytes = b"\x12\x34\x56\x78") -> bytes:
    """A frame as clients send it."""
    return _head(opcode, len(payload), 0x80) + mask + _masked(payload, mask)


def frames(received: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the front of `received`, and what is left of it."""
    found = []
    while len(received) >= 2:
        length, place = received[1] & 0x7F, 2
        if length > 125:
            size = 2 if length == 126 else 8
            if len(received) < 2 + size:
                break
            length, place = int.from_bytes(received[2 : 2 + size], "big"), 2 + size
        mask = received[place : place + 4] if received[1] & 0x80 else b""
        place += len(mask)
        if (received[1] & 0x80 and len(mask) < 4) or len(received) < place + length:
            break
        payload = received[place : place + length]
        found.append(Frame(received[0] & 0x0F, _masked(payload, mask) if mask else payload, bool(mask)))
        received = received[place + length :]
    return found, received


def _head(opcode: int, length: int, masked: int) -> bytes:
    first = bytes([0x80 | opcode])
    if length < 126:
        return first + bytes([masked | length])
    if length < 1 << 16:
        return first + bytes([masked | 126]) + struct.pack("!H", length)
    return first + bytes([masked | 127]) + struct.pack("!Q", length)


def _masked(payload: bytes, mask: bytes) -> bytes:
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")

"""A client of the framed form that owes nothing to the product's encoder: octets put together by hand."""

from __future__ import annotations

import hashlib
import socket
import struct
from typing import NamedTuple

DEADLINE_S = 30.0
OPENING = b"\x89SPOOL\r\n\x01"
THEIR_OPENING = b"\x89spool\r\n\x01"
RESUME, STORED, ANSWER, REFUSED = 2, 3, 4, 5


class Said(NamedTuple):
    """A message of the server."""

    kind: int
    payload: bytes


def offer(id_: bytes, data: bytes, name: str = "", *, sha256: bytes | None = None, size: int | None = None) -> bytes:
    digest = hashlib.sha256(data).digest() if sha256 is None else sha256
    named = name.encode()
    payload = struct.pack(">10sQ32sH", id_, len(data) if size is None else size, digest, len(named)) + named
    return OPENING + b"\x01" + struct.pack(">I", len(payload)) + payload


class RawSpoolClient:
    """One connection; `with RawSpoolClient(port) as client`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._received = b""
        self._has_opened = False

    def __enter__(self) -> RawSpoolClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError(f"ended with {self._received!r}")
            self._received += data
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def hear(self) -> Said:
        """The next message."""
        if not self._has_opened:
            assert self._take(len(THEIR_OPENING)) == THEIR_OPENING
            self._has_opened = True
        kind, length = struct.unpack(">BI", self._take(5))
        return Said(kind, self._take(length))

    def ends(self) -> None:
        """The server has nothing more to say."""
        assert self._received == b""
        assert self._socket.recv(1) == b""

    def reset(self) -> None:
        """Break off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send(self, id_: bytes, data: bytes, name: str = "") -> tuple[int, bytes]:
        """Send a whole file; from where the server wanted it (-1: it had it already), and its answer."""
        self.say(offer(id_, data, name))
        said, wanted = self.hear(), -1
        if said.kind == RESUME:
            [wanted] = struct.unpack(">Q", said.payload)
            self.say(data[wanted:])
            said = self.hear()
        assert said == (STORED, struct.pack(">Q", len(data)) + hashlib.sha256(data).digest()), said
        said = self.hear()
        assert said.kind == ANSWER, said
        return wanted, said.payload

"""A Record: an exchange, or a conversation below HTTP, as the journal keeps it.

It travels as MessagePack from the worker that saw it to whoever writes the journal, which is why it is plain values.
Times are seconds since `started`; 0.0 where something did not happen. Field sections are the lines as they were on the
wire, each with its CRLF, hop-by-hop lines excepted. Content is kept up to a cap, as it was sent (compressed content
stays compressed); its `size` counts all of it, so `size > len(content)` says that it was cut.

There are many of them for a moment, and none ever refers to itself: the garbage collector need not look (`gc=False`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

End = tuple[str, int]
"""One end of a connection: address and port, as `core.stream.Address`."""

NOWHERE: End = ("", 0)


class Kind(enum.StrEnum):
    """What a record is of."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    TUNNEL = "tunnel"
    TCP = "tcp"
    UDP = "udp"


class Part(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The fields and the content of a request or a response. `ended_s` is when its last octet had come."""

    fields: bytes = b""
    content: bytes = b""
    size: int = 0
    ended_s: float = 0.0


class Passage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message of a conversation: a piece of a TCP stream, a datagram, a WebSocket message.

    `kind` is empty, or for a WebSocket `text`, `binary`, `ping`, `pong`, `close`; `end` says that this side ended.
    """

    at_s: float
    inbound: bool
    data: bytes
    size: int
    kind: str = ""


class Try(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What went upstream once (`core.exchange.Attempt`): to whom, when, and the head of the request as it was sent."""

    origin: str
    started_s: float = 0.0
    connected_s: float = 0.0
    first_byte_s: float = 0.0
    local: End = NOWHERE
    peer: End = NOWHERE
    reused: bool = False
    tls: str = ""
    head: bytes = b""
    """The request line and the end-to-end field lines; empty where no request was sent."""
    status: int = 0
    failure: str = ""


class Record(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """See the module. `exchange` is unique in one run of an instance; the journal gives a number of its own."""

    kind: Kind = Kind.HTTP
    exchange: str
    parent: str = ""
    """The exchange whose tunnel carried this one."""
    started: float
    """Wall clock, seconds since 1970."""
    duration_s: float = 0.0
    listener: str = ""
    route: str = ""
    client: End = NOWHERE
    local: End = NOWHERE
    """Where the client connected to: an address of ours."""
    user: str = ""
    tls: str = ""
    """The version of TLS with the client, empty without."""
    version: int = 1
    scheme: str = ""
    method: str = ""
    """Empty for a conversation below HTTP."""
    host: str = ""
    port: int = 0
    target: str = ""
    """The whole target as a URL; `host:port` of a tunnel or a conversation."""
    request: Part = Part()
    status: int = 0
    """What the client was sent; 0 when it left before any answer, and for a conversation."""
    reason: str = ""
    response_s: float = 0.0
    """When the head of the response came."""
    response: Part = Part()
    failure: str = ""
    """The kind of the failure (`core.failure`), empty when all went well."""
    side: str = ""
    detail: str = ""
    notes: dict[str, str] = {}
    attempts: list[Try] = []
    messages: list[Passage] = []
    messages_total: int = 0
    """How many there were; fewer may have been kept."""
    held: str = ""
    """The hold that stopped it, if one did."""
    replay_of: int = 0
    """The journal's number of the record that this one repeats."""


def field_pairs(section: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each line of a field section of ours (it was checked when it was read from the wire)."""
    for line in section.split(b"\r\n"):
        name, colon, value = line.partition(b": ")
        if colon:
            yield name, value


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Record])


def encode_records(records: list[Record]) -> bytes:
    """A batch, for the link."""
    return _ENCODER.encode(records)


def decode_records(data: bytes) -> list[Record]:
    """What `encode_records` made. ValueError (msgspec's is one) for anything else."""
    return _DECODER.decode(data)

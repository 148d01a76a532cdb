"""The first message of TLS: whom the client wants, and in which protocols (RFC 8446, 4.1.2; RFC 6066; RFC 7301).

Only looked at, never consumed: the TLS engine gets the same bytes. The grammar is checked strictly because a decision
hangs on it, and what the engine might read differently must not be read at all. Work and memory are bounded:
MAX_BYTES in MAX_RECORDS records at most, so that reading again after each byte that arrives costs little.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from interpose.core.failure import Failure, Side

MAX_BYTES = 32768
MAX_RECORDS = 16
MAX_RECORD_BYTES = 16384

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_PROTOCOLS = 16
_HOST_NAME = 0

_NAME = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,252}[A-Za-z0-9_])?")


class ClientHello(NamedTuple):
    """What a client says before anything is encrypted; `server_name` in lower case, `protocols` in its order."""

    server_name: str | None
    protocols: tuple[str, ...]


def read_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello that `data` begins with, None while more bytes are needed; else `Failure` tls_protocol_error."""
    message = _message(data)
    if message is None:
        if len(data) >= MAX_BYTES:
            raise _malformed(f"its ClientHello is longer than {MAX_BYTES} bytes")
        return None
    # Each of these steps over what it has looked at. Plain arithmetic, because it is done for every handshake.
    session_id = _after(message, 2 + 32, 1)  # legacy_version, random
    if session_id > 2 + 32 + 1 + 32:
        raise _malformed("its session id is longer than 32 bytes")
    suites = _after(message, session_id, 2)
    if suites == session_id + 2 or (suites - session_id) % 2:
        raise _malformed("its list of cipher suites is empty or cut off")
    methods = _after(message, suites, 1)
    if methods == suites + 1:
        raise _malformed("it offers no compression method")
    if methods == len(message):
        return ClientHello(None, ())
    if _after(message, methods, 2) != len(message):
        raise _malformed("its ClientHello has bytes left over")
    server_name, protocols = _extensions(message, methods + 2)
    return ClientHello(_server_name(server_name), _protocols(protocols))


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records; None while it is incomplete."""
    if data and data[0] != _HANDSHAKE:
        raise Failure("tls_protocol_error", Side.DOWNSTREAM, "The client does not speak TLS on a port that does.")
    parts = []
    place = held = claimed = 0
    for _ in range(MAX_RECORDS):
        head = data[place : place + 5]
        if len(head) > 1 and head[1] != 3:
            raise _malformed("its first record has no version of TLS")
        if head and head[0] != _HANDSHAKE:
            raise _malformed("something else is mixed into its ClientHello")
        if len(head) < 5:
            return None
        length = int.from_bytes(head[3:5], "big")
        if not 0 < length <= MAX_RECORD_BYTES:
            raise _malformed(f"its first record claims {length} bytes")
        part = data[place + 5 : place + 5 + length]
        parts.append(part)
        held += len(part)
        claimed += length
        place += 5 + length
        if held >= 4:
            message = parts[0] if len(parts) == 1 else b"".join(parts)
            if message[0] != _CLIENT_HELLO:
                raise _malformed("its first message is not a ClientHello")
            end = 4 + int.from_bytes(message[1:4], "big")
            if end > MAX_BYTES:
                raise _malformed(f"its ClientHello claims {end} bytes, the limit is {MAX_BYTES}")
            if claimed > end:
                raise _malformed("more stands in the record of its ClientHello")
            if held == end:
                return message[4:]
        if len(part) < length:
            return None
    raise _malformed(f"its ClientHello comes in more than {MAX_RECORDS} records")


def _after(message: bytes, place: int, size: int) -> int:
    """Where the vector ends whose length stands at `place`, in `size` bytes."""
    start = place + size
    end = start + int.from_bytes(message[place:start], "big")
    if end > len(message) or start > len(message):
        raise _malformed("its ClientHello is cut off inside")
    return end


def _extensions(message: bytes, place: int) -> tuple[bytes | None, bytes | None]:
    """The extensions that are of interest, server name and protocols; all that stand from `place` to the end are
    looked at."""
    server_name = protocols = None
    seen = set()
    end = len(message)
    while place < end:
        start = place + 4
        if start > end:
            raise _malformed("its ClientHello is cut off inside")
        kind = message[place] << 8 | message[place + 1]
        place = start + (message[place + 2] << 8 | message[place + 3])
        if place > end:
            raise _malformed("its ClientHello is cut off inside")
        if kind in seen:
            raise _malformed("an extension of its ClientHello comes twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            server_name = message[start:place]
        elif kind == _PROTOCOLS:
            protocols = message[start:place]
    return server_name, protocols


def _server_name(content: bytes | None) -> str | None:
    """The one name in a list of names (RFC 6066, 3)."""
    if content is None:
        return None
    if _after(content, 0, 2) != len(content) or _after(content, 3, 2) != len(content):
        raise _malformed("its ClientHello has bytes left over")
    name = content[5:]
    if content[2] != _HOST_NAME or _NAME.fullmatch(name) is None:
        raise _malformed("the server name in its ClientHello is not a host name")
    return name.decode("ascii").lower()


def _protocols(content: bytes | None) -> tuple[str, ...]:
    """The names in a list of protocols (RFC 7301, 3.1)."""
    if content is None:
        return ()
    if _after(content, 0, 2) != len(content):
        raise _malformed("its ClientHello has bytes left over")
    names = []
    place = 2
    while place < len(content):
        end = _after(content, place, 1)
        names.append(content[place + 1 : end].decode("latin-1"))
        place = end
    if not names:
        raise _malformed("its list of protocols is empty")
    if "" in names:
        raise _malformed("its list of protocols has an empty name")
    return tuple(names)


def _malformed(what: str) -> Failure:
    return Failure("tls_protocol_error", Side.DOWNSTREAM, f"The client does not speak TLS as it should: {what}.")

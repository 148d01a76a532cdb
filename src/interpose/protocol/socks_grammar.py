"""The parts that messages of SOCKS are made of: versions, commands, replies, hosts, ports and counted texts."""

from __future__ import annotations

import enum
import ipaddress

from interpose.core.failure import Failure, Side
from interpose.core.target import Authority
from interpose.protocol.target import parse_authority

VERSION_4, VERSION_5, LOGIN_VERSION = 4, 5, 1
NO_LOGIN, USERS, NO_METHOD = 0x00, 0x02, 0xFF
GRANTED_4, REJECTED_4 = 90, 91
MAX_TEXT_BYTES = 255
"""The longest host, and the longest name or password of a user, in every version."""

_IPV4, _NAME, _IPV6 = 1, 3, 4
_NOWHERE = Authority("")


class Command(enum.IntEnum):
    """What a client may ask for."""

    CONNECT = 1
    BIND = 2
    ASSOCIATE = 3


class Reply(enum.IntEnum):
    """What a server answers in version 5; version 4 only knows yes and no."""

    SUCCEEDED = 0
    FAILED = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    TIMED_OUT = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_NOT_SUPPORTED = 8


class Unreadable(Failure):
    """What came is no message of SOCKS that can be served; `reply` is what the client should hear of it."""

    __slots__ = ("reply",)

    def __init__(self, detail: str, reply: Reply = Reply.FAILED, status: int = 400) -> None:
        super().__init__("http_request_error", Side.DOWNSTREAM, detail, status=status)
        self.reply = reply


def read_place(data: bytes, start: int) -> tuple[str | bytes, int, int] | None:
    """An address (as text, or a name as it came), its port, and where they end; None while they are incomplete."""
    if len(data) <= start:
        return None
    begin = start + 1
    kind = data[start]
    host: str | bytes = b""
    if kind == _IPV4:
        end = begin + 4
    elif kind == _IPV6:
        end = begin + 16
    elif kind == _NAME:
        found = counted(data, begin)
        if found is None:
            return None
        host, end = found
    else:
        raise Unreadable(f"There is no SOCKS address of type {kind}.", Reply.ADDRESS_NOT_SUPPORTED)
    if len(data) < end + 2:
        return None
    if kind != _NAME:
        host = str(ipaddress.ip_address(data[begin:end]))
    return host, int.from_bytes(data[end : end + 2], "big"), end + 2


def read_host(host: str | bytes) -> str:
    """A host from the wire in the spelling that is judged and dialled: the one that requests of HTTP have."""
    if isinstance(host, str):
        return host
    try:
        # An IPv6 address may come as text, without brackets; a port has its own place.
        authority = parse_authority(b"[%b]" % host if b":" in host else host)
    except Failure:
        authority = _NOWHERE
    if not authority.host:
        raise Unreadable("The host of a SOCKS request is neither a name nor an address.")
    return authority.host


def counted(data: bytes, start: int) -> tuple[bytes, int] | None:
    """Bytes with their count before them, and where they end; None while they are incomplete."""
    if len(data) <= start:
        return None
    end = start + 1 + data[start]
    return (data[start + 1 : end], end) if len(data) >= end else None


def terminated(data: bytes, start: int, what: str) -> tuple[bytes, int] | None:
    """Bytes with a NUL behind them, and where what follows begins; None while they are incomplete."""
    end = data.find(b"\0", start, start + MAX_TEXT_BYTES + 1)
    if end >= 0:
        return data[start:end], end + 1
    if len(data) > start + MAX_TEXT_BYTES:
        raise Unreadable(f"The {what} of a SOCKS 4 request is longer than {MAX_TEXT_BYTES} bytes.")
    return None


def is_version(data: bytes, wanted: int) -> bool:
    """Whether a message of `wanted` begins here; False while nothing has come."""
    if data and data[0] != wanted:
        raise Unreadable(f"A message of SOCKS begins with {data[0]} instead of {wanted}.")
    return bool(data)


def demand_port(port: int) -> None:
    """Refuse port 0."""
    if not port:
        raise Unreadable("A SOCKS request asks for port 0, which leads nowhere.")


def write_place(host: str, port: int) -> bytes:
    """An address and its port. ValueError for a name that is longer than 255 bytes or not ASCII."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes((_NAME,)) + with_count(write_name(host), "host") + port.to_bytes(2, "big")
    return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed + port.to_bytes(2, "big")


def write_name(host: str) -> bytes:
    """A name. ValueError when it is not ASCII."""
    if not host.isascii() or not host or "\0" in host:
        raise ValueError(f"'{host}' is not a host name in ASCII; write an international name in its xn-- form.")
    return host.encode("ascii")


def with_count(text: bytes, what: str) -> bytes:
    """Bytes with their count before them. ValueError when there are more than 255."""
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"The {what} is longer than {MAX_TEXT_BYTES} bytes, the most that SOCKS can say.")
    return bytes((len(text),)) + text

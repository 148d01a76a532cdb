"""The PROXY protocol, versions 1 and 2: what a relay says of the client before the client's own first byte.

A PROXY line is one line of text (version 1) or, called so all the same, a binary block (version 2). What follows it
belongs to the client. It is read strictly and whole, since a decision hangs on it: who the client is. Both readers are
bounded: no more than MAX_BYTES are looked at, and a beginning that can become none is refused as early as that can be
told.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NamedTuple

from interpose.core.failure import Failure, Side
from interpose.core.stream import UNKNOWN, Address
from interpose.protocol.number import decimal

MAX_LINE_BYTES = 107
MAX_BYTES = 4096
"""The largest block of version 2 that is read, extensions (TLVs) included. The format would allow 64 KiB."""

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_WORD = b"PROXY "

_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?\r\n")

_FIXED_BYTES = 16
_UNIX_PATH_BYTES = 108
# Address family -> bytes of both addresses, ports included.
_IPV4, _IPV6, _UNIX = 1, 2, 3
_ADDRESS_BYTES = {_IPV4: 12, _IPV6: 36, _UNIX: 2 * _UNIX_PATH_BYTES}
_STREAM = 1

Version = Literal["v1", "v2"]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProxyLine(NamedTuple):
    """A PROXY line: both ends of the connection it speaks of, and its own size.

    Both are None when it says nothing of them (LOCAL, UNKNOWN): then the connection's own addresses hold.
    """

    peer: Address | None
    local: Address | None
    size: int


def read_proxy_line(data: bytes) -> ProxyLine | None:
    """The PROXY line that `data` begins with, None while more bytes are needed; `Failure` when it can become none."""
    if data[: len(_WORD)] == _WORD[: len(data)]:
        return _read_line(data)
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_block(data)
    raise _malformed("it begins with something else")


def _malformed(why: str) -> Failure:
    return Failure("http_request_error", Side.DOWNSTREAM, f"No PROXY line came that can be read: {why}.")


# --- version 1 ------------------------------------------------------------------------------------------------------


def _read_line(data: bytes) -> ProxyLine | None:
    end = data.find(b"\r\n", 0, MAX_LINE_BYTES)
    if end < 0:
        if len(data) >= MAX_LINE_BYTES:
            raise _malformed(f"its line is longer than {MAX_LINE_BYTES} bytes")
        return None
    line = data[: end + 2]
    if _UNKNOWN.fullmatch(line) is not None:
        return ProxyLine(None, None, len(line))
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed("its line is not of the form 'PROXY TCP4 address address port port'")
    family, source, destination, source_port, destination_port = match.groups()
    return ProxyLine(_address(family, source, source_port), _address(family, destination, destination_port), len(line))


def _address(family: bytes, host: bytes, port: bytes) -> Address:
    text = host.decode("ascii")
    number = decimal(port)
    if number is None or number > 65535 or (port.startswith(b"0") and len(port) > 1):
        raise _malformed(f"{port.decode('ascii')} is not a port")
    try:
        address = ipaddress.IPv4Address(text) if family == b"TCP4" else ipaddress.IPv6Address(text)
    except ValueError:
        raise _malformed(f"{text} is not an address of {family.decode('ascii')}") from None
    return _known(address, number)


# --- version 2 ------------------------------------------------------------------------------------------------------


def _read_block(data: bytes) -> ProxyLine | None:
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise _malformed(f"0x{data[12]:02x} is no version and command")
    if len(data) < _FIXED_BYTES:
        return None
    is_local = data[12] == 0x20
    family, transport = data[13] >> 4, data[13] & 0x0F
    length = int.from_bytes(data[14:16], "big")
    size = _FIXED_BYTES + length
    if size > MAX_BYTES:
        raise _malformed(f"it says to be {size} bytes long; at most {MAX_BYTES} are read")
    if not is_local:  # else family and addresses are to be ignored, whatever they are
        if family > _UNIX or transport > 2:
            raise _malformed(f"0x{data[13]:02x} is no family and transport")
        if length < _ADDRESS_BYTES.get(family, 0):
            raise _malformed(f"it is too short for its addresses: {length} bytes")
    if len(data) < size:
        return None
    if is_local or not family or not transport:
        return ProxyLine(None, None, size)
    return _addresses(family, data[_FIXED_BYTES:size], size)


def _addresses(family: int, block: bytes, size: int) -> ProxyLine:
    if family == _UNIX:
        return ProxyLine(_path(block[:_UNIX_PATH_BYTES]), _path(block[_UNIX_PATH_BYTES : 2 * _UNIX_PATH_BYTES]), size)
    width = 4 if family == _IPV4 else 16
    hosts = [block[:width], block[width : 2 * width]]
    ports = [block[2 * width : 2 * width + 2], block[2 * width + 2 : 2 * width + 4]]
    peer, local = (
        _known(
            ipaddress.IPv4Address(host) if family == _IPV4 else ipaddress.IPv6Address(host),
            int.from_bytes(port, "big"),
        )
        for host, port in zip(hosts, ports, strict=True)
    )
    return ProxyLine(peer, local, size)


def _path(field: bytes) -> Address:
    """The path of a Unix socket, "" for one without a name; what is not printable in it is spelled."""
    text = field.partition(b"\0")[0].decode("utf-8", "backslashreplace")
    return Address(text if text.isprintable() else ascii(text)[1:-1], 0)


def _known(address: IPAddress, port: int) -> Address:
    """An end of a connection. Port 0 belongs to none, and would read as a Unix socket's here."""
    if port == 0:
        raise _malformed("0 is not a port of a connection")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Address(str(address), port)


# --- writing --------------------------------------------------------------------------------------------------------


def proxy_line(version: Version, peer: Address, local: Address) -> bytes:
    """The PROXY line that tells of a connection from `peer` to `local`.

    What cannot be told (an end nobody knows, in version 1 a Unix socket) becomes UNKNOWN, or a block without a family.
    """
    ends = [end for end in (_ip(peer), _ip(local)) if end is not None]
    if len(ends) == 2:
        if ends[0].version != ends[1].version:
            ends = [_wide(end) for end in ends]
        if version == "v1":
            family = ends[0].version
            return f"PROXY TCP{family} {ends[0]} {ends[1]} {peer.port} {local.port}\r\n".encode("ascii")
        ports = peer.port.to_bytes(2, "big") + local.port.to_bytes(2, "big")
        return _block(_IPV4 if ends[0].version == 4 else _IPV6, ends[0].packed + ends[1].packed + ports)
    if version == "v1":
        return b"PROXY UNKNOWN\r\n"
    if peer.port or local.port or UNKNOWN in (peer, local):
        return _block(0, b"")
    return _block(_UNIX, _padded(peer.host) + _padded(local.host))


def _block(family: int, addresses: bytes) -> bytes:
    code = family << 4 | _STREAM if family else 0
    return SIGNATURE + bytes([0x21, code]) + len(addresses).to_bytes(2, "big") + addresses


def _ip(address: Address) -> IPAddress | None:
    try:
        return ipaddress.ip_address(address.host.partition("%")[0]) if address.port else None
    except ValueError:
        return None


def _wide(address: IPAddress) -> IPAddress:
    return address if address.version == 6 else ipaddress.IPv6Address(f"::ffff:{address}")


def _padded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")[:_UNIX_PATH_BYTES].ljust(_UNIX_PATH_BYTES, b"\0")

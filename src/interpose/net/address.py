"""Addresses as people write them: `host:port`, `:port`, `[v6]:port`, `unix:path`."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
MAX_UNIX_PATH_BYTES = 107

_PORT = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,252}[A-Za-z0-9_.])?")
# What some resolvers take for an IPv4 address: the last label is a number, decimal, octal or hexadecimal.
_LOOKS_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class SocketAddress(NamedTuple):
    """Where to listen or to connect: host and port, or the path of a Unix socket (then host is "" and port 0)."""

    host: str
    port: int
    path: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket."""
        return bool(self.path)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        address = ip_address(self.host)
        return address is not None and address.is_loopback

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> SocketAddress:
    """The address that `text` means, on loopback when it names no host; else `ValueError` with one sentence."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"'{text}' has no port; write host:port, :port, [v6]:port or unix:path.")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host or not _is_ip(host):
            raise ValueError(f"'{host}' in '{text}' is not an IPv6 address.")
    elif "://" in host:
        raise ValueError(f"'{text}' is a URL; write only its host and port, as host:port.")
    elif ":" in host:
        raise ValueError(f"'{text}' is ambiguous; write an IPv6 address in brackets: [{host.strip('[]')}]:{port}.")
    elif host == "*":
        raise ValueError(f"'{text}' has no host; write 0.0.0.0:{port} for every IPv4 address or [::]:{port} for IPv6.")
    elif host and not _HOST.fullmatch(host):
        raise ValueError(f"'{host}' in '{text}' is not a host name or an address.")
    elif host and _LOOKS_NUMERIC.fullmatch(host) and not _is_ip(host):
        raise ValueError(f"'{host}' in '{text}' is not an IPv4 address; write four numbers from 0 to 255.")
    return SocketAddress(host.lower() or LOOPBACK, _port(port, text))


def ip_address(host: str) -> IPAddress | None:
    """The IP address that `host` spells in canonical form, else None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def looks_numeric(host: str) -> bool:
    """Whether some program would take `host` for an IPv4 address (`127.1`, `0x7f000001`, `2130706433`)."""
    return _LOOKS_NUMERIC.fullmatch(host) is not None


def is_name(host: str) -> bool:
    """Whether `host` can be a name to look up."""
    return _HOST.fullmatch(host) is not None and ".." not in host and not looks_numeric(host)


def _is_ip(host: str) -> bool:
    return ip_address(host) is not None


def _port(digits: str, text: str) -> int:
    port = int(digits) if _PORT.fullmatch(digits) else -1
    if not 0 <= port <= 65535:
        raise ValueError(f"'{digits}' in '{text}' is not a port; write a number from 0 (any free port) to 65535.")
    return port


def _unix(path: str) -> SocketAddress:
    if not path or "\0" in path:
        raise ValueError("'unix:' needs the path of a socket after it.")
    if len(path.encode()) > MAX_UNIX_PATH_BYTES:
        raise ValueError(f"The path of the Unix socket '{path}' is longer than {MAX_UNIX_PATH_BYTES} bytes.")
    return SocketAddress("", 0, path)

"""SOCKS 4, 4a and 5 as a server reads and speaks it: what is said before the bytes of a tunnel (RFC 1928, RFC 1929).

    version 5   the client offers methods, the server chooses one; with USERS a login and its verdict follow;
                then one request and one reply
    version 4   one request and one reply, with a user's name that nothing proves; 4a writes a host name behind it,
                and an address 0.0.0.x before it, to say so

The `read_…` functions look at the beginning of what has come and consume nothing: a message and its length, or None
while bytes are missing. What can no longer become a message is `Unreadable`, and nothing is read that another program
might read differently. The longest message has 520 bytes, so reading again after each byte that arrives costs little.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from interpose.core.failure import Failure
from interpose.protocol.socks_grammar import (
    GRANTED_4,
    LOGIN_VERSION,
    REJECTED_4,
    VERSION_4,
    VERSION_5,
    Command,
    Reply,
    Unreadable,
    counted,
    demand_port,
    is_version,
    read_host,
    read_place,
    terminated,
    write_place,
)

NO_ADDRESS = "0.0.0.0"

_REPLIES = {
    "dns_timeout": Reply.HOST_UNREACHABLE,
    "dns_error": Reply.HOST_UNREACHABLE,
    "destination_unavailable": Reply.HOST_UNREACHABLE,
    "destination_ip_prohibited": Reply.NOT_ALLOWED,
    "destination_ip_unroutable": Reply.NETWORK_UNREACHABLE,
    "connection_refused": Reply.REFUSED,
    "connection_timeout": Reply.TIMED_OUT,
    "http_request_denied": Reply.NOT_ALLOWED,
    "proxy_loop_detected": Reply.NOT_ALLOWED,
}


class Login(NamedTuple):
    """A user's name and password, as they came. Either may be empty, which is nobody's."""

    user: bytes
    password: bytes


class Ask(NamedTuple):
    """A request: `host` is an address in its usual form, or a name in lower case. `version` 4 stands for 4a too.

    Of ASSOCIATE host and port are "" and 0: what a client announces about where it will send from proves nothing.
    """

    version: int
    command: Command
    host: str
    port: int


class Datagram(NamedTuple):
    """What a UDP datagram between client and server carries: where it goes to or comes from, and its content."""

    host: str
    port: int
    content: bytes


def read_methods(data: bytes) -> tuple[frozenset[int], int] | None:
    """The methods that a client of version 5 offers."""
    if not is_version(data, VERSION_5) or len(data) < 2:
        return None
    end = 2 + data[1]
    if end == 2:
        raise Unreadable("The client offers no method of authentication, not even none.")
    return (frozenset(data[2:end]), end) if len(data) >= end else None


def read_login(data: bytes) -> tuple[Login, int] | None:
    """User and password (RFC 1929). Departs: they may be empty, since clients send that; it lets nobody in."""
    if not is_version(data, LOGIN_VERSION):
        return None
    user = counted(data, 1)
    password = None if user is None else counted(data, user[1])
    if user is None or password is None:
        return None
    return Login(user[0], password[0]), password[1]


def read_request(data: bytes) -> tuple[Ask, int] | None:
    """A request of version 5."""
    if not is_version(data, VERSION_5) or len(data) < 3:
        return None
    if data[1] not in (Command.CONNECT, Command.BIND, Command.ASSOCIATE):
        raise Unreadable(f"There is no SOCKS command {data[1]}.", Reply.COMMAND_NOT_SUPPORTED, 501)
    if data[2] != 0:
        raise Unreadable("A reserved byte of the SOCKS request is not 0.")
    found = read_place(data, 3)
    if found is None:
        return None
    host, port, end = found
    command = Command(data[1])
    if command is Command.ASSOCIATE:
        return Ask(VERSION_5, command, "", 0), end
    demand_port(port)
    return Ask(VERSION_5, command, read_host(host), port), end


def read_request_4(data: bytes) -> tuple[Ask, int] | None:
    """A request of version 4 or 4a."""
    if not is_version(data, VERSION_4):
        return None
    if len(data) > 1 and data[1] not in (Command.CONNECT, Command.BIND):
        raise Unreadable(f"There is no SOCKS 4 command {data[1]}.", Reply.COMMAND_NOT_SUPPORTED, 501)
    if len(data) < 8:
        return None
    user = terminated(data, 8, "user")
    if user is None:
        return None
    end = user[1]
    host: str | bytes = str(ipaddress.IPv4Address(data[4:8]))
    if data[4:7] == b"\0\0\0" and data[7]:
        name = terminated(data, end, "host")
        if name is None:
            return None
        host, end = name
    port = int.from_bytes(data[2:4], "big")
    demand_port(port)
    return Ask(VERSION_4, Command(data[1]), read_host(host), port), end


def read_datagram(data: bytes) -> Datagram:
    """A datagram from a client, whole by nature. `Unreadable` for fragments too, which hardly anybody sends."""
    if len(data) < 4 or data[:2] != b"\0\0":
        raise Unreadable("A datagram has no SOCKS header.")
    if data[2] != 0:
        raise Unreadable("A datagram is a fragment; fragments are not put together here.", status=501)
    found = read_place(data, 3)
    if found is None:
        raise Unreadable("The SOCKS header of a datagram is cut off.")
    host, port, end = found
    demand_port(port)
    return Datagram(read_host(host), port, data[end:])


def write_choice(method: int) -> bytes:
    """The method that a server of version 5 chose."""
    return bytes((VERSION_5, method))


def write_verdict(*, is_known: bool) -> bytes:
    """Whether user and password are right."""
    return bytes((LOGIN_VERSION, 0 if is_known else 1))


def write_reply(version: int, code: Reply, host: str = NO_ADDRESS, port: int = 0) -> bytes:
    """A reply, with the address that is bound (which version 4 does not need to know)."""
    if version == VERSION_4:
        return bytes((0, GRANTED_4 if code is Reply.SUCCEEDED else REJECTED_4)) + bytes(6)
    return bytes((VERSION_5, code, 0)) + write_place(host, port)


def write_datagram(host: str, port: int, content: bytes) -> bytes:
    """A datagram with its header: to a client, where it came from; to a server, where it goes."""
    return b"\0\0\0" + write_place(host, port) + content


def reply_to(failure: Failure) -> Reply:
    """What a client hears of a failure."""
    if isinstance(failure, Unreadable):
        return failure.reply
    return _REPLIES.get(failure.kind, Reply.FAILED)

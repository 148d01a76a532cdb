"""SOCKS as a client speaks it: the conversation with a SOCKS server up to the first byte of what is asked for.

A `Dialogue` has no socket. Its owner sends `begin()`, and then, for all that the server sends, what `take()` returns,
until `answer` is there; bytes that came behind the answer are in `rest`.

    dialogue = Dialogue(5, Command.CONNECT, "example.org", 80)
    stream.write(dialogue.begin())
    while dialogue.answer is None:
        stream.write(dialogue.take(await stream.read()))
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from interpose.core.failure import Failure, Side
from interpose.protocol.socks import Datagram, Login, read_datagram
from interpose.protocol.socks_grammar import (
    GRANTED_4,
    LOGIN_VERSION,
    NO_LOGIN,
    USERS,
    VERSION_4,
    VERSION_5,
    Command,
    Reply,
    Unreadable,
    read_place,
    with_count,
    write_name,
    write_place,
)

# What the codes of replies mean as failures of ours, and what a person reads.
_FAILURES = {
    Reply.FAILED: ("destination_unavailable", "did not do it and does not say why"),
    Reply.NOT_ALLOWED: ("http_request_denied", "does not allow it"),
    Reply.NETWORK_UNREACHABLE: ("destination_ip_unroutable", "knows no way to that network"),
    Reply.HOST_UNREACHABLE: ("destination_unavailable", "cannot reach that host, or finds no such name"),
    Reply.REFUSED: ("connection_refused", "was refused there; is the server running?"),
    Reply.TIMED_OUT: ("connection_timeout", "heard nothing from there in time"),
    Reply.COMMAND_NOT_SUPPORTED: ("destination_unavailable", "does not know what it was asked to do"),
    Reply.ADDRESS_NOT_SUPPORTED: ("destination_unavailable", "cannot use this kind of address"),
}


class Bound(NamedTuple):
    """The address that the server says is bound: of its connection, or for the datagrams of an association."""

    host: str
    port: int


class Dialogue:
    """One conversation. `login` is for version 5; version 4 says its user's name and proves nothing.

    ValueError at once for what cannot be said: a name that is not ASCII or too long, IPv6 in version 4.
    """

    def __init__(self, version: int, command: Command, host: str, port: int, login: Login | None = None) -> None:
        if version not in (VERSION_4, VERSION_5):
            raise ValueError(f"There is no SOCKS {version}; use 4 or 5.")
        self.answer: Bound | None = None
        self.rest = b""
        self._server = f"The SOCKS server, asked for {host} port {port},"
        self._buffer = b""
        self._version = version
        self._has_chosen = version == VERSION_4
        self._logs_in = False
        if version == VERSION_4:
            if command is not Command.CONNECT:
                raise ValueError("SOCKS 4 cannot do that; use SOCKS 5.")
            self._request = write_request_4(host, port, b"" if login is None else login.user)
            self._login = b""
        else:
            self._request = write_request(command, host, port)
            self._login = b"" if login is None else write_login(login)

    def begin(self) -> bytes:
        """What is sent first."""
        if self._version == VERSION_4:
            return self._request
        offered = (NO_LOGIN, USERS) if self._login else (NO_LOGIN,)
        return bytes((VERSION_5, len(offered), *offered))

    def take(self, data: bytes) -> bytes:
        """What to send after these bytes of the server's (perhaps nothing yet); b"" are its end. `Failure` for a no."""
        if not data:
            raise Failure("connection_terminated", Side.UPSTREAM, f"{self._server} closed the connection.")
        self._buffer += data
        if not self._has_chosen:
            return self._chosen()
        if self._logs_in:
            return self._judged()
        found = read_reply_4(self._buffer) if self._version == VERSION_4 else read_reply(self._buffer)
        if found is not None:
            code, bound, end = found
            if code is not Reply.SUCCEEDED:
                kind, words = _FAILURES[code]
                raise Failure(kind, Side.UPSTREAM, f"{self._server} {words}.")
            self.rest, self._buffer = self._buffer[end:], b""
            self.answer = bound
        return b""

    def _chosen(self) -> bytes:
        if self._buffer[0] != VERSION_5:
            raise _bad_answer("is no answer of SOCKS 5")
        if len(self._buffer) < 2:
            return b""
        method = self._two()
        self._has_chosen = True
        if method == USERS and self._login:
            self._logs_in = True
            return self._login
        if method == NO_LOGIN:
            return self._request
        why = "does not take this way of logging in" if self._login else "wants a user and a password"
        raise Failure("http_request_denied", Side.UPSTREAM, f"{self._server} {why}.", status=407)

    def _judged(self) -> bytes:
        if self._buffer[0] != LOGIN_VERSION:
            raise _bad_answer("is no answer to a login")
        if len(self._buffer) < 2:
            return b""
        if self._two() != 0:
            words = f"{self._server} does not know this user with this password."
            raise Failure("http_request_denied", Side.UPSTREAM, words, status=407)
        self._logs_in = False
        return self._request

    def _two(self) -> int:
        """The second byte of a message of two. A server has nothing more to say before it is asked again."""
        if len(self._buffer) > 2:
            raise _bad_answer("came before it was asked for")
        second, self._buffer = self._buffer[1], b""
        return second


def write_login(login: Login) -> bytes:
    """User and password (RFC 1929). ValueError when one is longer than 255 bytes."""
    return bytes((LOGIN_VERSION,)) + with_count(login.user, "user") + with_count(login.password, "password")


def write_request(command: Command, host: str, port: int) -> bytes:
    """A request of version 5. ValueError for a name that is longer than 255 bytes or not ASCII."""
    return bytes((VERSION_5, command, 0)) + write_place(host, port)


def write_request_4(host: str, port: int, user: bytes = b"") -> bytes:
    """A CONNECT of version 4, or of 4a where `host` is a name. ValueError for an IPv6 address: there is no way."""
    if ":" in host:
        raise ValueError(f"SOCKS 4 cannot say the IPv6 address {host}; use SOCKS 5.")
    if b"\0" in user:
        raise ValueError("A user's name has no NUL in SOCKS 4.")
    head = bytes((VERSION_4, Command.CONNECT)) + port.to_bytes(2, "big")
    try:
        return head + ipaddress.IPv4Address(host).packed + user + b"\0"
    except ValueError:
        return head + b"\0\0\0\1" + user + b"\0" + write_name(host) + b"\0"


def read_reply(data: bytes) -> tuple[Reply, Bound, int] | None:
    """Code, bound address and length of a reply of version 5; None while it is incomplete."""
    if data[:1] not in (b"", b"\x05"):
        raise _bad_answer("is no reply of SOCKS 5")
    if len(data) < 2:
        return None
    code = Reply(data[1]) if data[1] in _CODES else Reply.FAILED
    if code is not Reply.SUCCEEDED:  # some servers say no more than that
        return code, Bound("", 0), len(data)
    if len(data) < 3:
        return None
    try:
        found = read_place(data, 3)
    except Unreadable:
        raise _bad_answer("has an address of no known type") from None
    if found is None:
        return None
    host, port, end = found
    return code, Bound(host.decode("latin-1") if isinstance(host, bytes) else host, port), end


def read_reply_4(data: bytes) -> tuple[Reply, Bound, int] | None:
    """The same of version 4, with the nearest code of version 5."""
    if data[:1] not in (b"", b"\0"):
        raise _bad_answer("is no reply of SOCKS 4")
    if len(data) > 1 and data[1] != GRANTED_4:
        return Reply.FAILED, Bound("", 0), len(data)
    if len(data) < 8:
        return None
    return Reply.SUCCEEDED, Bound(str(ipaddress.IPv4Address(data[4:8])), int.from_bytes(data[2:4], "big")), 8


def unwrapped(data: bytes) -> Datagram:
    """Whose datagram the server of an association passes on (`write_datagram` makes those that go there)."""
    try:
        return read_datagram(data)
    except Unreadable:
        raise _bad_answer("as a datagram has no SOCKS header that can be read") from None


_CODES = frozenset(Reply)


def _bad_answer(how: str) -> Failure:
    return Failure("http_protocol_error", Side.UPSTREAM, f"What the SOCKS server sent {how}.")

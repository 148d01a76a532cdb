"""A client of a TLS listener that says in the handshake and in the request exactly what it is told to.

    context = authority.client()
    answer = await ask(address, context, sni="one.test", host="two.test")
    answer.status, answer.fields[b"location"], answer.session

`Refused` when nothing of an answer came: the handshake failed, or (TLS 1.3) the alert came instead of an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

DEADLINE_S = 5.0


class Refused(Exception):
    """The connection came to nothing. `alert` is the name that OpenSSL has for why."""

    def __init__(self, alert: str) -> None:
        super().__init__(alert)
        self.alert = alert


class Answer(NamedTuple):
    """What came back, and how."""

    status: int
    fields: dict[bytes, bytes]
    content: bytes
    session: Any
    resumed: bool
    serial: str
    """Of the certificate that was shown."""


class TlsClient:
    """One connection."""

    def __init__(self, address: str, context: ssl.SSLContext, sni: str | None, session: Any = None) -> None:
        host, _, port = address.rpartition(":")
        plain = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        try:
            self._tls = context.wrap_socket(plain, server_hostname=sni, session=session)
        except (ssl.SSLError, OSError) as error:
            plain.close()
            raise Refused(getattr(error, "reason", None) or type(error).__name__) from error

    def ask(self, host: str, path: str = "/", *fields: str) -> Answer:
        """Send a request and read its answer, which must have a Content-Length."""
        lines = "".join(f"{field}\r\n" for field in (f"Host: {host}", *fields))
        received = b""
        try:
            self._tls.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            while b"\r\n\r\n" not in received:
                received += self._more()
            head, _, content = received.partition(b"\r\n\r\n")
            first, *rest = head.split(b"\r\n")
            found = {name.lower(): value.strip(b" ") for name, _, value in (line.partition(b":") for line in rest)}
            while len(content) < int(found.get(b"content-length", b"0")):
                content += self._more()
        except (ssl.SSLError, OSError) as error:
            raise Refused(getattr(error, "reason", None) or type(error).__name__) from error
        shown: Any = self._tls.getpeercert() or {}
        return Answer(
            int(first.split(b" ")[1]),
            found,
            content,
            self._tls.session,
            bool(self._tls.session_reused),
            shown.get("serialNumber", ""),
        )

    def is_closed(self) -> bool:
        """Whether the server ends the connection, now or soon."""
        try:
            return self._tls.recv(1) == b""
        except ssl.SSLEOFError:
            return True

    def _more(self) -> bytes:
        data = self._tls.recv(65536)
        if not data:
            raise ConnectionResetError("closed before its answer")
        return data

    def close(self) -> None:
        """Leave."""
        self._tls.close()


@contextlib.contextmanager
def connected(address: str, context: ssl.SSLContext, sni: str | None, session: Any = None) -> Iterator[TlsClient]:
    """A connection, for code that is in a thread already."""
    client = TlsClient(address, context, sni, session)
    try:
        yield client
    finally:
        client.close()


async def ask(
    address: str,
    context: ssl.SSLContext,
    sni: str | None,
    host: str | None = None,
    *fields: str,
    path: str = "/",
    session: Any = None,
) -> Answer:
    """One request on a connection of its own."""

    def talk() -> Answer:
        with connected(address, context, sni, session) as client:
            return client.ask(host or sni or "", path, *fields)

    return await asyncio.to_thread(talk)


def anybody(**tls: Any) -> ssl.SSLContext:
    """A context that believes every certificate, for tests of what is said and not of who says it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for key, value in tls.items():
        setattr(context, key, value)
    return context

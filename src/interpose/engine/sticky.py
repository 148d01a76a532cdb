"""A client stays with its server: a cookie says which one, signed, so that nobody can choose one that we did not."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from interpose.core.exchange import Exchange
from interpose.core.message import Request, Response
from interpose.protocol.cache_key import cookie
from interpose.upstream.server import Server


class Sticky:
    """The cookie `name`. Its value is a keyed digest of the server's address: it tells nobody where that is, and means
    the same to every worker and machine with the same key."""

    def __init__(self, name: str, secret: bytes, upstream: str) -> None:
        self._name = name.encode()
        self._secret = secret
        self._upstream = upstream
        self._values: dict[Server, bytes] = {}
        self._servers: dict[bytes, Server] = {}

    def have(self, servers: Sequence[Server]) -> None:
        """Know exactly these."""
        self._values = {server: self._value(server) for server in servers}
        self._servers = {value: server for server, value in self._values.items()}

    def _value(self, server: Server) -> bytes:
        meant = f"{self._upstream} {server.origin}".encode()
        return hmac.digest(self._secret, meant, "sha256")[:16].hex().encode()

    def preferred(self, request: Request) -> Server | None:
        """The server that this client was with."""
        value = cookie(request.fields.lines, self._name)
        return None if value is None else self._servers.get(value)

    def tell(self, exchange: Exchange, response: Response, server: Server) -> None:
        """Let the client stay with `server` from now on."""
        value = self._values.get(server)
        if value is not None:
            secure = b"; Secure" if exchange.scheme == "https" else b""
            response.fields.add(b"Set-Cookie", b"%b=%b; Path=/; HttpOnly; SameSite=Lax%b" % (self._name, value, secure))

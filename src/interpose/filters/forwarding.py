"""The fields of the way: Via in both directions, the client's identity inbound, loops, Max-Forwards (phase ADMIT)."""

from __future__ import annotations

import msgspec

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.networks import Networks
from interpose.core.target import Authority, Form
from interpose.protocol import forwarding

_MAX_TRAILS = 1024
_WATCHED = forwarding.IDENTITY | {b"proxy-authorization", b"via"}
_NOTHING = forwarding.Trail((), b"", b"")


class ForwardingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which fields describe the way of a message."""

    pseudonym: str = "interpose"
    """Our name in Via and Proxy-Status; a second hop with this name in Via is a loop."""
    identity: bool = True
    """Whether the origin is told about the client (X-Forwarded-*, X-Real-IP, Forwarded). Gateways do, proxies do
    not."""
    trusted: tuple[str, ...] = ()
    """Networks (CIDR) whose word about the client is believed; from others such fields are deleted and set anew."""
    via: bool = True
    """Whether Via is written. Without it loops through this proxy cannot be seen."""


class Forwarding:
    """The filter."""

    def __init__(self, options: ForwardingOptions) -> None:
        self._options = options
        self._trusted = Networks(options.trusted)
        self._pseudonym = options.pseudonym.encode("ascii")
        self._via = (forwarding.via_line(0, options.pseudonym), forwarding.via_line(1, options.pseudonym))
        self._trails: dict[tuple[str, Authority, str], forwarding.Trail] = {}

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        fields = request.fields
        if request.method in ("TRACE", "OPTIONS"):
            answer = _last_hop(request)
            if answer is not None:
                return answer
        ours = self._trail(exchange, request) if self._options.identity else _NOTHING
        plain = fields.lines
        if not _WATCHED.isdisjoint([line[0] for line in plain]):
            try:
                forwarding.check_loop(fields.lines, self._pseudonym)
                if ours is not _NOTHING:
                    trusted = exchange.client.host in self._trusted
                    plain = forwarding.with_identity(fields.lines, ours, trusted)
                else:  # for this proxy and no other: what comes next is a server, which must not learn it
                    plain = [line for line in plain if line[0] != b"proxy-authorization"]
            except Failure as failure:
                exchange.refused_by("forwarding", failure.kind, failure.detail)
                raise
        elif ours is not _NOTHING:
            plain += ours.lines
        fields.lines = plain
        if not self._options.via:
            return await forward(exchange, request)
        plain.append(self._via[request.version])
        response = await forward(exchange, request)
        response.fields.lines.append(self._via[1])
        return response

    def _trail(self, exchange: Exchange, request: Request) -> forwarding.Trail:
        """The identity lines for this client, remembered: how it really came, whatever URL it wrote (THREATS A11)."""
        authority = request.target.authority
        host, port = exchange.client
        client = host if port else ""  # the path of a Unix socket is what its client likes to call itself
        scheme = "http" if exchange.tls is None else "https"
        key = (client, authority, scheme)
        ours = self._trails.get(key)
        if ours is None:
            if len(self._trails) >= _MAX_TRAILS:
                self._trails.clear()
            ours = self._trails[key] = forwarding.trail(client, str(authority), scheme)
        return ours


def _last_hop(request: Request) -> Response | None:
    """The answer to a TRACE or OPTIONS that may go no further; None when it goes on, with one hop less."""
    hops = forwarding.max_forwards(request.fields.lines)
    if hops is None:
        return None
    if hops > 0:
        request.fields.set("Max-Forwards", str(hops - 1))
        return None
    if request.method == "OPTIONS":
        return Response(204, Fields([("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, CONNECT, PATCH")]))
    target = "*" if request.target.form is Form.ASTERISK else request.target.path_and_query
    secret = (b"authorization", b"cookie", b"proxy-authorization")
    lines = b"".join([line.wire for line in request.fields.lines if line.key not in secret])
    echo = f"TRACE {target} HTTP/1.1\r\nHost: {request.target.authority}\r\n".encode("ascii") + lines + b"\r\n"
    return Response(200, Fields([("Content-Type", "message/http")]), Body(echo))

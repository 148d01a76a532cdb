"""The fields of the way: Via in both directions, the client's identity inbound, loops, Max-Forwards (phase ADMIT)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, NamedTuple

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import FieldLine, Fields
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.networks import Networks
from interpose.core.target import Authority, Form
from interpose.protocol import forwarding

_MAX_TRAILS: Final = 1024
_WATCHED: Final = forwarding.IDENTITY | {b"proxy-authorization", b"via"}
_NOTHING: Final = forwarding.Trail((), b"", b"")


class ForwardingOptions(NamedTuple):
    """Which fields describe the way of a message. (No struct of msgspec: what has one cannot be compiled.)"""

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
        via = (forwarding.via_line(0, options.pseudonym), forwarding.via_line(1, options.pseudonym))
        self._via = via if options.via else None
        self._trails: dict[tuple[str, Authority, str], forwarding.Trail] = {}

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if request.method in ("TRACE", "OPTIONS"):
            answer = _last_hop(request)
            if answer is not None:
                return Answered(answer)
        fields = request.fields
        plain = fields.lines
        ours = self._trail(exchange, request) if self._options.identity else _NOTHING
        for line in plain:
            if line[0] in _WATCHED:
                plain = self._watched(exchange, plain, ours)
                break
        else:
            plain += ours.lines
        fields.lines = plain
        via = self._via
        if via is None:
            return forward(exchange, request)
        plain.append(via[request.version])
        answering = forward(exchange, request)
        if type(answering) is Answered:
            answering.response.fields.lines.append(via[1])
            return answering
        return _with(via[1], answering)

    def _watched(self, exchange: Exchange, lines: list[FieldLine], ours: forwarding.Trail) -> list[FieldLine]:
        """The lines as they go on, where some of them say who asks or which way the request has come."""
        try:
            forwarding.check_loop(lines, self._pseudonym)
            if ours is not _NOTHING:
                return forwarding.with_identity(lines, ours, exchange.client.host in self._trusted)
            # For this proxy and no other: what comes next is a server, which must not learn it.
            return [line for line in lines if line[0] != b"proxy-authorization"]
        except Failure as failure:
            exchange.refused_by("forwarding", failure.kind, failure.detail)
            raise

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


async def _with(via: FieldLine, answering: Awaitable[Response]) -> Response:
    response = await answering
    response.fields.lines.append(via)
    return response


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

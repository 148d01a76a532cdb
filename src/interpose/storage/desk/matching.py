"""Held messages, as the queries of the desk's rules ask them."""

from __future__ import annotations

from urllib.parse import urlsplit

from interpose.core.hold import Held, HeldMessage, What
from interpose.core.query import Matcher, compile_query, demand, parse
from interpose.core.query.recorded import Recorded
from interpose.core.query.values import literal
from interpose.core.query.words import INBOUND, OUTBOUND, Need
from interpose.core.record import Kind, Part, Record
from interpose.core.target import DEFAULT_PORTS

_BODIES = Need.REQUEST_BODY | Need.RESPONSE_BODY
_KINDS = {What.CHUNK: Kind.TCP, What.DATAGRAM: Kind.UDP, What.WEBSOCKET: Kind.WEBSOCKET}


def matcher_of(query: str) -> Matcher:
    """The query of a rule, ready to be asked. QueryError for what is none, and for words about contents.

    A content may be coded, or too long to be looked through; what cannot be read must not be what lets it pass.
    """
    tree = parse(query)
    demand(tree, (INBOUND | OUTBOUND) & ~_BODIES, query)
    return compile_query(tree)


def subject_of(held: Held, now: float) -> Recorded:
    """A held message as something that can be asked."""
    message = held.message
    request = held.request if held.request is not None else message if message.what is What.REQUEST else None
    scheme, host, port = _where(message.target if request is None else request.target)
    record = Record(
        kind=_KINDS.get(message.what, Kind.HTTP),
        exchange=held.exchange,
        started=held.at,
        listener=held.listener,
        route=held.route,
        client=held.client,
        user=held.user,
        scheme=scheme,
        method="" if request is None else request.method,
        host=host,
        port=port,
        target=message.target if request is None else request.target,
        request=Part() if request is None else Part(request.fields, b"", request.content.size),
        status=message.status,
        response=Part(message.fields, b"", message.content.size) if message.what is What.RESPONSE else Part(),
    )
    return Recorded(record, now=now)


def query_for(message: HeldMessage, request: HeldMessage | None) -> str:
    """A query for messages that go where this one goes, in the same way."""
    asked = request or message
    _, host, port = _where(asked.target)
    method = f"method:{literal(asked.method)} " if asked.method else ""
    at_port = f" port:{port}" if port else ""
    return f"{method}host:{literal(host)}{at_port}"


def _where(target: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL or of `host:port`."""
    try:
        parts = urlsplit(target if "://" in target else f"//{target}")
        return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0

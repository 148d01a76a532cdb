"""An exchange under way, as rules ask it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_plus

from interpose.core.exchange import VARIANT, Exchange
from interpose.core.message import Request, Response
from interpose.core.target import DEFAULT_PORTS, Form


class Live:
    """A `matching.Subject`: a request, once there is one its response, and what else the asker knows.

    What nobody said is unknown: the texts of contents, which only who keeps them can give; `route` before one is
    chosen; `groups` where neither the asker nor the exchange has any. `time` is the wall clock's. What only a record
    tells is never known here. `kind` is for what the request does not say: below HTTP it only stands for where somebody
    wants to go.
    """

    __slots__ = (
        "_exchange", "_groups", "_request", "_request_text", "_response", "_response_text", "_route", "_spoken",
        "_time",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        response: Response | None = None,
        *,
        time: float | None = None,
        route: str | None = None,
        groups: Sequence[str] | None = None,
        request_text: str | None = None,
        response_text: str | None = None,
        kind: str = "",
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._response = response
        self._time = time
        self._route = route
        self._groups = exchange.groups if groups is None else groups
        self._request_text = request_text
        self._response_text = response_text
        self._spoken = kind

    def text(self, word: str) -> str | None:
        """See `Subject.text`."""
        # The most frequent first; the words are the table's own objects, so that comparing is comparing addresses.
        if word == "host":
            return self._request.target.authority.host
        if word == "method":
            return self._request.method
        if word == "path":
            return self._request.target.path
        if word == "from":
            return self._exchange.client.host
        if word == "user":
            return self._exchange.user or ""
        if word == "to":
            return self._server()
        if word == "kind":
            return self._kind()
        if word == "request.type":
            return media_type(self._request.fields.get("content-type", ""))
        if word == "response.type":
            return None if self._response is None else media_type(self._response.fields.get("content-type", ""))
        match word:
            case "url":
                return str(self._request.target)
            case "scheme":
                return self._request.target.scheme
            case "listener":
                return self._exchange.listener
            case "exchange":
                return self._exchange.id
            case "route":
                return self._route
            case "request.body":
                return self._request_text
            case "response.body":
                return self._response_text
        return None

    def texts(self, word: str, name: str) -> Sequence[str] | None:
        """See `Subject.texts`."""
        if word == "request":
            if name == "host":
                return (self._request.target.authority.host,)
            return self._request.fields.get_all(name)
        if word == "response":
            return None if self._response is None else self._response.fields.get_all(name)
        if word == "query":
            return [value for key, value in parameters(self._request.target.query) if key == name]
        if word == "cookie":
            return [value for key, value in cookies(self._request.fields.get_all("cookie")) if key == name]
        if word == "group":
            return self._groups
        if word == "variant":
            level = self._exchange.notes.get(f"{VARIANT}{name}")
            return () if level is None else (level,)
        return None

    def number(self, word: str) -> float | None:
        """See `Subject.number`."""
        if word == "port":
            target = self._request.target
            port = DEFAULT_PORTS.get(target.scheme) if target.authority.port is None else target.authority.port
            return math.nan if port is None else port
        if word == "status":
            return None if self._response is None else self._response.status
        if word == "time":
            return self._time
        request, response = self._request.body.length, None if self._response is None else self._response.body.length
        match word:
            case "request.size":
                return request
            case "response.size":
                return response
            case "size":
                return None if request is None or response is None else request + response
        return None

    def _server(self) -> str | None:
        """The address of the last connection upstream; none when it failed."""
        attempts = self._exchange.attempts
        if not attempts:
            return "" if self._response is not None else None
        peer = attempts[-1].peer
        return "" if peer is None else peer.host

    def _kind(self) -> str:
        if self._spoken:
            return self._spoken
        if self._request.upgrade == "websocket":
            return "websocket"
        return "tunnel" if self._request.target.form is Form.AUTHORITY else "http"


def groups_of(exchange: Exchange) -> Sequence[str] | None:
    """Those of its user, once everybody was asked who could know: nobody is in no group; None where there is a user
    whose groups nobody knows."""
    return () if exchange.user is None and exchange.groups is None else exchange.groups


def parameters(query: str | None) -> Iterator[tuple[str, str]]:
    """Names and values of a URL's query, decoded, in their order."""
    for pair in (query or "").split("&"):
        name, _, value = pair.partition("=")
        if pair:
            yield unquote_plus(name), unquote_plus(value)


def media_type(value: str) -> str:
    """A Content-Type without its parameters."""
    return value.partition(";")[0].rstrip(" \t")


def cookies(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of the cookies of a request, in their order (RFC 6265, 4.2.1), quotes around a value off."""
    for line in lines:
        for pair in line.split(";"):
            name, equals, value = pair.strip(" \t").partition("=")
            if equals:
                is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
                yield name, value[1:-1] if is_quoted else value

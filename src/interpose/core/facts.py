"""What a configuration may have filled in of an exchange: `{client}`, `{query.page}`, and what a path held."""

from __future__ import annotations

from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.core.query.live import cookies, parameters
from interpose.core.target import DEFAULT_PORTS

FACTS = {
    "client": "the client's address",
    "user": "who the client is; empty for nobody",
    "listener": "the name of the listener",
    "route": "the name of the route",
    "exchange": "the exchange's own name, as the log has it",
    "method": "the method of the request",
    "scheme": "`http` or `https`",
    "host": "the host asked for, without its port",
    "port": "the port asked for, the scheme's own where none is written",
    "path": "the path, encoded as in the URL, without the query",
}
"""Names and what they mean."""

NAMED_FACTS = {
    "query": "a parameter of the URL's query, decoded",
    "cookie": "a cookie of the request",
    "field": "a field of the request",
}
"""The same, for those that have a name behind a dot."""

AS_IN_THE_PATH = frozenset(("path",))
"""What is spelled as in a URL's path already. What a path's names found is so too."""


def is_fact(name: str) -> bool:
    """Whether there is such a fact."""
    kind, dot, rest = name.partition(".")
    return bool(rest) and kind in NAMED_FACTS if dot else name in FACTS


def fact(name: str, exchange: Exchange, request: Request) -> str:
    """What is to be filled in for `name`; "" where there is nothing. What was found in the path comes first."""
    captured = exchange.captured
    if captured is not None and name in captured:
        return captured[name]
    kind, _, rest = name.partition(".")
    target = request.target
    match kind:
        case "client":
            return exchange.client.host
        case "user":
            return exchange.user or ""
        case "listener":
            return exchange.listener
        case "route":
            return exchange.route
        case "exchange":
            return exchange.id
        case "method":
            return request.method
        case "scheme":
            return target.scheme
        case "host":
            host = target.authority.host
            return f"[{host}]" if ":" in host else host
        case "port":
            port = target.authority.port
            return str(DEFAULT_PORTS.get(target.scheme, "") if port is None else port)
        case "path":
            return target.path
        case "query":
            return next((value for key, value in parameters(target.query) if key == rest), "")
        case "cookie":
            return next((value for key, value in cookies(request.fields.get_all("cookie")) if key == rest), "")
        case "field":
            return request.fields.get(rest, "")
    raise AssertionError(f"there is no fact {name}")

"""CORS: which other sites' scripts may read the answers of a route (the Fetch standard, 3.2); phase ADMIT.

A browser asks first where a script wants to do more than a form could (a *preflight*: OPTIONS, with the method and the
fields it wants). That is answered here, before anybody is asked who they are, since such questions carry no
credentials. What the server behind says about other sites is taken off: there is one truth.

Nothing is refused but preflights. Whether a script sees an answer is for its browser to decide, and a request that
needs no preflight has arrived by then.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Annotated

import msgspec
from msgspec import Meta

from interpose.core.body import EMPTY
from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response

SiteOrigin = Annotated[str, Meta(extra={"kind": "origin"})]
Method = Annotated[str, Meta(extra={"kind": "method"})]
FieldName = Annotated[str, Meta(extra={"kind": "token"})]
Age = Annotated[int, Meta(ge=0, le=86400)]

ANY = "*"
USUAL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_OURS = b"access-control-"
_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")
_LABELS = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


class CorsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which other sites' scripts may read the answers."""

    origins: tuple[SiteOrigin, ...]
    """The sites: `https://app.example`, `https://*.example` for every name below it, `*` for all there are."""

    methods: tuple[Method, ...] = ()
    """What they may ask with. Empty: the route's own methods; where it takes all, GET, HEAD, POST, PUT, PATCH and
    DELETE."""

    fields: tuple[FieldName, ...] = ()
    """Fields of requests that they may set besides those that forms have; `*` for any."""

    expose: tuple[FieldName, ...] = ()
    """Fields of answers that they may read besides the usual ones."""

    credentials: bool = False
    """Whether they may ask as the user who is logged in. Not together with `*`."""

    max_age_s: Age = 600
    """How long a browser may remember the answer to a preflight."""


class Cors:
    """The filter. `methods` are the route's."""

    def __init__(self, options: CorsOptions, methods: tuple[str, ...] = ()) -> None:
        self._is_open = ANY in options.origins
        self._exact = frozenset(origin for origin in options.origins if "*" not in origin)
        wild = (origin.partition("*") for origin in options.origins if "*" in origin and origin != ANY)
        self._wild = tuple((before, after) for before, _, after in wild)
        self._methods = options.methods or methods or USUAL_METHODS
        self._any_field = ANY in options.fields
        self._fields = frozenset(name.lower() for name in options.fields)
        allowed = [] if self._any_field else [("Access-Control-Allow-Headers", ", ".join(options.fields))]
        self._granted = [
            field_line(name, value)
            for name, value in (
                ("Access-Control-Allow-Methods", ", ".join(self._methods)),
                *allowed,
                ("Access-Control-Max-Age", str(options.max_age_s)),
            )
            if value
        ]
        self._credentials = [field_line("Access-Control-Allow-Credentials", "true")] if options.credentials else []
        exposed = ", ".join(options.expose)
        self._exposed = [field_line("Access-Control-Expose-Headers", exposed)] if exposed else []
        self._all = [field_line("Access-Control-Allow-Origin", ANY)]

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        origin = request.fields.get("Origin")
        if request.method == "OPTIONS" and origin is not None:
            wanted = request.fields.get("Access-Control-Request-Method")
            if wanted is not None:
                return Answered(self._preflight(exchange, origin, wanted, request.fields))
        answering = forward(exchange, request)
        if type(answering) is Answered:
            self._mark(origin, answering.response)
            return answering
        return self._awaited(origin, answering)

    async def _awaited(self, origin: str | None, answering: Awaitable[Response]) -> Response:
        response = await answering
        self._mark(origin, response)
        return response

    def _mark(self, origin: str | None, response: Response) -> None:
        """Say in an answer who may read it; an answer to one site is not one to another, so caches are told."""
        lines = [line for line in response.fields.lines if not line[0].startswith(_OURS)]
        if origin is not None and (allowed := self._allowed(origin)):
            lines += [*allowed, *self._credentials, *self._exposed]
        elif self._is_open:
            lines += [*self._all, *self._exposed]
        response.fields.lines = lines if self._is_open else varying_on_origin(lines)

    def _allowed(self, origin: str) -> list[FieldLine]:
        """The line that lets scripts of this site read; none when they may not."""
        if self._is_open:
            return self._all
        name = origin.lower()
        if name in self._exact or any(_is_below(name, before, after) for before, after in self._wild):
            return [field_line("Access-Control-Allow-Origin", origin)]
        return []

    def _preflight(self, exchange: Exchange, origin: str, wanted: str, asked: Fields) -> Response:
        names = asked.get("Access-Control-Request-Headers", "")
        allowed = self._allowed(origin)
        if not allowed:
            return self._refused(exchange, "origins", f"scripts of {origin}")
        if wanted not in self._methods:
            return self._refused(exchange, "methods", f"the method {wanted}")
        if names and _NAMES.fullmatch(names) is None:
            return self._refused(exchange, "fields", "what is not a list of field names")
        missing = [] if self._any_field else [name for name in _split(names) if name.lower() not in self._fields]
        if missing:
            return self._refused(exchange, "fields", f"the field {missing[0]}")
        lines = [*allowed, *self._credentials, *self._granted]
        if self._any_field and names:
            lines.append(field_line("Access-Control-Allow-Headers", names))
        lines.append(_VARIES_ON_ALL)
        return Response(204, Fields.of(lines), EMPTY)

    @staticmethod
    def _refused(exchange: Exchange, rule: str, what: str) -> Response:
        exchange.refused_by("cors", rule, f"a preflight asked for {what}")
        response = Response.text(403, f"This address does not allow other sites {what}.\n")
        response.fields.lines.append(_VARIES_ON_ALL)
        return response


_VARIES_ON_ALL = field_line("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
_VARIES = field_line("Vary", "Origin")


def varying_on_origin(lines: list[FieldLine]) -> list[FieldLine]:
    """The lines with Origin in Vary, once."""
    for line in lines:
        if line[0] == b"vary":
            names = [name.strip(b" \t").lower() for name in line[2].split(b",")]
            if b"origin" in names or b"*" in names:
                return lines
    return [*lines, _VARIES]


def _is_below(origin: str, before: str, after: str) -> bool:
    if not (origin.startswith(before) and origin.endswith(after) and len(origin) > len(before) + len(after)):
        return False
    return _LABELS.fullmatch(origin[len(before) : len(origin) - len(after)]) is not None


def _split(names: str) -> list[str]:
    return [name.strip(" \t") for name in names.split(",")] if names else []

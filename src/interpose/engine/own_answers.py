"""Answers that need no server: redirects, and answers that are fixed but for what is filled in."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.substitution import Substitution, in_field, in_path, in_query, in_text

Location = Annotated[str, Meta(extra={"kind": "location"})]
FilledLine = Annotated[str, Meta(extra={"kind": "filled_line"})]
File = Annotated[str, Meta(extra={"kind": "file"})]


_AFTER_THE_HOST = re.compile(r"[/?]|(?<!\{)\{path\}")
REDIRECTS = (301, 302, 303, 307, 308)
"""The statuses that send a client elsewhere."""


class Redirect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer that sends the client elsewhere."""

    to: Location
    """Where to: a path, or a URL with its scheme. `{path}`, `{host}`, `{id}` of the path and the like are filled in."""

    status: Annotated[int, Meta(ge=301, le=308)] = 307
    """307 and 308 keep the method. Browsers remember 301 and 308."""

    keep_query: bool = True
    """Whether the query of the request is appended."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed answer, but for what is filled in: `{client}`, `{id}` of the path and the like."""

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    """The status."""

    text: str = ""
    """The content. What is filled in is harmless in HTML and JSON."""

    file: File | None = None
    """The file that the content is read from when the configuration is, instead of `text`; nothing is filled in."""

    media_type: str = "text/plain; charset=utf-8"
    """Its `Content-Type`."""

    fields: tuple[FilledLine, ...] = ()
    """More fields, as `Name: value`."""


class Redirection:
    """The handler of a redirect."""

    def __init__(self, options: Redirect) -> None:
        self._status = options.status
        site, rest = parted(options.to)
        path, mark, query = rest.partition("?")
        self._site = Substitution(site)
        self._path = Substitution(path)
        self._query = Substitution(query) if mark else None
        self._keeps_query = options.keep_query

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        site = self._site.fill(exchange, request, _in_location)
        path = self._path.fill(exchange, request, _in_location)
        # What was filled in may be empty, or what OPTIONS * asks for; none of it is a part of the host.
        if path.startswith("//") or (path and not path.startswith("/")):
            path = f"/{path.lstrip('/')}"
        location = f"{site}{path}"
        queries = [] if self._query is None else [self._query.fill(exchange, request, in_query)]
        if self._keeps_query and request.target.query:
            queries.append(request.target.query)
        if queries:
            location = f"{location}?{'&'.join(queries)}"
        return Answered(Response(self._status, Fields([("Location", location)])))


def parted(location: str) -> tuple[str, str]:
    """Scheme and authority of a location, "" for one that is a path, and the rest of it, which begins with `/`, `?` or
    the place `{path}`."""
    scheme, separator, rest = location.partition("://")
    if location.startswith("/") or not separator:
        return "", location
    authority = _AFTER_THE_HOST.split(rest, maxsplit=1)[0]
    return f"{scheme}{separator}{authority}", rest[len(authority) :]


def _in_location(value: str, is_of_a_path: bool) -> str:
    """As in a path. The colon and the brackets of an address belong to a host."""
    if is_of_a_path:
        return value
    return in_path(value, is_of_a_path).replace("%3A", ":").replace("%5B", "[").replace("%5D", "]")


class OwnAnswer:
    """The handler of a fixed answer. Raises OSError, when it is made, where its file cannot be read."""

    def __init__(self, options: Answer) -> None:
        self._status = options.status
        self._content = Path(options.file).read_bytes() if options.file is not None else options.text.encode()
        self._text = Substitution(options.text)
        self._is_filled = options.file is None and bool(self._text.names)
        self._spell = in_text(options.media_type)
        self._lines: list[FieldLine] = []
        if self._content or options.status not in (204, 304):
            self._lines.append(field_line("Content-Type", options.media_type))
        if self._is_filled:  # what a client wrote is not to be taken for a page
            self._lines.append(field_line("X-Content-Type-Options", "nosniff"))
        pairs = [line.partition(":") for line in options.fields]
        self._filled = [(name, Substitution(value.strip(" \t"))) for name, _, value in pairs]

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        fields = Fields.of(self._lines.copy())
        for name, value in self._filled:
            fields.add(name, value.fill(exchange, request, in_field).strip(" \t"))
        content = self._content
        if self._is_filled:
            content = self._text.fill(exchange, request, self._spell).encode("utf-8", "replace")
        return Answered(Response(self._status, fields, Body(content)))

"""Rewriting: what the request asks for is spelled anew for the server behind (phase EDIT).

In this order: a prefix is taken off, the path is made anew, a prefix is put before it; parameters of the query are
removed and set; the host is replaced. The route stays the one that was chosen. What comes out is brought to the one
spelling again, and is judged like a path that a client wrote: a value that was filled in must not become another
segment, or lead up (THREATS A13).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated
from urllib.parse import unquote_plus

import msgspec
from msgspec import Meta

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, bad_request
from interpose.core.fields import field_line
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.path_pattern import is_below
from interpose.core.substitution import Substitution, in_path, in_query
from interpose.core.target import Target, without_parameters
from interpose.protocol.fitness import check_request
from interpose.protocol.restoring import Restoring
from interpose.protocol.target import canonical_path, parse_authority

FilledPath = Annotated[str, Meta(extra={"kind": "filled_path"})]
FilledText = Annotated[str, Meta(extra={"kind": "filled"})]
Parameter = Annotated[str, Meta(extra={"kind": "parameter"})]
ParameterName = Annotated[str, Meta(extra={"kind": "label"})]


_ADDRESSES = (b"location", b"content-location")


class RewriteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What servers are asked for, where that is not what clients ask for. Texts may have `{id}`, `{path}`, `{host}`,
    `{query.page}` and the like filled in."""

    strip_prefix: FilledPath = ""
    """What is taken off the beginning of the path, whole segments. Empty: nothing."""

    path: FilledPath = ""
    """The new path: `/app/{id}`. Empty: the path as it is then."""

    add_prefix: FilledPath = ""
    """What is put before the path. Empty: nothing."""

    remove_query: tuple[ParameterName, ...] = ()
    """Parameters that are taken off the query, by name; `utm_*` is every one that begins so, `*` the whole query."""

    set_query: tuple[Parameter, ...] = ()
    """Parameters of the query that are set, as `name=value`; each takes the place of all others of its name."""

    host: FilledText = ""
    """The host, and the port where there is one, that servers see in Host. Empty: as the client wrote it."""

    restore: bool = True
    """Whether addresses in answers (Location, Content-Location, the Path of cookies) are spelled for clients again, as
    far as prefixes and host are what was changed."""


class Rewrite:
    """The filter."""

    def __init__(self, options: RewriteOptions) -> None:
        self._strip = options.strip_prefix.rstrip("/")
        self._path = Substitution(options.path) if options.path else None
        self._prefix = Substitution(options.add_prefix.rstrip("/")) if options.add_prefix.rstrip("/") else None
        self._host = Substitution(options.host) if options.host else None
        pairs = [pair.partition("=") for pair in options.set_query]
        self._set = {name: Substitution(value).spelled(in_query) for name, _, value in pairs}
        self._removed = frozenset(options.remove_query)
        self._beginnings = tuple(name[:-1] for name in options.remove_query if name.endswith("*"))
        self._changes_query = bool(self._set or self._removed)
        self._restoring = _restoring(options) if options.restore else None

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. `Failure` 400 when what comes out is no target that servers read alike."""
        before = request.target
        if not before.path:  # OPTIONS * asks for nothing that could be called otherwise
            return forward(exchange, request)
        request.target = after = self._rewritten(exchange, request)
        try:
            check_request(request)
        except ValueError as error:
            raise self._refused(exchange, before, str(error)) from None
        answering = forward(exchange, request)
        if self._restoring is None:
            return answering
        if type(answering) is Answered:
            _restore(self._restoring, answering.response, before, after)
            return answering
        return self._awaited(self._restoring, answering, before, after)

    async def _awaited(
        self, restoring: Restoring, answering: Awaitable[Response], before: Target, after: Target
    ) -> Response:
        response = await answering
        _restore(restoring, response, before, after)
        return response

    def _rewritten(self, exchange: Exchange, request: Request) -> Target:
        target = request.target
        path = self._stripped(target.path)
        query = self._query(exchange, request) if self._changes_query else target.query
        authority = target.authority
        if self._host is not None:
            authority = parse_authority(self._host.fill(exchange, request, lambda text, _: text).encode("utf-8"))
        if self._path is not None:
            request.target = target._replace(path=path)  # what is left of it is what `{path}` means here
            path = self._path.fill(exchange, request, in_path)
        if self._prefix is not None:
            path = self._prefix.fill(exchange, request, in_path) + path
        if path != target.path:
            if "/." in path and any(segment in (".", "..") for segment in path.split("/")):
                raise self._refused(exchange, target, "what was filled in leads up in the path")
            path = canonical_path(path, merge_slashes=True)
        return target._replace(path=path, query=query, authority=authority)

    def _stripped(self, path: str) -> str:
        """The path without the prefix. Routes take no notice of parameters in a segment; so where one is in the way,
        all are taken off."""
        if not self._strip:
            return path
        if not is_below(path, self._strip):
            plain = without_parameters(path)
            if not is_below(plain, self._strip):
                return path
            path = plain
        return path[len(self._strip) :] or "/"

    def _query(self, exchange: Exchange, request: Request) -> str | None:
        """The query anew; parameters that nobody names stay as they were written."""
        left = dict(self._set)
        gone = self._removed | self._set.keys()
        pairs = []
        for pair in (request.target.query or "").split("&"):
            name = unquote_plus(pair.partition("=")[0])
            value = left.pop(name, None)
            if value is not None:
                pairs.append(_pair(name, value.fill(exchange, request, in_query)))
            elif pair and name not in gone and not (self._beginnings and name.startswith(self._beginnings)):
                pairs.append(pair)
        pairs += [_pair(name, value.fill(exchange, request, in_query)) for name, value in left.items()]
        return "&".join(pairs) if pairs else None

    @staticmethod
    def _refused(exchange: Exchange, target: Target, why: str) -> Failure:
        exchange.refused_by("rewrite", "ambiguous target", f"{target}: {why}")
        return bad_request(f"The address cannot be rewritten: {why}.")


def _restoring(options: RewriteOptions) -> Restoring | None:
    """The way back, when there is one: not from a path that was made anew, or has a prefix that is filled in."""
    outside, inside = options.strip_prefix.rstrip("/"), options.add_prefix.rstrip("/")
    keeps_path = bool(options.path) or bool(Substitution(inside).names) or not (outside or inside)
    return None if keeps_path and not options.host else Restoring(outside, inside, keeps_path=keeps_path)


def _restore(restoring: Restoring, response: Response, before: Target, after: Target) -> None:
    client = before.scheme, str(before.authority)
    for place, line in enumerate(response.fields.lines):
        if line.key in _ADDRESSES:
            value = restoring.location(line.value.decode("latin-1"), str(after.authority), client)
        elif line.key == b"set-cookie":
            value = restoring.cookie(line.value.decode("latin-1"))
        else:
            continue
        response.fields.lines[place] = field_line(line.name, value)


def _pair(name: str, value: str) -> str:
    return f"{in_query(name, False)}={value}"

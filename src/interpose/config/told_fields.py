"""Which fields of requests tell a server who asks, besides those that browsers have for it.

An answer to somebody is not for others, even where their server forgets to say so. Of credentials caches know that (RFC
9111, 3.5); of fields that stand in their place, only who has them set does (THREATS A14, A15).
"""

from __future__ import annotations

from collections.abc import Iterable

from interpose.config.authentication_tables import named, of_listener, owned_by, routes_of
from interpose.config.edits import edits_for, field_edits
from interpose.config.model import Config, Listener, Route
from interpose.core.query import parse
from interpose.core.query.needs import terms
from interpose.core.query.tree import Phrase
from interpose.core.substitution import Substitution
from interpose.filters.field_edits import FieldEdit
from interpose.protocol.forwarding import CLIENT_CERTIFICATE


def told_fields(config: Config, listener: Listener, route: Route | None) -> tuple[str, ...]:
    """Their names, in lower case: of services that were asked, of certificates, and of edits with what a client says
    of itself, or that are made for some clients only."""
    tables = [*of_listener(config, listener), *(named(config, route.authentication) if route is not None else ())]
    of_routes = [table for other in routes_of(config, listener) for table in named(config, other.authentication)]
    names = owned_by([*tables, *of_routes])
    if listener.role == "gateway" and listener.tls is not None:
        names += [name.decode("ascii") for name in CLIENT_CERTIFICATE]
    names += _telling(route.fields if route is not None else ())
    names += [name for edit in edits_for(config, listener, route) for name in _telling(field_edits(edit))]
    return tuple(sorted({name.lower() for name in names}))


def _telling(edits: Iterable[FieldEdit]) -> list[str]:
    return [edit.name for edit in edits if edit.message == "request" and (_says(edit) or _depends(edit))]


def _says(edit: FieldEdit) -> bool:
    return any(map(_is_of_the_client, Substitution(edit.value).names))


def _depends(edit: FieldEdit) -> bool:
    """Whether it is made for some of those who ask for the same, and not for others."""
    leaves = terms(parse(edit.when)) if edit.when else []
    return any(isinstance(leaf, Phrase) or leaf.word not in _OF_WHAT_IS_ASKED for leaf in leaves)


_OF_WHAT_IS_ASKED = frozenset(("host", "port", "method", "scheme", "path", "url", "query", "listener", "route", "time"))
"""Words whose meaning is in a cache's key, or the same for everybody."""


def _is_of_the_client(name: str) -> bool:
    """Whether a fact differs between clients that ask for the same. (Addresses do, and servers are told them.)"""
    return name == "user" or name.startswith(("cookie.", "field."))

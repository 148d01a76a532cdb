"""From `auth` and `[[authentication]]` to what knows who somebody is.

A table is made once in a worker, whoever names it: what its users tried and what is known of them is the same on every
listener and route. Whether a service is believed to hear of the client what the request says depends on where it is
asked: behind the filter that sees to those fields, or before it.

What is not configured is not imported either: the libraries for hashes and signatures take their time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from interpose.config.authentication_tables import Options, in_words, named, of_listener, owned_by, routes_of
from interpose.config.model import OPEN_ROLES, Config, Listener, Route
from interpose.config.outgoing import service_at
from interpose.config.parts import Parts
from interpose.config.scripts import script_of
from interpose.config.step import Step
from interpose.config.urls import page_of
from interpose.core.fields import Fields
from interpose.core.handler import Phase
from interpose.engine.service_client import ServiceClient
from interpose.filters.authentication.claimed_fields import ClaimedFields
from interpose.filters.authentication.filter import Authentication, Render
from interpose.filters.authentication.verdict import Authenticator
from interpose.net.address import ip_address

if TYPE_CHECKING:
    from interpose.filters.authentication.key_source import KeySource
    from interpose.filters.authentication.passwords import Passwords

log = logging.getLogger("interpose")


def is_told_by_fields(config: Config, listener: Listener) -> bool:
    """Whether who is asked about requests of this listener hears who the client is from the fields of a request.

    Those have to be seen to before: on a gateway. On a proxy everybody is asked first, because credentials for the
    proxy go no further, and only the connection is believed.
    """
    tables = of_listener(config, listener)
    return listener.role not in OPEN_ROLES and any(table.kind == "forward" for table in tables)


def listener_steps(config: Config, listener: Listener, parts: Parts, render: Render) -> list[Step]:
    """The filters of a listener: who it is, and before it what keeps fields that services set from being invented, on
    any route."""
    tables = of_listener(config, listener)
    of_routes = [table for route in routes_of(config, listener) for table in named(config, route.authentication)]
    steps = []
    if names := owned_by([*tables, *of_routes]):
        detail = f"nobody else sets {', '.join(names)}"
        steps.append(Step(Phase.ADMIT, "claimed fields", detail, partial(ClaimedFields, names)))
    if tables:
        is_proxy, is_behind = listener.role in OPEN_ROLES, is_told_by_fields(config, listener)
        make = partial(asked, config, tables, parts, render, proxy=is_proxy, is_behind=is_behind)
        steps.append(Step(Phase.ADMIT, "auth", in_words(tables), make))
    return steps


def route_steps(config: Config, route: Route, parts: Parts, render: Render) -> list[Step]:
    """The filter of a route."""
    tables = named(config, route.authentication)
    make = partial(asked, config, tables, parts, render, proxy=False, is_behind=True)
    return [Step(Phase.ADMIT, "auth", in_words(tables), make)] if tables else []


def asked(
    config: Config, tables: Sequence[Options], parts: Parts, render: Render, *, proxy: bool, is_behind: bool
) -> Authentication:
    """The filter that asks them. ValueError, a sentence, where a file that one of them needs is broken."""
    users = next((_passwords(table, parts) for table in tables if table.kind == "passwords"), None)
    made = [_made(config, table, parts, is_behind=is_behind, is_last=table is tables[-1]) for table in tables]
    return Authentication(
        made,
        users=users,
        proxy=proxy,
        owned=owned_by(tables),
        discards=[one for one, table in zip(made, tables, strict=True) if not table.keep_credentials],
        render=render,
    )


def _made(config: Config, table: Options, parts: Parts, *, is_behind: bool, is_last: bool) -> Authenticator:
    match table.kind:
        case "passwords":
            return _passwords(table, parts)
        case "jwt":
            return _tokens(config, table, parts)
        case "forward":
            return _service(config, table, parts, is_behind=is_behind)
        case "script":
            return _function(config, table, parts, is_last=is_last)


def _passwords(table: Options, parts: Parts) -> Passwords:
    from interpose.filters.authentication.passwords import Passwords

    return parts.get(Passwords, table, partial(Passwords, table))


def _tokens(config: Config, table: Options, parts: Parts) -> Authenticator:
    from interpose.filters.authentication.bearer import Bearer
    from interpose.filters.authentication.key_source import FileKeys

    if not table.jwks_url:
        return parts.get(Bearer, table, lambda: Bearer(table, FileKeys(table)))
    service = service_at(config, parts, table.jwks_url, timeout_s=table.timeout_s, ca_file=table.ca_file)
    return parts.get(Bearer, (table, service), lambda: Bearer(table, _fetched(table, service)))


def _fetched(table: Options, service: ServiceClient) -> KeySource:
    from interpose.filters.authentication.key_source import FetchedKeys

    authority = page_of(table.jwks_url).target.authority
    address = ip_address(authority.host)
    is_here = authority.host == "localhost" or (address is not None and address.is_loopback)
    if table.jwks_url.startswith("http:") and not is_here:
        log.warning("authentication %s: its keys are fetched without TLS; anybody on the way can sign", table.name)
    fields = Fields([("Accept", "application/jwk-set+json, application/json"), ("User-Agent", "interpose")])

    async def fetch() -> bytes:
        said = await service.ask(fields.copy())
        if said.status != 200:
            raise ValueError(f"it answered {said.status}")
        return said.content

    return FetchedKeys(table, fetch)


def _service(config: Config, table: Options, parts: Parts, *, is_behind: bool) -> Authenticator:
    from interpose.filters.authentication.forward import Forward

    service = service_at(config, parts, table.url, timeout_s=table.timeout_s, ca_file=table.ca_file)
    make = partial(Forward, table, service.ask, believes_fields=is_behind)
    return parts.get(Forward, (table, service, is_behind), make)


def _function(config: Config, table: Options, parts: Parts, *, is_last: bool) -> Authenticator:
    from interpose.filters.authentication.function import Function

    assert table.script is not None
    script = script_of(config, table.script, parts)
    if "authenticator" not in script.answers:
        raise ValueError(f"{table.script}: no function is marked with @interpose.authenticator")
    return parts.get(Function, (table, script, is_last), partial(Function, table, script.identity, is_last=is_last))

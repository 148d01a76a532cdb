"""Which `[[authentication]]` tables apply where, and what follows from them by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from interpose.config.model import OPEN_ROLES, Config, Listener, Route
from interpose.filters.authentication.options import AuthenticationOptions

Options = AuthenticationOptions


def of_listener(config: Config, listener: Listener) -> list[Options]:
    """Who is asked about everything that reaches `listener`, in order; nobody where it is for all."""
    if listener.auth is not None:
        return [Options(name="auth", kind="passwords", file=listener.auth)]
    return named(config, listener.authentication)


def named(config: Config, names: Sequence[str]) -> list[Options]:
    """The tables of these names."""
    tables = {table.name: table for table in config.authentication}
    return [tables[name] for name in names if name in tables]


def routes_of(config: Config, listener: Listener) -> list[Route]:
    """The routes of a listener that may ask somebody themselves."""
    if listener.role in OPEN_ROLES:
        return []
    return [route for route in config.routes if not route.listeners or listener.name in route.listeners]


def in_words(tables: Sequence[Options]) -> str:
    """Who is asked, for people."""
    return " or ".join(_word(table) for table in tables)


def _word(table: Options) -> str:
    match table.kind:
        case "passwords":
            return f"users in {table.file}"
        case "jwt":
            return f"tokens of {table.issuer or 'anybody'}, keys in {table.jwks_file or table.jwks_url}"
        case "forward":
            return f"{table.url}; {'let in' if table.on_failure == 'allow' else '503'} when it fails"
        case "script":
            return str(table.script)


def owned_by(tables: Sequence[Options]) -> list[str]:
    """The fields that only services say."""
    return list(dict.fromkeys(name for table in tables for name in table.response_fields if table.kind == "forward"))


def guards(tables: Sequence[Options]) -> bool:
    """Whether somebody unknown is kept out at all times."""
    return bool(tables) and not any(table.kind == "forward" and table.on_failure == "allow" for table in tables)

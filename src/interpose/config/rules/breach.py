"""A broken rule of a configuration as a whole, and what rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from interpose.config.model import OPEN_ROLES, Config, Listener, Route


class Breach(NamedTuple):
    """A broken rule: where, the value there, what to do about it, and the other key paths it follows from."""

    where: str
    value: Any
    message: str
    needs: Sequence[str] = ()


Rule = Callable[[Config], Iterator[Breach]]
"""Yields what breaks it, with key paths as `where`."""

ROLES_OF = {
    "upstream": ("gateway", "relay", "spool"),
    "auth": ("gateway", "proxy", "socks", "auto"),
    "authentication": ("gateway", "proxy", "socks", "auto"),
    "trusted": ("gateway", "proxy", "auto"),
    "allow_upstream": OPEN_ROLES,
    "connect_ports": OPEN_ROLES,
    "through": OPEN_ROLES,
    "pac_exceptions": ("proxy", "auto"),
    "cache": ("gateway", "proxy", "auto"),
    "compression": ("gateway", "proxy", "auto"),
    "redirect_to_https": ("gateway",),
    "udp": ("relay", "echo", "upper"),
    "show": ("relay", "echo", "upper"),
}
"""The keys that only some roles have."""


def numbered(key: str, tables: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each of `tables` with its place: `listener[1]`."""
    return ((f"{key}[{number}]", table) for number, table in enumerate(tables, 1))


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def applies(route: Route, listener: Listener) -> bool:
    """Whether the route is one of this listener's."""
    return not route.listeners or listener.name in route.listeners

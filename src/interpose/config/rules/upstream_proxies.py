"""Upstream proxies are there where they are named, and their chains have an end."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.advice import no_such
from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.engine.upstream_proxies import DIRECT


def _proxies_are_there(config: Config) -> Iterator[Breach]:
    names = {one.name for one in config.upstream_proxies}
    needs = [f"{where}.name" for where, _ in numbered("upstream_proxy", config.upstream_proxies)]
    tables = (
        *numbered("listener", config.listeners),
        *numbered("access", config.access),
        *numbered("upstream_proxy", config.upstream_proxies),
    )
    for where, table in tables:
        may_be_direct = where.startswith("access") and table.through == DIRECT
        if table.through and table.through not in names and not may_be_direct:
            message = no_such("upstream_proxy", table.through, names)
            yield Breach(f"{where}.through", table.through, message, needs)
    for where, rule in numbered("access", config.access):
        if rule.through and rule.action == "deny":
            message = "has no meaning for a rule that lets nothing go on; take it away"
            yield Breach(f"{where}.through", rule.through, message, (f"{where}.action",))


def _proxies_are_told_apart(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, table in numbered("upstream_proxy", config.upstream_proxies):
        if table.name in ("", DIRECT):
            message = "is no name for an upstream proxy; rules say it for none"
            yield Breach(f"{where}.name", table.name, message)
        first = seen.setdefault(table.name, where)
        if first != where:
            yield Breach(f"{where}.name", table.name, f"is the name of {first} already; give each its own")


def _chains_have_an_end(config: Config) -> Iterator[Breach]:
    behind = {one.name: one.through for one in config.upstream_proxies}
    needs = [
        f"{where}.{key}"
        for where, _ in numbered("upstream_proxy", config.upstream_proxies)
        for key in ("name", "through")
    ]
    for where, table in numbered("upstream_proxy", config.upstream_proxies):
        name, steps = table.through, 0
        while name and name != table.name and steps <= len(behind):
            name, steps = behind.get(name, ""), steps + 1
        if name == table.name:
            message = "leads back to this one; let the chain end with a proxy that is reached directly"
            yield Breach(f"{where}.through", table.through, message, needs)


RULES: tuple[Rule, ...] = (_proxies_are_there, _proxies_are_told_apart, _chains_have_an_end)

"""Names are there, differ, and lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from interpose.config.advice import no_such
from interpose.config.model import Config, Listener
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import ROLES_OF, Breach, Rule, numbered


def _has_a_listener(config: Config) -> Iterator[Breach]:
    if not config.listeners:
        yield Breach("listener", ABSENT, "is missing; add a [[listener]] table with address and role")


def _addresses_differ(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, listener in numbered("listener", config.listeners):
        first = seen.setdefault(f"{'udp' if listener.udp else 'tcp'} {listener.address}", where)
        if first != where and not listener.address.endswith(":0"):
            message = f"is the address of {first} already; give each listener its own"
            yield Breach(f"{where}.address", listener.address, message, (f"{first}.address",))


def _names_differ(config: Config) -> Iterator[Breach]:
    named = (
        ("listener", config.listeners),
        ("upstream", config.upstreams),
        ("route", config.routes),
        ("cache", config.caches),
    )
    for key, tables in named:
        seen: dict[str, str] = {}
        for where, table in numbered(key, tables):
            first = seen.setdefault(table.name, where) if table.name else where
            if first != where:
                yield Breach(f"{where}.name", table.name, f"is the name of {first} already; give each {key} its own")
    for where, upstream in numbered("upstream", config.upstreams):
        if not upstream.name:
            yield Breach(f"{where}.name", "", "must not be empty: routes call an upstream by its name")


def _references_lead_somewhere(config: Config) -> Iterator[Breach]:
    upstreams = {table.name for table in config.upstreams}
    needs = [f"{where}.name" for where, _ in numbered("upstream", config.upstreams)]
    for where, table in chain(numbered("listener", config.listeners), numbered("route", config.routes)):
        has_none = isinstance(table, Listener) and table.role not in ROLES_OF["upstream"]
        if table.upstream and table.upstream not in upstreams and not has_none:
            yield Breach(f"{where}.upstream", table.upstream, no_such("upstream", table.upstream, upstreams), needs)
    listeners = {table.name: where for where, table in numbered("listener", config.listeners)}
    needs = [f"{where}.name" for where in listeners.values()]
    users = (
        ("route", config.routes),
        ("script", config.scripts),
        ("error_page", config.error_pages),
        ("access", config.access),
        ("blocklist", config.blocklists),
        ("hold", config.holds),
        ("edit", config.edits),
        ("privacy", config.privacy),
    )
    for where, table in chain.from_iterable(numbered(key, tables) for key, tables in users):
        for number, name in enumerate(table.listeners, 1):
            if name not in listeners:
                yield Breach(f"{where}.listeners[{number}]", name, no_such("listener", name, listeners), needs)
    routes = {table.name: where for where, table in numbered("route", config.routes)}
    needs = [f"{where}.name" for where in routes.values()]
    for where, script in numbered("script", config.scripts):
        for number, name in enumerate(script.routes, 1):
            if name not in routes:
                yield Breach(f"{where}.routes[{number}]", name, no_such("route", name, routes), needs)


RULES: tuple[Rule, ...] = (
    _has_a_listener,
    _addresses_differ,
    _names_differ,
    _references_lead_somewhere,
)

"""Routes belong to gateways, lead somewhere, and can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from interpose.config.model import Config
from interpose.config.problem import ABSENT, shown
from interpose.config.rules.breach import Breach, Rule, numbered


def _routes_belong_to_gateways(config: Config) -> Iterator[Breach]:
    others = {
        table.name: (f"{where}.role", table.role)
        for where, table in numbered("listener", config.listeners)
        if table.role != "gateway"
    }
    for where, route in numbered("route", config.routes):
        for number, name in enumerate(route.listeners, 1):
            if name in others:
                place, role = others[name]
                message = f"has the role {shown(role)}; routes belong to gateways"
                yield Breach(f"{where}.listeners[{number}]", name, message, (place,))


def _routes_have_one_end(config: Config) -> Iterator[Breach]:
    for where, route in numbered("route", config.routes):
        needs = (f"{where}.upstream", f"{where}.answer")
        if route.upstream and route.answer:
            yield Breach(where, ABSENT, "has both upstream and answer; keep one", needs)
        elif not route.upstream and not route.answer:
            yield Breach(where, ABSENT, "leads nowhere; give upstream or answer", needs)
        elif route.answer and route.answer.status in (204, 304) and route.answer.text:
            message = "is a status whose answer has no content; take the text away, or choose another"
            yield Breach(f"{where}.answer.status", route.answer.status, message)


def _routes_can_be_told_apart(config: Config) -> Iterator[Breach]:
    seen: dict[tuple[object, ...], str] = {}
    for where, route in numbered("route", config.routes):
        for case in product(route.listeners or ("",), route.hosts or ("",), route.methods or ("",)):
            first = seen.setdefault((*case, route.path, route.exact), where)
            if first != where:
                message = f"takes the same requests as {first}; let them differ in listeners, hosts, path or methods"
                keys = ("listeners", "hosts", "path", "exact", "methods")
                yield Breach(where, ABSENT, message, [f"{table}.{key}" for table in (where, first) for key in keys])
                break


RULES: tuple[Rule, ...] = (
    _routes_belong_to_gateways,
    _routes_have_one_end,
    _routes_can_be_told_apart,
)

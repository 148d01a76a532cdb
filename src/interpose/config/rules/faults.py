"""Faults befall what can have them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from interpose.config.faults import befallen
from interpose.config.model import Config, Listener
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.fault import EXCHANGES, KINDS, complaints


def _faults_fit(config: Config) -> Iterator[Breach]:
    places = [
        (f"{where}.fault", table.faults, befallen(table) if isinstance(table, Listener) else (EXCHANGES,), f"{where}.")
        for where, table in chain(numbered("listener", config.listeners), numbered("route", config.routes))
    ]
    for key, faults, who, above in places:
        for where, fault in numbered(key, faults):
            needs = (f"{where}.kind", f"{above}role", f"{above}udp")
            if not set(who) & set(KINDS[fault.kind].befalls):
                known = ", ".join(kind for kind, rule in KINDS.items() if set(who) & set(rule.befalls))
                message = f"does not befall {' or '.join(who)}; here there are {known}"
                yield Breach(f"{where}.kind", fault.kind, message, needs)
            for option, message in complaints(fault):
                options = [f"{where}.{name}" for name in KINDS[fault.kind].takes]
                value = getattr(fault, option) if option else ABSENT
                yield Breach(f"{where}.{option}" if option else where, value, message, (*needs, *options))


RULES: tuple[Rule, ...] = (_faults_fit,)

"""What the faults of a configuration befall, and the parts that make them happen.

Faults of a listener are of its connections, or of its datagrams; the kinds that only exchanges know are of all
exchanges of a listener that speaks HTTP. Faults of a route are of its exchanges. The parts outlive a reload that leaves
their faults as they are, so that their chances go on where they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal

from interpose.config.model import Listener, Route
from interpose.config.parts import Parts
from interpose.core.fault import CONNECTIONS, DATAGRAMS, EXCHANGES, KINDS, Chances, Fault, affects, spelled
from interpose.engine.datagram_faults import DatagramFaults

_WITH_EXCHANGES = ("gateway", "proxy", "auto")


def befallen(listener: Listener) -> tuple[str, ...]:
    """What faults of `listener` can befall."""
    if listener.udp:
        return (DATAGRAMS,)
    return (CONNECTIONS, EXCHANGES) if listener.role in _WITH_EXCHANGES else (CONNECTIONS,)


def of_connections(listener: Listener) -> tuple[Fault, ...]:
    """The faults of its connections."""
    return () if listener.udp else tuple(one for one in listener.faults if CONNECTIONS in KINDS[one.kind].befalls)


def of_exchanges(listener: Listener) -> tuple[Fault, ...]:
    """The faults of all its exchanges: those that connections and datagrams cannot have."""
    return tuple(one for one in listener.faults if KINDS[one.kind].befalls == (EXCHANGES,))


def connection_chances(listener: Listener, parts: Parts) -> Chances | None:
    """What decides about each connection; None when there are no faults."""
    return _chances("connections", listener.name, of_connections(listener), parts)


def exchange_chances(listener: Listener, route: Route | None, parts: Parts) -> list[Chances]:
    """What decides about each exchange of a route: chances of the listener, and of the route."""
    both = [
        _chances("listener", listener.name, of_exchanges(listener), parts),
        None if route is None else _chances("route", f"{listener.name} {route.name}", route.faults, parts),
    ]
    return [chances for chances in both if chances is not None]


def datagram_faults(
    listener: Listener, direction: Literal["inbound", "outbound"], parts: Parts
) -> DatagramFaults | None:
    """What each datagram of a direction passes through; None when there are no faults."""
    faults = tuple(one for one in listener.faults if affects(one, direction))
    if not faults:
        return None
    clock = asyncio.get_running_loop()
    key = (direction, listener.name, faults)
    return parts.get(DatagramFaults, key, lambda: DatagramFaults(faults, direction, clock))


def faults_total(parts: Parts) -> float:
    """Faults that have befallen something."""
    makers: Iterable[Chances | DatagramFaults] = [*parts.every(Chances), *parts.every(DatagramFaults)]
    return float(sum(maker.drawn for maker in makers))


def in_words(faults: Iterable[Fault]) -> str:
    """Faults as one writes them."""
    return ", ".join(map(spelled, faults))


def _chances(what: str, name: str, faults: tuple[Fault, ...], parts: Parts) -> Chances | None:
    return parts.get(Chances, (what, name, faults), lambda: Chances(faults)) if faults else None

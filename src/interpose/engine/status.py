"""The status of an instance as plain values: what `interpose status`, the console and monitoring see."""

from __future__ import annotations

import time
from typing import Any

from interpose.core.tally import Tallies, Tally
from interpose.core.version import __version__
from interpose.engine.child import Child
from interpose.engine.crew import Crew
from interpose.engine.listening_sockets import ListeningSockets
from interpose.engine.reload import Reload


def status_of(reloading: Reload, crew: Crew, sockets: ListeningSockets) -> dict[str, Any]:
    """What runs and what it has done. Times are seconds since something began, never clock times."""
    return {
        "name": reloading.plan.name,
        "version": __version__,
        "generation": crew.generation,
        "reloads": {
            "done": reloading.done,
            "failed": reloading.failed,
            "errors": list(reloading.last.errors) if reloading.last is not None else [],
        },
        "listeners": [
            {"name": group.listener.name, "role": group.listener.role, "address": group.address, "url": group.url}
            for group in sockets.groups.values()
        ],
        "workers": [_worker(crew, child) for child in sorted(crew.children, key=_order)] + _dead(crew),
        "restarts": sum(slot.restarts for slot in crew.slots.values()),
        "counters": counters_of(crew),
    }


def counters_of(crew: Crew) -> dict[str, float]:
    """The workers' counters added up. What only grows includes workers that are gone, so that it never falls."""
    sums = dict(crew.retired)
    for child in crew.children:
        for name, value in child.counters.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def tallies_of(crew: Crew) -> list[Tally]:
    """What all workers counted by route and server, gone ones included, added up."""
    sums = Tallies(crew.retired_tallies)
    for child in crew.children:
        sums.add(child.tallies)
    return list(sums)


def _worker(crew: Crew, child: Child) -> dict[str, Any]:
    slot = crew.slots.get(child.slot)
    counters = child.counters
    return {
        "number": child.slot,
        "pid": child.pid,
        "state": child.state.value,
        "generation": child.generation,
        "uptime_s": round(time.monotonic() - child.started, 3),
        "restarts": slot.restarts if slot is not None else 0,
        "connections": counters.get("connections", 0.0),
        "requests": counters.get("requests_total", 0.0),
        "requests_per_s": round(child.requests_per_s, 1),
        "memory_bytes": counters.get("memory_bytes", 0.0),
        "counters": counters,
    }


def _dead(crew: Crew) -> list[dict[str, Any]]:
    """Slots whose worker died and is not started again yet."""
    return [
        {"number": number, "pid": None, "state": "dead", "restarts": slot.restarts}
        for number, slot in crew.slots.items()
        if slot.child is None and slot.successor is None
    ]


def _order(child: Child) -> tuple[int, float]:
    return child.slot, child.started

"""Relays that lead to themselves, found before anything runs. A name is looked up later, when it is connected to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from interpose.config.kinds import address_of
from interpose.config.model import Config, Listener
from interpose.net.address import parse_address
from interpose.net.policy import leads_to


class Loop(NamedTuple):
    """A server of a relay, by its key path, from which connections come back to the relay."""

    relay: str
    place: str
    server: str
    message: str


class _Step(NamedTuple):
    """A server of a relay that is a relay of the same configuration."""

    place: str
    server: str
    next: int


def loops(config: Config) -> Iterator[Loop]:
    """Every server that leads a relay back to itself, at once or by way of other relays."""
    relays = {
        number: one for number, one in enumerate(config.listeners, 1) if one.role in ("relay", "spool") and one.address
    }
    steps = {number: list(_steps(config, relay, relays)) for number, relay in relays.items()}
    for number in relays:
        for step in steps[number]:
            if number in _reached_from(step.next, steps):
                relay = f"listener[{number}]"
                itself = "is this relay itself" if step.next == number else f"is a relay that leads back to {relay}"
                message = f"{itself}, so that connections would go round for ever; name another server"
                yield Loop(relay, step.place, step.server, message)


def _reached_from(first: int, steps: dict[int, list[_Step]]) -> set[int]:
    """The relay `first` and all that it leads to."""
    reached, ahead = {first}, [first]
    while ahead:
        for step in steps[ahead.pop()]:
            if step.next not in reached:
                reached.add(step.next)
                ahead.append(step.next)
    return reached


def _steps(config: Config, relay: Listener, relays: dict[int, Listener]) -> Iterator[_Step]:
    for number, upstream in enumerate(config.upstreams, 1):
        if upstream.name != relay.upstream:
            continue
        for place, server in enumerate(upstream.servers, 1):
            for other, listener in relays.items():
                is_same_kind = listener.udp == relay.udp
                if is_same_kind and leads_to(address_of(server), parse_address(listener.address)):
                    yield _Step(f"upstream[{number}].servers[{place}]", server, other)

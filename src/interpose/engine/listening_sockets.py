"""The listening sockets of an instance, kept across reloads and across the deaths of workers.

A TCP or UDP listener has one socket for each worker (SO_REUSEPORT: the kernel spreads connections, or the senders of
datagrams, over them), a Unix listener has one that all share. A socket is never closed while its listener exists, even
when there are fewer workers than before, because closing it would reset the connections that wait in its queue. So some
sockets have no worker of their own at times, and `assign` says who accepts from them meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from interpose.engine.plan import ListenerPlan
from interpose.net.listen import address_of, bind
from interpose.net.pairs import close_all
from interpose.net.udp import bind_datagrams

log = logging.getLogger("interpose")


class ListeningSocket(NamedTuple):
    """One socket. `home` is the slot of the worker it is meant for, None when all workers share it."""

    number: int
    home: int | None
    socket: Any


class Group(NamedTuple):
    """A listener and its sockets."""

    listener: ListenerPlan
    sockets: tuple[ListeningSocket, ...]
    address: str
    """Where it really listens: the port that 0 became."""

    @property
    def url(self) -> str:
        """The address as a person would use it."""
        return self.address if self.address.startswith("unix:") else f"{self.listener.scheme}://{self.address}"

    def named(self, listener: ListenerPlan) -> Group:
        """The same sockets under the name and role that they have in a new plan."""
        return self._replace(listener=listener)


Bind = Callable[..., Any]


class ListeningSockets:
    """All sockets. A reload calls `stage` and then either `swap`, `extend` and `discard`, or `abandon`."""

    def __init__(self, bind_socket: Bind = bind, bind_for_datagrams: Bind = bind_datagrams) -> None:
        self.groups: dict[str, Group] = {}
        self._numbers = itertools.count(1)
        self._bind_socket = bind_socket
        self._bind_for_datagrams = bind_for_datagrams

    def __iter__(self) -> Iterator[ListeningSocket]:
        return itertools.chain.from_iterable(group.sockets for group in self.groups.values())

    def stage(self, listeners: Sequence[ListenerPlan], workers: int) -> dict[str, Group]:
        """The groups for `listeners`: those that are open already, and new ones.

        ValueError, one line for each that cannot be had; nothing was opened then.
        """
        staged: dict[str, Group] = {}
        errors: list[str] = []
        for listener in listeners:
            before = self.groups.get(listener.key)
            try:
                staged[listener.key] = self._opened(listener, workers) if before is None else before.named(listener)
            except ValueError as error:
                errors.append(f"listener {listener.name!r}: {error}")
        if errors:
            self.abandon(staged)
            raise ValueError("\n".join(errors))
        return staged

    def abandon(self, staged: Mapping[str, Group]) -> None:
        """Close what was opened for `staged`."""
        self.discard([group for key, group in staged.items() if key not in self.groups])

    def swap(self, staged: dict[str, Group]) -> list[Group]:
        """`staged` is what there is from now on. Returns what is to be discarded once no worker accepts from it."""
        gone = [group for key, group in self.groups.items() if key not in staged]
        self.groups = staged
        return gone

    def extend(self, workers: int) -> None:
        """Have a socket for each of `workers` in every group that is not shared.

        Only when it is certain that somebody will accept from them: the kernel gives them connections at once.
        """
        for key, group in self.groups.items():
            if group.sockets[0].home is None or len(group.sockets) >= workers:
                continue
            try:
                self.groups[key] = group._replace(
                    sockets=self._grown(group.listener, group.sockets, group.address, workers)
                )
            except ValueError as error:
                log.error("listener %r has fewer sockets than workers: %s", group.listener.name, error)

    def discard(self, groups: Iterable[Group]) -> None:
        """Close the sockets of `groups`, as far as this process is concerned."""
        for group in groups:
            close_all([sock.socket for sock in group.sockets])
            if group.address.startswith("unix:"):
                with contextlib.suppress(OSError):
                    os.unlink(group.address.removeprefix("unix:"))

    def _opened(self, listener: ListenerPlan, workers: int) -> Group:
        # A port that is ours already (127.0.0.1:8080 becomes 0.0.0.0:8080) is no stranger's: there is nothing to probe.
        same_kind = [group for group in self.groups.values() if group.listener.udp == listener.udp]
        is_own = _port_of(listener.address) in {_port_of(group.address) for group in same_kind}
        first = self._binding(listener)(listener.address, reuse_port=True, probe=not is_own)
        address = address_of(first)
        if address.startswith("unix:"):
            return Group(listener, (ListeningSocket(next(self._numbers), None, first),), address)
        sockets = (ListeningSocket(next(self._numbers), 0, first),)
        try:
            return Group(listener, self._grown(listener, sockets, address, workers), address)
        except ValueError:
            first.close()
            raise

    def _binding(self, listener: ListenerPlan) -> Bind:
        return self._bind_for_datagrams if listener.udp else self._bind_socket

    def _grown(
        self, listener: ListenerPlan, sockets: tuple[ListeningSocket, ...], address: str, workers: int
    ) -> tuple[ListeningSocket, ...]:
        grown = list(sockets)
        try:
            for home in range(len(sockets), workers):
                sock = self._binding(listener)(address, reuse_port=True, probe=False)
                grown.append(ListeningSocket(next(self._numbers), home, sock))
        except ValueError:
            close_all([sock.socket for sock in grown[len(sockets) :]])
            raise
        return tuple(grown)


def _port_of(address: str) -> str:
    return address if address.startswith("unix:") else address.rpartition(":")[2]


def assign(
    groups: Iterable[Sequence[tuple[int, int | None]]], sound: Set[int], stalled: Set[int] = frozenset()
) -> dict[int, set[int]]:
    """Which slot's worker accepts from which sockets, so that no connection waits for a worker that is not there.

    `groups` holds, for each listener, (number, home) of its sockets. `sound` slots have a worker that answers; that of
    a `stalled` one needs help: it keeps what it has, and others accept from the same sockets.
    """
    assigned: dict[int, set[int]] = {slot: set() for slot in (*sound, *stalled)}
    for group in groups:
        orphans: list[int] = []
        load = dict.fromkeys(sorted(sound), 0)
        for number, home in group:
            for slot in assigned if home is None else assigned.keys() & {home}:
                assigned[slot].add(number)
            if home in load:
                load[home] += 1
            elif home is not None:
                orphans.append(number)
        for number in orphans if load else ():
            adopter = min(load, key=lambda slot: load[slot])
            load[adopter] += 1
            assigned[adopter].add(number)
    return assigned

"""Who belongs to a group, where its servers are named: followed as the name servers' answers change.

    every second:  names ──(remembered for their TTL)──> addresses, services ──> members, when they are others now

A server that is no longer among the answers gets no new requests; what it has begun it may finish. While no name server
answers, everybody stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.upstream.group import Member

log = logging.getLogger("interpose")

Resolve = Callable[[str], Awaitable[Sequence[object]]]
"""The addresses of a name."""


class Offer(NamedTuple):
    """A server that a service has: see `net.services.Service`."""

    host: str
    port: int
    priority: int
    weight: int


Services = Callable[[str], Awaitable[Sequence[tuple[str, int, int, int]]]]
"""The `Offer`s of a service, as tuples."""


class Named(NamedTuple):
    """A member whose addresses are members of their own."""

    member: Member


class Offered(NamedTuple):
    """Members that a service has. `scheme` is what is spoken with them, `limit` that of each."""

    service: str
    scheme: str
    limit: int = 0


Source = Member | Named | Offered
Found = tuple[str, ...] | tuple[Offer, ...]
"""What was looked up: the addresses of a name, or the servers of a service."""


class Membership:
    """The members of one group. `have` is told of them whenever they are others."""

    def __init__(self, name: str, have: Callable[[Sequence[Member]], None]) -> None:
        self._name = name
        self._have = have
        self._sources: Sequence[Source] = ()
        self._known: dict[tuple[type, str], Found] = {}
        self._looking: asyncio.Task[None] | None = None
        self._failing: set[tuple[type, str]] = set()
        self.resolve: Resolve | None = None
        self.services: Services | None = None

    def configure(self, sources: Sequence[Source]) -> list[Member]:
        """Follow these from now on; the members as far as they are known. A name stands for itself until it was looked
        up. What is known of names stays, whatever else is said of them now."""
        self._sources = sources
        keys = [_key(source) for source in sources]
        self._known = {key: self._known[key] for key in keys if key in self._known}
        return self._members()

    def tick(self) -> None:
        """Once a second: look whether anything has changed."""
        if self._looking is None and any(not isinstance(source, Member) for source in self._sources):
            self._looking = asyncio.get_running_loop().create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def end(self) -> None:
        """Look no more."""
        self._sources = ()
        if self._looking is not None:
            self._looking.cancel()

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("upstream %s: its servers could not be looked up", self._name, exc_info=error)

    async def _look(self) -> None:
        before = self._members()
        for source in list(self._sources):
            key = _key(source)
            try:
                found = await self._found(source)
            except Failure as failure:
                if key not in self._failing:
                    self._failing.add(key)
                    log.warning("upstream %s: %s Its servers stay as they were.", self._name, failure.detail)
                continue
            self._failing.discard(key)
            if found is not None and source in self._sources:
                self._known[key] = found
        members = self._members()
        if members != before:
            shown = ", ".join(str(member.origin) for member in members)
            log.info("upstream %s: its servers are now %s", self._name, shown)
            self._have(members)

    async def _found(self, source: Source) -> Found | None:
        match source:
            case Named(member) if self.resolve is not None:
                return tuple(sorted(map(str, await self.resolve(member.origin.host))))
            case Offered(service) if self.services is not None:
                return tuple(Offer(*one) for one in await self.services(service))
        return None

    def _members(self) -> list[Member]:
        found: dict[Origin, Member] = {}
        for source in self._sources:
            for member in _members_of(source, self._known.get(_key(source))):
                found.setdefault(member.origin, member)
        return list(found.values())


def _key(source: Source) -> tuple[type, str]:
    """What is looked up for a source."""
    match source:
        case Named(member):
            return Named, member.origin.host
        case Offered(service):
            return Offered, service
    return Member, str(source.origin)


def _members_of(source: Source, known: Found | None) -> list[Member]:
    match source:
        case Named(member):
            addresses = [one for one in known or () if isinstance(one, str)]
            return [member._replace(origin=member.origin._replace(at=one)) for one in addresses] or [member]
        case Offered(_, scheme, limit):
            offers = [one for one in known or () if isinstance(one, Offer)]
            return [
                Member(Origin(scheme, one.host, one.port), 1.0 * max(one.weight, 1), limit, one.priority)
                for one in offers
            ]
    return [source]

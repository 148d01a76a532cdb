"""SRV records: which servers offer a service, and which of them first (RFC 2782).

Asked and remembered as addresses are (`net.resolve`): for as long as their TTL says, and on while nobody answers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiodns
import pycares

from interpose.core.failure import Failure, Side
from interpose.net.address import is_name
from interpose.net.resolve import NameUnknown, ResolveOptions

MAX_SERVERS = 256


class Service(NamedTuple):
    """One server. A lower `priority` comes first; `weight` is its share among those of the same."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0


class Services(NamedTuple):
    """The servers of a service and for how many seconds they hold."""

    servers: tuple[Service, ...]
    ttl_s: float


LookupServices = Callable[[str], Awaitable[Services]]
"""Asks once; raises `Failure` (dns_timeout, dns_error)."""


class ServiceResolver:
    """Looks services up and remembers them. `lookup` and `clock` (monotonic seconds) are for tests."""

    def __init__(
        self,
        options: ResolveOptions | None = None,
        *,
        lookup: LookupServices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or ResolveOptions()
        self._system = None if lookup is not None else _SystemLookup(self._options)
        self._lookup: LookupServices = lookup or self._ask_system
        self._clock = clock
        self._known: dict[str, tuple[tuple[Service, ...], float]] = {}

    async def __call__(self, name: str) -> tuple[Service, ...]:
        """The servers of `name`, at least one. What was known serves on while it cannot be asked."""
        known, until = self._known.get(name, ((), -math.inf))
        now = self._clock()
        if now < until:
            return known
        options = self._options
        try:
            servers, ttl_s = await self._lookup(name)
        except Failure:
            if not known:
                raise
            self._known[name] = known, now + options.negative_ttl_s
            return known
        until = self._clock() + min(max(ttl_s, options.min_ttl_s), options.max_ttl_s)
        self._known[name] = servers[:MAX_SERVERS], until
        return servers[:MAX_SERVERS]

    async def close(self) -> None:
        """Stop the resolver's thread."""
        if self._system is not None:
            await self._system.close()

    async def _ask_system(self, name: str) -> Services:
        assert self._system is not None
        return await self._system(name)


class _SystemLookup:
    """The lookup of c-ares. Its thread starts with the first question."""

    def __init__(self, options: ResolveOptions) -> None:
        self._options = options
        self._resolver: aiodns.DNSResolver | None = None

    async def __call__(self, name: str) -> Services:
        options = self._options
        try:
            if self._resolver is None:
                self._resolver = aiodns.DNSResolver(
                    nameservers=options.servers or None, timeout=options.timeout_s, tries=options.tries
                )
            async with asyncio.timeout(options.timeout_s * options.tries):
                result = await self._resolver.query_dns(name, "SRV")
        except TimeoutError:
            detail = f"No name server answered for the service '{name}' within {options.timeout_s * options.tries:g} s."
            raise Failure("dns_timeout", Side.UPSTREAM, detail) from None
        except (aiodns.error.DNSError, pycares.AresError) as error:
            if error.args[0] in (pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA):
                raise NameUnknown(name) from None
            words = str(error.args[-1]).rstrip(".").lower()
            raise Failure("dns_error", Side.UPSTREAM, f"'{name}' could not be looked up: {words}.") from None
        return services_in(name, [(record.ttl, record.data) for record in result.answer])

    async def close(self) -> None:
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None


def services_in(name: str, records: list[tuple[int, object]]) -> Services:
    """The services among the records of an answer, in the order of their priority. A lone "." means that there is none
    (RFC 2782, Target); nor is one at a port 0, or at what is no name of a host: DNS has names of any octets."""
    found = []
    ttl_s = math.inf
    for ttl, data in records:
        if isinstance(data, pycares.SRVRecordData):
            ttl_s = min(ttl_s, ttl)
            host = data.target.lower().rstrip(".")
            if is_name(host) and data.port:
                found.append(Service(host, data.port, data.priority, data.weight))
    if not found:
        raise NameUnknown(name)
    return Services(tuple(sorted(found, key=lambda one: (one.priority, one.host, one.port))), ttl_s)

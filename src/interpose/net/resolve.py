"""Names to addresses, remembered for as long as their TTL says (F11).

One `Resolver` serves one process. Questions go out through c-ares (hosts file and system configuration included), never
through threads that a slow name could fill up. A name is asked for once, however many wait for it; an answer is kept
for its TTL, between one second and one hour, a refusal for five seconds; and when no name server answers, what expired
less than five minutes ago serves on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import aiodns
import pycares
from msgspec import Struct

from interpose.core.failure import Failure, Side
from interpose.net.address import IPAddress, ip_address, is_name, looks_numeric

LOCALHOST: tuple[IPAddress, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


class ResolveOptions(Struct, frozen=True, kw_only=True):
    """How names of servers are looked up."""

    servers: tuple[str, ...] = ()
    """Name servers to ask, as `address` or `address:port`. Empty: those of the system."""

    timeout_s: float = 2.0
    """How long one question may take."""

    tries: int = 2
    """How often it is asked."""

    max_names: int = 10_000
    """Names that one process remembers."""

    min_ttl_s: float = 1.0
    """The shortest time an answer is kept, whatever its TTL."""

    max_ttl_s: float = 3600.0
    """The longest time an answer is kept, whatever its TTL."""

    negative_ttl_s: float = 5.0
    """How long a name that has no address is not asked for again."""

    stale_s: float = 300.0
    """How long after its end an answer still serves when no new one is to be had."""


class Answer(NamedTuple):
    """The addresses of a name and for how many seconds they hold."""

    addresses: tuple[IPAddress, ...]
    ttl_s: float


class NameUnknown(Failure):
    """The name servers know that there is no such name, or no address of it; not a sign of trouble."""

    def __init__(self, host: str) -> None:
        super().__init__("dns_error", Side.UPSTREAM, f"The name '{host}' has no address.")


Lookup = Callable[[str], Awaitable[Answer]]
"""Asks for a name once; raises `Failure` (dns_timeout, dns_error)."""

MAX_ADDRESSES = 32

# ARES_AI_NOSORT, which pycares does not name. Sorting opens a socket for every address; `dial` has an order of its own.
_NOSORT = 1 << 7


class _Entry:
    """What is known of one name. The answer is good until `good_until`; nobody asks again before `ask_at`.

    They differ when the last question went unanswered (`is_stale`): then the old answer serves while it is asked again.
    """

    __slots__ = ("answer", "ask_at", "failure", "good_until", "is_stale", "question")

    def __init__(self) -> None:
        self.answer: tuple[IPAddress, ...] = ()
        self.failure: Failure | None = None
        self.good_until = self.ask_at = -math.inf
        self.is_stale = False
        self.question: asyncio.Task[tuple[IPAddress, ...]] | None = None


class Resolver:
    """Looks names up and remembers them. `lookup` and `clock` (monotonic seconds) are for tests."""

    def __init__(
        self,
        options: ResolveOptions | None = None,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or ResolveOptions()
        self._system = None if lookup is not None else SystemLookup(self._options)
        self._lookup: Lookup = lookup or self._ask_system
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    async def __call__(self, host: str) -> tuple[IPAddress, ...]:
        """The addresses of `host`, at least one. `Failure` dns_timeout or dns_error when there is none."""
        host = host.lower().removesuffix(".")
        entry = self._entries.get(host) or self._remember(host)
        now = self._clock()
        if entry.question is None:
            if now < entry.ask_at:
                if entry.failure is not None:
                    raise Failure(entry.failure.kind, entry.failure.side, entry.failure.detail)
                return entry.answer
            entry.question = asyncio.get_running_loop().create_task(self._ask(host, entry))
            entry.question.add_done_callback(_retrieve)
        if entry.is_stale and now < entry.good_until + self._options.stale_s:
            return entry.answer
        # The question outlives who asked first: others may wait for it as well.
        return await asyncio.shield(entry.question)

    async def close(self) -> None:
        """Give up what is being asked and stop the resolver's thread."""
        questions = [entry.question for entry in self._entries.values() if entry.question is not None]
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        if self._system is not None:
            await self._system.close()

    def _remember(self, host: str) -> _Entry:
        known = _known(host)
        while len(self._entries) >= self._options.max_names:
            oldest = next((name for name, entry in self._entries.items() if entry.question is None), None)
            if oldest is None:
                raise Failure("dns_error", Side.INTERNAL, "Too many names are being looked up at the same time.")
            del self._entries[oldest]
        entry = self._entries[host] = _Entry()
        if known:
            entry.answer, entry.ask_at = known, math.inf
        return entry

    async def _ask(self, host: str, entry: _Entry) -> tuple[IPAddress, ...]:
        options = self._options
        try:
            addresses, ttl_s = await self._lookup(host)
        except Failure as failure:
            now = self._clock()
            entry.ask_at = now + options.negative_ttl_s
            entry.is_stale = not isinstance(failure, NameUnknown) and now < entry.good_until + options.stale_s
            if entry.is_stale:
                return entry.answer
            entry.failure = failure
            raise
        else:
            entry.answer = addresses[:MAX_ADDRESSES]
            entry.failure = None
            entry.is_stale = False
            entry.good_until = entry.ask_at = self._clock() + min(max(ttl_s, options.min_ttl_s), options.max_ttl_s)
            return entry.answer
        finally:
            entry.question = None

    async def _ask_system(self, host: str) -> Answer:
        assert self._system is not None
        return await self._system(host)


def _known(host: str) -> tuple[IPAddress, ...]:
    """The addresses that `host` has without asking, none when it must be looked up; `Failure` when it cannot be."""
    literal = ip_address(host)
    if literal is not None and "%" not in host:
        return (literal,)
    if looks_numeric(host):
        detail = f"'{host[:100]}' is no address in its usual form: four numbers from 0 to 255 with dots between."
        raise Failure("destination_ip_prohibited", Side.DOWNSTREAM, detail)
    if not is_name(host):
        raise Failure("dns_error", Side.DOWNSTREAM, f"'{host[:100]}' is not a name that can be looked up.")
    return LOCALHOST if host == "localhost" or host.endswith(".localhost") else ()


def _retrieve(question: asyncio.Task[tuple[IPAddress, ...]]) -> None:
    """Nobody may be left who waits for the answer."""
    if not question.cancelled():
        question.exception()


class SystemLookup:
    """The `Lookup` of c-ares. Its thread starts with the first question."""

    def __init__(self, options: ResolveOptions) -> None:
        self._options = options
        self._resolver: aiodns.DNSResolver | None = None

    async def __call__(self, host: str) -> Answer:
        """Ask for both families at once."""
        options = self._options
        try:
            if self._resolver is None:
                self._resolver = aiodns.DNSResolver(
                    nameservers=options.servers or None, timeout=options.timeout_s, tries=options.tries
                )
            async with asyncio.timeout(options.timeout_s * options.tries):
                result = await self._resolver.getaddrinfo(
                    host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=_NOSORT
                )
        except TimeoutError:
            detail = f"No name server answered for '{host}' within {options.timeout_s * options.tries:g} s."
            raise Failure("dns_timeout", Side.UPSTREAM, detail) from None
        except (aiodns.error.DNSError, pycares.AresError) as error:
            raise _failure(host, error) from None
        if not result.nodes:
            raise NameUnknown(host)
        return Answer(tuple(_addresses(result.nodes)), min(node.ttl for node in result.nodes))

    async def close(self) -> None:
        """Stop the thread."""
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None


def _addresses(nodes: Iterable[pycares.AddrInfoNode]) -> Iterable[IPAddress]:
    for node in nodes:
        host = node.addr[0]
        yield ipaddress.ip_address(host.decode("ascii") if isinstance(host, bytes) else host)


def _failure(host: str, error: Exception) -> Failure:
    number, words = error.args[0], str(error.args[-1]).rstrip(".").lower()
    if number in (pycares.errno.ARES_ETIMEOUT, pycares.errno.ARES_ECONNREFUSED):
        return Failure("dns_timeout", Side.UPSTREAM, f"No name server answered for '{host}': {words}.")
    if number in (pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA):
        return NameUnknown(host)
    return Failure("dns_error", Side.UPSTREAM, f"The name '{host}' could not be looked up: {words}.")

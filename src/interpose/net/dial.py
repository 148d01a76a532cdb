"""Dialling: from an origin to a connected stream.

The name is looked up once, every address is judged, and connections are tried in the manner of RFC 8305 ("happy
eyeballs"): families take turns, the next address is tried when the one before has failed or has not answered within a
quarter of a second, the first connection wins and the others are given up. Each try goes to an address that was judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream
from interpose.core.target import Origin
from interpose.net.address import IPAddress
from interpose.net.errors import failure_of
from interpose.net.keepalive import keep_alive
from interpose.net.policy import Policy, unmapped
from interpose.net.stream import Owner, SocketStream
from interpose.net.tls import ClientContexts

MAX_TRIES = 8


class DialOptions(Struct, frozen=True, kw_only=True):
    """Connections to servers."""

    connect_timeout_s: float = 10.0
    """For a connection to a server, the lookup of its name not included, TLS included."""

    stagger_s: float = 0.25
    """How long one address is waited for before the next is tried beside it (RFC 8305, 5)."""

    verify: bool = True
    """Whether the certificate of an https server must be valid for its name."""

    ca_file: str | None = None
    """Certificates of the authorities to believe, in PEM, instead of the system's."""


Secure = Callable[[Stream, str, float], Awaitable[None]]
"""Continues a stream in TLS with a host, within so many seconds (`net.origin_tls`); else `Failure`."""


class Dialler:
    """Connects to origins; one for each listener or upstream that has a policy or TLS settings of its own.

    `policy` judges every address, except of origins that the operator configured (`configured=True`). `secure` speaks
    TLS with https origins, instead of what the options say.
    """

    def __init__(
        self,
        resolve: Callable[[str], Awaitable[Sequence[IPAddress]]],
        options: DialOptions | None = None,
        *,
        policy: Policy | None = None,
        contexts: ClientContexts | None = None,
        secure: Secure | None = None,
        owner: Owner | None = None,
    ) -> None:
        self.policy = policy
        self._resolve = resolve
        self._options = options or DialOptions()
        self._owner = owner
        self._contexts = contexts or ClientContexts()
        self._secure = secure

    def prepare(self) -> None:
        """Load the authorities now instead of with the first https origin. `ValueError` when they cannot be used."""
        self._contexts(self._options.ca_file, self._options.verify)

    async def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> SocketStream:
        """A stream connected to `origin`, in TLS for https and tls; `attempt` is told what happened. Else `Failure`.

        `opening` is sent as soon as the connection is there, before TLS begins.
        """
        addresses = None if origin.scheme == "unix" else await self.judged(origin, configured=configured)
        stream: SocketStream | None = None
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                if addresses is None:
                    loop = asyncio.get_running_loop()
                    _, stream = await loop.create_unix_connection(self._make_stream, origin.host)
                else:
                    stream = await self._race(addresses, origin.port)
                if opening:
                    stream.write(opening)
                if origin.scheme == "https" and self._secure is not None:
                    await self._secure(stream, origin.host, self._options.connect_timeout_s)
                elif origin.scheme in ("https", "tls"):
                    # What is spoken inside `tls` is not ours to say, so no protocol is offered.
                    context = self._contexts(self._options.ca_file, self._options.verify, http=origin.scheme == "https")
                    await stream.start_tls(context, server_name=origin.host)
        except (OSError, TimeoutError) as error:
            if stream is not None:
                stream.abort()
            raise failure_of(error, str(origin), in_handshake=stream is not None) from error
        except BaseException as error:
            if stream is not None:
                stream.abort()
            if isinstance(error, ValueError):  # the file of authorities was good when `prepare` read it
                raise Failure("proxy_configuration_error", Side.INTERNAL, str(error)) from error
            raise
        if attempt is not None:
            attempt.connected = time.monotonic()
            attempt.peer = stream.info.peer
            attempt.local = stream.info.local
            attempt.tls = stream.info.tls
        return stream

    async def judged(self, origin: Origin, *, configured: bool = False) -> list[IPAddress]:
        """The addresses of `origin` that may be tried, in order; at least one. Else `Failure`, as of dialling."""
        found = [unmapped(address) for address in await self._resolve(origin.at or origin.host)]
        if self.policy is None or configured:
            return in_turn(found)
        refused = None
        allowed = []
        for address in found:
            refusal = self.policy.refusal(address, origin.port)
            if refusal is None:
                allowed.append(address)
            elif refused is None or refusal.kind == "proxy_loop_detected":
                refused = refusal
        # A name of which one address is ourselves means us: `localhost` has two, and we may listen on one of them.
        if refused is not None and (not allowed or refused.kind == "proxy_loop_detected"):
            raise Failure(refused.kind, Side.INTERNAL, f"{origin} is refused: {refused.why}")
        return in_turn(allowed)

    async def _race(self, addresses: list[IPAddress], port: int) -> SocketStream:
        """The first stream that connects to one of `addresses`."""
        if len(addresses) == 1:
            return await self._connect(addresses[0], port)
        loop = asyncio.get_running_loop()
        waiting = addresses[:MAX_TRIES]
        running: set[asyncio.Task[SocketStream]] = set()
        errors: list[OSError] = []
        try:
            while waiting or running:
                if waiting:
                    running.add(loop.create_task(self._connect(waiting.pop(0), port)))
                timeout = self._options.stagger_s if waiting else None
                done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                won = [task for task in done if task.exception() is None]
                for late in won[1:]:
                    late.result().abort()
                if won:
                    return won[0].result()
                errors += [error for task in done if isinstance(error := task.exception(), OSError)]
            raise errors[0]
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_abort_late)

    async def _connect(self, address: IPAddress, port: int) -> SocketStream:
        loop = asyncio.get_running_loop()
        transport, stream = await loop.create_connection(self._make_stream, str(address), port)
        if stream.info.local == stream.info.peer:  # the kernel may connect an ephemeral port of this machine to itself
            stream.abort()
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
        keep_alive(transport)
        return stream

    def _make_stream(self) -> SocketStream:
        return SocketStream(None, self._owner)


def in_turn(addresses: Iterable[IPAddress]) -> list[IPAddress]:
    """Each of the addresses once, families taking turns, the first one's family first (RFC 8305, 4)."""
    unique = list(dict.fromkeys(addresses))
    if len(unique) < 2:
        return unique
    same = [address for address in unique if address.version == unique[0].version]
    other = [address for address in unique if address.version != unique[0].version]
    mixed = [address for pair in zip(same, other, strict=False) for address in pair]
    shorter = min(len(same), len(other))
    return mixed + same[shorter:] + other[shorter:]


def _abort_late(task: asyncio.Task[SocketStream]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        if task.exception() is None:
            task.result().abort()

"""Listening: sockets bound by whoever owns them, and the accepting of connections from them.

`bind` and `bind_group` make sockets (in the supervisor, or in the only process). `Listening` accepts from the sockets
of one listener in one process, keeps account of the open streams and of what each client has open, and holds back when
there are too many: it leaves new connections in the kernel's queue, and goes on as soon as an open one is gone.

When the process has no descriptors left, libuv accepts and closes what comes with a descriptor kept for that; stock
asyncio pauses for a second. Neither is reached when `max_connections` is what `connections_possible` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import select
import socket
import stat
from collections.abc import Callable, Iterable, KeysView, Sequence

from msgspec import Struct

from interpose.core.stream import Stream, StreamHandler
from interpose.net.address import LOOPBACK, SocketAddress, parse_address
from interpose.net.holder import holder_of
from interpose.net.keepalive import prepare_listener
from interpose.net.stream import SocketStream

BACKLOG = 4096
RESERVED_DESCRIPTORS = 64


class ListenOptions(Struct, frozen=True, kw_only=True):
    """How many connections one listener holds in one process."""

    max_connections: int = 0
    """Open connections; above it new ones wait. 0: as many as descriptors allow."""

    max_connections_per_client: int = 0
    """Open connections of one client address; more are closed at once. 0: no limit."""


def bind(address: str, *, reuse_port: bool = False, probe: bool = True) -> socket.socket:
    """A listening socket. `ValueError` with one sentence when the address cannot be had.

    With `reuse_port` others may bind the same port as well, which would hide that a stranger already has it; so it is
    first bound without, unless `probe` is false because the socket joins a group of our own.
    """
    where = parse_address(address)
    if where.is_unix:
        return _bind_unix(where)
    if reuse_port and probe and where.port:
        _bind_tcp(where, reuse_port=False, listen=False).close()
    return _bind_tcp(where, reuse_port=reuse_port)


def bind_group(address: str, size: int) -> list[socket.socket]:
    """One listening socket for each of `size` workers, all on the same port. A Unix socket is one, shared by all."""
    first = bind(address, reuse_port=size > 1)
    where = parse_address(address)
    if where.is_unix:
        return [first]
    same = SocketAddress(where.host, first.getsockname()[1])
    sockets = [first]
    try:
        sockets += (bind(str(same), reuse_port=True, probe=False) for _ in range(size - 1))
    except ValueError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def address_of(sock: socket.socket) -> str:
    """The address a listening socket really has, as `parse_address` reads it."""
    name = sock.getsockname()
    return f"unix:{name}" if sock.family == socket.AF_UNIX else str(SocketAddress(name[0], name[1]))


def raise_descriptor_limit() -> None:
    """Let this process, and those it starts, open as many descriptors as the system lets them without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_possible(listeners: int = 1) -> int:
    """How many connections each of `listeners` may hold: descriptors for one upstream each and a reserve remain."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - RESERVED_DESCRIPTORS) // 2 // max(1, listeners))


class Listening:
    """Accepts for one listener. It owns `sockets`: `close` closes them; streams that are open live on."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handler: StreamHandler,
        options: ListenOptions | None = None,
        *,
        on_full: Callable[[], object] | None = None,
    ) -> None:
        self.handler = handler
        self.sockets = list(sockets)
        self._open: dict[SocketStream, str] = {}  # and the client that each counts for, whatever it says later
        self.accepted = 0
        self.refused = 0
        self._clients: dict[str, int] = {}
        self._on_full = on_full
        self._servers: list[asyncio.Server] = []
        self._starting: asyncio.Task[None] | None = None
        self._held = False
        self._full = False
        self._closed = False
        self._limit(options or ListenOptions())

    @property
    def streams(self) -> KeysView[SocketStream]:
        """The streams that are open."""
        return self._open.keys()

    @property
    def addresses(self) -> list[str]:
        """The addresses really listened on."""
        return [address_of(sock) for sock in self.sockets]

    @property
    def is_full(self) -> bool:
        """Whether new connections wait because as many are open as may be."""
        return self._full

    @property
    def has_waiting(self) -> bool:
        """Whether there are connections in the kernel's queue that are about to be accepted."""
        if not self._servers:
            return False
        queues = select.poll()
        for sock in self.sockets:
            queues.register(sock, select.POLLIN)
        return bool(queues.poll(0))

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for sock in self.sockets:
            if sock.family != socket.AF_UNIX:
                prepare_listener(sock)
            # The event loop closes the socket it is given; ours stays open for `resume`.
            server = await loop.create_server(self._make_stream, sock=sock.dup(), backlog=BACKLOG)
            if self._held or self._full or self._closed:  # since the socket before it
                server.close()
                return
            self._servers.append(server)

    async def change(self, sockets: Sequence[socket.socket], options: ListenOptions) -> None:
        """Accept from exactly these sockets and within these limits from now on; streams that are open live on."""
        servers, self._servers = self._servers, []
        before, self.sockets = self.sockets, list(sockets)
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        self._limit(options)
        if not (self._held or self._full or self._closed):
            await self.start()
        for server in servers:
            server.close()
        for sock in before:
            sock.close()

    def _limit(self, options: ListenOptions) -> None:
        self._max = options.max_connections or connections_possible()
        self._max_per_client = options.max_connections_per_client
        self._full = len(self._open) >= self._max

    def pause(self) -> None:
        """Leave new connections in the kernel's queue until `resume`."""
        self._held = True
        self._stop()

    def resume(self) -> None:
        """Accept again after `pause`."""
        self._held = False
        self._go_on()

    def close(self) -> None:
        """Accept no more, for good."""
        self._closed = True
        self._stop()
        for sock in self.sockets:
            sock.close()

    def cut(self) -> None:
        """Reset every stream that is still open."""
        for stream in list(self._open):
            stream.abort()

    def add(self, sockets: Iterable[socket.socket]) -> None:
        """Accept from these too: they were a worker's that died."""
        self._stop()
        self.sockets += sockets
        self._go_on()

    # --- accepting -------------------------------------------------------------------------------------------------

    def _make_stream(self) -> SocketStream:
        return SocketStream(self._accept, self)

    def _accept(self, stream: Stream) -> None:
        assert isinstance(stream, SocketStream)
        client = stream.info.peer.host
        open_here = self._clients.get(client, 0)
        if self._max_per_client and open_here >= self._max_per_client and client:
            self.refused += 1
            stream.abort()
            return
        self.accepted += 1
        self._clients[client] = open_here + 1
        self._open[stream] = client
        if len(self._open) >= self._max and not self._full:
            self._full = True
            self._stop()
            if self._on_full is not None:
                self._on_full()
        self.handler(stream)

    def opened(self, stream: SocketStream) -> None:
        """(Owner) Nothing: `_accept` keeps account."""

    def closed(self, stream: SocketStream) -> None:
        """(Owner) The stream is gone."""
        client = self._open.pop(stream, None)
        if client is None:
            return
        left = self._clients[client] - 1
        if left:
            self._clients[client] = left
        else:
            del self._clients[client]
        if self._full and len(self._open) < self._max:
            self._full = False
            self._go_on()

    def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _go_on(self) -> None:
        if self._servers or self._starting or self._held or self._full or self._closed:
            return
        self._starting = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        try:
            await self.start()
        finally:
            self._starting = None


def _bind_tcp(where: SocketAddress, *, reuse_port: bool, listen: bool = True) -> socket.socket:
    host = LOOPBACK if where.host == "localhost" else where.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, where.port))
        if listen:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ValueError(why_not(where, error)) from error
    return sock


def _bind_unix(where: SocketAddress) -> socket.socket:
    _remove_stale(where)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)  # between bind and a later chmod anybody could connect
    try:
        sock.bind(where.path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ValueError(why_not(where, error)) from error
    finally:
        os.umask(mask)
    return sock


def _remove_stale(where: SocketAddress) -> None:
    """Remove the file of a socket that nobody listens on any more; leave everything else alone."""
    try:
        mode = os.lstat(where.path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ValueError(f"{where} cannot be listened on: the file exists and is not a socket; choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(where.path) == errno.ECONNREFUSED:
            with contextlib.suppress(OSError):
                os.unlink(where.path)


def why_not(where: SocketAddress, error: OSError, *, udp: bool = False) -> str:
    """One sentence about why a socket could not be bound to `where`."""
    match error.errno:
        case errno.EADDRINUSE:
            what = str(where) if where.is_unix else f"Port {where.port} on {where.host}"
            other = "path" if where.is_unix else "port"
            if holder := holder_of(where, udp=udp):
                return f"{what} is in use already by {holder}; stop it or choose another {other}."
            return f"{what} is in use already; stop the other program or choose another {other}."
        case errno.EACCES | errno.EPERM if where.port and where.port < 1024:
            return (
                f"Port {where.port} is reserved for privileged programs; choose one from 1024 up, "
                "or give the program the capability CAP_NET_BIND_SERVICE."
            )
        case errno.ENOENT if where.is_unix:
            folder = os.path.dirname(where.path)
            return f"{where} cannot be listened on: there is no directory {folder}; make it first."
        case errno.EADDRNOTAVAIL:
            return f"{where.host} is not an address of this machine; listen on one that is, or on 0.0.0.0 for all."
        case _:
            return f"{where} cannot be listened on: {(error.strerror or str(error)).lower()}."

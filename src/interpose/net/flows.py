"""UDP on the upstream side: one connected socket for each client, all of them watched through one descriptor.

A relay has a socket of its own for each client, because its port is all that tells the answers for one from those for
another. Connected, it takes datagrams from its target only, and learns of ICMP errors.

An epoll descriptor of our own holds the sockets and is the only thing that the event loop watches. That is cheaper than
a watcher of the loop's for each socket: hundreds of sockets are looked at in one call, and opening one costs a system
call and no objects.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol

from interpose.core.stream import Address
from interpose.net.address import IPAddress
from interpose.net.udp import BUFFER_BYTES

MOST_SOCKETS_PER_TURN = 128

FEW_SOCKETS = 4
"""When no more have something, they are likely to have more of it: then each is read up to MOST_OF_EACH times."""

MOST_OF_EACH = 16


class FlowOwner(Protocol):
    """Who a flow belongs to. Neither method may raise."""

    def answered(self, data: memoryview) -> None:
        """A datagram came from the target. The view is valid until this returns."""

    def failed(self, error: OSError) -> None:
        """The kernel reports an error: mostly what ICMP said of a datagram sent before."""


class Flow:
    """One socket, connected to its target. `send` raises OSError: what is reported of an earlier datagram, or that this
    one cannot be sent."""

    __slots__ = ("_flows", "owner", "receive", "send", "sock")

    def __init__(self, sock: socket.socket, flows: Flows, owner: FlowOwner) -> None:
        self.sock = sock
        self.owner: FlowOwner | None = owner
        self.send: Callable[[Any], object] = sock.send
        self.receive: Callable[[bytearray], int] = sock.recv_into
        self._flows = flows

    @property
    def local(self) -> Address:
        """Our end."""
        return Address(*self.sock.getsockname()[:2])

    @property
    def peer(self) -> Address:
        """The target's address."""
        return Address(*self.sock.getpeername()[:2])

    def close(self) -> None:
        """Close the socket; nothing is called any more. May be called again."""
        self._flows.forget(self)


class Flows:
    """The flows of one listener in one process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._flows: dict[int, Flow] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._loop.add_reader(self._epoll.fileno(), self._read)

    def __len__(self) -> int:
        return len(self._flows)

    def open(self, address: IPAddress, port: int, owner: FlowOwner) -> Flow:
        """A flow to `address`. OSError when there can be none: PermissionError for a broadcast address."""
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.connect((str(address), port))
            self._epoll.register(sock, select.EPOLLIN)
        except OSError:
            sock.close()
            raise
        flow = self._flows[sock.fileno()] = Flow(sock, self, owner)
        return flow

    def forget(self, flow: Flow) -> None:
        """(flow) It is closed: the kernel takes a closed socket out of the epoll set by itself."""
        if flow.sock.fileno() >= 0:
            del self._flows[flow.sock.fileno()]
            flow.sock.close()
            flow.owner = None  # they refer to each other, and thousands a second must not wait for the collector

    def close(self) -> None:
        """Close every flow and watch no more."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        for flow in list(self._flows.values()):
            flow.close()
        self._epoll.close()

    def _read(self) -> None:
        """Some sockets have something. One that is closed meanwhile is not looked at; what is left comes next turn."""
        buffer, view, flows = self._buffer, self._view, self._flows
        ready = self._epoll.poll(0, MOST_SOCKETS_PER_TURN)
        rounds = 1 if len(ready) > FEW_SOCKETS else MOST_OF_EACH
        for descriptor, _ in ready:
            flow = flows.get(descriptor)
            if flow is None:
                continue
            receive, owner = flow.receive, flow.owner
            assert owner is not None
            for _ in range(rounds):
                try:
                    size = receive(buffer)
                except BlockingIOError:
                    break
                except OSError as error:
                    if flow.sock.fileno() >= 0:
                        owner.failed(error)
                    break
                owner.answered(view[:size])

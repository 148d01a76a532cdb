"""UDP on the listening side: sockets bound by whoever owns them, and the reading of datagrams from them.

A turn of the event loop reads as many datagrams as are there, up to a bound, into one buffer that all of them share,
and calls the handler with a view of it: no object of asyncio's is made for a datagram, which is what makes small ones
cheap. There is no back-pressure in UDP; what comes faster than it is read is dropped by the kernel, and so is what
cannot be sent at once.

On a socket that is bound to every address of the machine (0.0.0.0, ::) each datagram says which of them it was sent to,
and its answer leaves from there: a client takes no answer from an address that it did not ask.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from interpose.core.datagram import DatagramHandler, Sender
from interpose.core.stream import Address
from interpose.net.address import LOOPBACK, SocketAddress, parse_address
from interpose.net.listen import address_of, why_not

RECEIVE_BUFFER_BYTES = 4 << 20
"""What the kernel may keep for a listener between two turns of the loop, as far as it is allowed."""

MOST_PER_TURN = 64
"""Datagrams read from one socket in one turn, so that a flood on one leaves time for others."""

BUFFER_BYTES = 65_536
"""Larger than any datagram."""

# Python 3.11's `socket` does not name these two; the numbers are Linux's.
_IP_PKTINFO = 8
_SO_RCVBUFFORCE = 33
_IPV4_INFO = struct.Struct("=I4s4s")  # interface, our address, the address that the datagram was sent to
_IPV6_INFO = struct.Struct("=16sI")  # our address, interface
_ANCILLARY_BYTES = socket.CMSG_SPACE(_IPV4_INFO.size) + socket.CMSG_SPACE(_IPV6_INFO.size)
_WILDCARDS = ("0.0.0.0", "::")
_V6_MULTICAST = 0xFF


def bind_datagrams(address: str, *, reuse_port: bool = False, probe: bool = True) -> socket.socket:
    """A socket that receives datagrams. `ValueError` with one sentence when the address cannot be had.

    `reuse_port` and `probe` are those of `net.listen.bind`. SO_REUSEADDR is not set: a UDP port is free as soon as it
    is closed, and with the option Linux would let any other program take over the port that we have.
    """
    where = parse_address(address)
    if where.is_unix:
        raise ValueError(f"{where} cannot receive datagrams: Unix sockets carry streams here; use host:port.")
    if reuse_port and probe and where.port:
        _bind(where, reuse_port=False).close()
    return _bind(where, reuse_port=reuse_port)


def _bind(where: SocketAddress, *, reuse_port: bool) -> socket.socket:
    host = LOOPBACK if where.host == "localhost" else where.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if host in _WILDCARDS:
            _ask_for_our_address(sock)
        enlarge_receive_buffer(sock)
        sock.bind((host, where.port))
    except OSError as error:
        sock.close()
        raise ValueError(why_not(where, error, udp=True)) from error
    return sock


def enlarge_receive_buffer(sock: socket.socket) -> None:
    """Let the kernel keep as much for `sock` as it allows, up to RECEIVE_BUFFER_BYTES."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)  # for those with CAP_NET_ADMIN
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _ask_for_our_address(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


class DatagramListening:
    """Reads for one listener in one process, from copies of the sockets it is given; whoever gave them closes those.

    Answers leave through the copies until `cut` closes them.
    """

    def __init__(self, sockets: Sequence[socket.socket], handler: DatagramHandler) -> None:
        self.handler = handler
        self.received = 0
        """Datagrams that came."""
        self.unsendable = 0
        """Answers that the kernel did not take."""
        self._ways: dict[socket.socket, _Way] = {}
        self._held = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(BUFFER_BYTES)
        self.change(sockets)

    @property
    def addresses(self) -> list[str]:
        """The addresses really listened on."""
        return [address_of(way.sock) for way in self._ways.values()]

    @property
    def is_closed(self) -> bool:
        """Whether it reads no more, for good."""
        return self._closed

    @property
    def has_waiting(self) -> bool:
        """Whether there are datagrams that have not been read yet."""
        if not self._is_reading:
            return False
        queues = select.poll()
        for way in self._ways.values():
            queues.register(way.sock, select.POLLIN)
        return bool(queues.poll(0))

    def change(self, sockets: Sequence[socket.socket]) -> None:
        """Read from exactly these from now on. Answers that were to leave through others leave through these."""
        before, self._ways = self._ways, {}
        for sock in sockets:
            self._ways[sock] = before.pop(sock) if sock in before else self._new_way(sock)
        some_way = next(iter(self._ways.values()), None)
        for way in before.values():
            self._loop.remove_reader(way.sock.fileno())
            way.close(some_way)

    def pause(self) -> None:
        """Leave what comes in the kernel's queue until `resume`."""
        self._held = True
        self._stop()

    def resume(self) -> None:
        """Read again after `pause`."""
        self._held = False
        for way in self._ways.values() if self._is_reading else ():
            self._loop.add_reader(way.sock.fileno(), way.read)

    def close(self) -> None:
        """Read no more, for good. Answers may still be sent."""
        self._closed = True
        self._stop()

    def cut(self) -> None:
        """Close the sockets: no answer can be sent any more."""
        self.close()
        for way in self._ways.values():
            way.close(None)
        self._ways = {}

    @property
    def _is_reading(self) -> bool:
        return not (self._held or self._closed)

    def _stop(self) -> None:
        for way in self._ways.values():
            self._loop.remove_reader(way.sock.fileno())

    def _new_way(self, sock: socket.socket) -> _Way:
        is_wildcard = sock.getsockname()[0] in _WILDCARDS
        way = (_WildcardWay if is_wildcard else _Way)(sock.dup(), self, self._buffer)
        if self._is_reading:
            self._loop.add_reader(way.sock.fileno(), way.read)
        return way


class _Way:
    """One socket: what is read from it, and the way back for that."""

    __slots__ = ("_buffer", "_listening", "_send", "_view", "sock")

    def __init__(self, sock: socket.socket, listening: DatagramListening, buffer: bytearray) -> None:
        self.sock = sock
        self._listening = listening
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._send: Callable[[Any, Any], object] = sock.sendto

    def read(self) -> None:
        """The socket can be read from."""
        listening = self._listening
        handler, receive, buffer, view = listening.handler, self.sock.recvfrom_into, self._buffer, self._view
        count = 0
        try:
            while count < MOST_PER_TURN:
                try:
                    size, sender = receive(buffer)
                except BlockingIOError:
                    return
                except OSError:  # what ICMP said of an earlier answer, or no memory: nothing that this one can help
                    if self.sock.fileno() < 0:  # closed by the handler
                        return
                    count += 1
                    continue
                count += 1
                handler(view[:size], sender, self)
        finally:
            listening.received += count

    def send(self, data: Any, to: Sender) -> bool:
        """See `core.datagram.WayBack`."""
        try:
            self._send(data, to)
        except OSError:
            self._listening.unsendable += 1
            return False
        return True

    def address_of(self, sender: Any) -> Address:
        """See `core.datagram.WayBack`."""
        return Address(sender[0], sender[1])

    def close(self, other: _Way | None) -> None:
        """Close this socket; answers leave by the `other` way from now on, or not at all."""
        self.sock.close()
        if other is not None and type(other) is type(self):
            self._send = other.send


class _WildcardWay(_Way):
    """A socket of every address: a sender is (its address, the ancillary data that names ours)."""

    __slots__ = ()

    def __init__(self, sock: socket.socket, listening: DatagramListening, buffer: bytearray) -> None:
        super().__init__(sock, listening, buffer)
        self._send = self._send_from

    def read(self) -> None:
        """The socket can be read from."""
        listening, view = self._listening, self._view
        handler, receive, buffers = listening.handler, self.sock.recvmsg_into, [self._buffer]
        ours = _our_ipv6_address if self.sock.family == socket.AF_INET6 else _our_ipv4_address
        for _ in range(MOST_PER_TURN):
            try:
                size, ancillary, _, sender = receive(buffers, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                if self.sock.fileno() < 0:
                    return
                continue
            listening.received += 1
            if (from_us := ours(ancillary)) is not None:
                handler(view[:size], (sender, from_us), self)

    def _send_from(self, data: Any, to: Any) -> None:
        sender, from_us = to
        self.sock.sendmsg((data,), from_us, 0, sender)

    def address_of(self, sender: Any) -> Address:
        """See `core.datagram.WayBack`."""
        return Address(sender[0][0], sender[0][1])


OurAddress = tuple[tuple[int, int, bytes], ...]


def _our_ipv4_address(ancillary: Sequence[tuple[int, int, bytes]]) -> OurAddress | None:
    """What has an answer leave from where the datagram was sent to; None when that was not this machine alone."""
    for level, kind, content in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(content) == _IPV4_INFO.size:
            _, ours, sent_to = _IPV4_INFO.unpack(content)
            if ours != sent_to:  # broadcast or multicast: whoever answers those can be made to flood others
                return None
            return ((socket.IPPROTO_IP, _IP_PKTINFO, _IPV4_INFO.pack(0, ours, b"\0\0\0\0")),)
    return ()


def _our_ipv6_address(ancillary: Sequence[tuple[int, int, bytes]]) -> OurAddress | None:
    """The same for IPv6, where the interface stays: a link-local address means nothing without it."""
    for level, kind, content in ancillary:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(content) == _IPV6_INFO.size:
            return None if content[0] == _V6_MULTICAST else ((level, kind, content),)
    return ()

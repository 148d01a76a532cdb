"""Blocking sockets with the calls of a textbook, for experiments. Nothing that serves traffic uses them.

Every call that can wait has a deadline, so that an experiment that goes wrong ends: it is the kernel's own, which fails
with EAGAIN then, since Python's would wait before the call is made and hide what the call says. OSError is what the
kernel said: here its words are the subject.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from interpose.core.stream import Address
from interpose.net.address import LOOPBACK

DEADLINE_S = 5

_TCP_STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING",
)  # fmt: skip


class Moment(NamedTuple):
    """What a socket did: `connects`, `accepts`, `is refused`, `says`, `hears`, `ends`, `breaks off`, or, of datagrams,
    `sends`, `gets`. `at` is the wall clock's."""

    what: str
    local: Address
    other: Address
    data: bytes
    at: float


Watch = Callable[[Moment], object]


class BlockingSocket:
    """One socket. Addresses are on loopback; port 0 takes any free one. `watch` is told what it does."""

    def __init__(self, sock: socket.socket, watch: Watch | None = None) -> None:
        self._socket = sock
        self._watch = watch
        sock.setblocking(True)
        deadline = struct.pack("ll", DEADLINE_S, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, deadline)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, deadline)

    @property
    def local(self) -> Address:
        """The own address; port 0 before there is one."""
        return Address(*self._socket.getsockname()[:2])

    @property
    def peer(self) -> Address:
        """The other side's address; OSError when there is none."""
        return Address(*self._socket.getpeername()[:2])

    @property
    def state(self) -> str:
        """What the kernel calls the state of a TCP socket: LISTEN, ESTABLISHED, CLOSE_WAIT, …; "" where it does not
        tell."""
        if not sys.platform.startswith("linux"):
            return ""
        return _TCP_STATES[self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]]

    def reuse_address(self) -> None:
        """Set SO_REUSEADDR."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def bind(self, port: int = 0) -> None:
        """Take an address of our own."""
        self._socket.bind((LOOPBACK, port))

    def listen(self, backlog: int = 16) -> None:
        """Let the kernel answer clients, and keep them until they are accepted."""
        self._socket.listen(backlog)

    def accept(self) -> BlockingSocket:
        """The next client's connection, as a socket of its own."""
        accepted = BlockingSocket(self._socket.accept()[0], self._watch)
        accepted._tell("accepts")
        return accepted

    def connect(self, port: int) -> None:
        """Connect; for UDP, only remember whom to speak to."""
        try:
            self._socket.connect((LOOPBACK, port))
        except ConnectionRefusedError:
            self._tell("is refused", other=Address(LOOPBACK, port))
            raise
        if self._socket.type == socket.SOCK_STREAM:
            self._tell("connects")

    def send(self, data: bytes) -> int:
        """Give `data` to the kernel, which may take less of it."""
        count = self._socket.send(data)
        self._tell("says", data[:count])
        return count

    def send_all(self, data: bytes) -> None:
        """Give all of `data` to the kernel, however long that takes within the deadline."""
        self._tell("says", data)
        self._socket.sendall(data)

    def send_what_fits(self, data: bytes) -> int:
        """Give the kernel what it takes at once: 0 when it takes nothing now."""
        try:
            count = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        self._tell("says", data[:count])
        return count

    def send_to(self, data: bytes, port: int) -> int:
        """Send one datagram."""
        count = self._socket.sendto(data, (LOOPBACK, port))
        self._tell("sends", data, Address(LOOPBACK, port))
        return count

    def receive(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes, or one datagram cut to them; b"" when a stream has ended."""
        data = self._socket.recv(limit)
        self._tell("hears", data)
        return data

    def receive_from(self, limit: int = 65536) -> tuple[bytes, Address]:
        """One datagram and who sent it."""
        data, address = self._socket.recvfrom(limit)
        sender = Address(*address[:2])
        self._tell("gets", data, sender)
        return data, sender

    def receive_now(self, limit: int = 65536) -> bytes:
        """What is there now; BlockingIOError when there is nothing."""
        data = self._socket.recv(limit, socket.MSG_DONTWAIT)
        self._tell("hears", data)
        return data

    def has_something(self, within_s: float) -> bool:
        """Whether bytes, the end or an error are there to be received, now or within so many seconds."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(within_s * 1000))

    def wait_for_bytes(self, count: int) -> None:
        """Return when `count` bytes of a stream are there to be received."""
        if len(self._socket.recv(count, socket.MSG_PEEK | socket.MSG_WAITALL)) < count:
            raise ConnectionError(f"the stream ended before {count} bytes were there")

    def wait_for_end(self) -> None:
        """Return when a stream of which everything was received has ended."""
        if self._socket.recv(1, socket.MSG_PEEK):
            raise ConnectionError("bytes came where the end was expected")

    def wait_for_reset(self) -> None:
        """Return when the kernel knows that the other side has broken the connection off."""
        waiting = select.poll()
        waiting.register(self._socket, 0)  # what is reported without being asked for: an error
        if not waiting.poll(DEADLINE_S * 1000):
            raise ConnectionError("no reset came")

    def end_sending(self) -> None:
        """Send no more, and tell the other side (SHUT_WR)."""
        self._socket.shutdown(socket.SHUT_WR)
        self._tell("ends")

    def close(self) -> None:
        """Give the socket back."""
        if self._watch is not None and self._socket.fileno() >= 0:
            self._tell("ends")
        self._socket.close()

    def reset(self) -> None:
        """Break the connection off: the other side sees a reset and no orderly end."""
        self._tell("breaks off")
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _tell(self, what: str, data: bytes = b"", other: Address | None = None) -> None:
        if self._watch is None:
            return
        with contextlib.suppress(OSError):  # who is not connected has nobody to tell of
            is_datagram = self._socket.type == socket.SOCK_DGRAM
            if is_datagram:
                what = {"says": "sends", "hears": "gets"}.get(what, what)
            self._watch(Moment(what, self.local, other or self.peer, data, time.time()))


def tcp_socket(watch: Watch | None = None) -> BlockingSocket:
    """A new TCP socket, without an address."""
    return BlockingSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM), watch)


def udp_socket(watch: Watch | None = None) -> BlockingSocket:
    """A new UDP socket, without an address."""
    return BlockingSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), watch)


@contextmanager
def quiet_port(*, udp: bool = False) -> Iterator[int]:
    """A port where nobody answers while inside, and which nobody else is given; `bind` after `reuse_address` gets it.

    For TCP the keeper is bound and does not listen. For UDP it is connected to itself, so that the kernel gives it
    nothing from others and answers them as if it was not there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((LOOPBACK, 0))
        port: int = keeper.getsockname()[1]
        if udp:
            keeper.connect((LOOPBACK, port))
        yield port

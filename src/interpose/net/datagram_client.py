"""A UDP socket that speaks to one address, as a client: sends datagrams, waits for answers, hears what ICMP says."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket

from interpose.core.failure import Failure, Side
from interpose.core.stream import Address
from interpose.net.address import IPAddress
from interpose.net.errors import failure_of

BUFFER_BYTES = 65_536
"""Larger than any datagram."""

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


class DatagramClient:
    """Connected to `address` and `port`: the kernel gives it what comes from there and nothing else.

    `Failure` when there is no way to that address, or when it is one of many machines (broadcast, multicast).
    """

    def __init__(self, address: IPAddress, port: int) -> None:
        self._name = str(Address(str(address), port))
        if why := refusal(address):
            raise Failure("destination_ip_prohibited", Side.INTERNAL, f"{self._name} {why}")
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((str(address), port))
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EACCES:  # what the kernel says without SO_BROADCAST
                words = f"{self._name} is a broadcast address; a datagram goes to one machine here."
                raise Failure("destination_ip_prohibited", Side.INTERNAL, words) from error
            raise failure_of(error, self._name) from error

    @property
    def local(self) -> Address:
        """Our own address."""
        return Address(*self._socket.getsockname()[:2])

    @property
    def peer(self) -> Address:
        """Whom it speaks to."""
        return Address(*self._socket.getpeername()[:2])

    def send(self, data: bytes) -> None:
        """Send one datagram. `Failure` when the kernel does not take it, or ICMP has answered an earlier one."""
        try:
            self._socket.send(data)
        except BlockingIOError:
            pass  # its queue is full: lost, as datagrams may be
        except OSError as error:
            raise self._failure(error) from error

    async def receive(self, timeout_s: float | None) -> bytes | None:
        """The next datagram (an empty one is b""), None when none comes in time. `Failure` for what ICMP says."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        return self._socket.recv(BUFFER_BYTES)
                    except BlockingIOError:
                        await self._readable()
        except TimeoutError:
            return None
        except OSError as error:
            raise self._failure(error) from error

    async def _readable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_reader(self._socket.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _failure(self, error: OSError) -> Failure:
        if error.errno == errno.EMSGSIZE:
            return Failure("http_request_error", Side.DOWNSTREAM, "The datagram is longer than this network takes.")
        if error.errno == errno.ECONNREFUSED:
            words = f"{self._name} has no program on that UDP port: its machine said so (ICMP port unreachable)."
            return Failure("connection_refused", Side.UPSTREAM, words)
        return failure_of(error, self._name)


def refusal(address: IPAddress) -> str:
    """Why a datagram does not go to `address`, "" when it may."""
    inner = (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
    if inner.is_multicast:
        return "is a multicast address: many machines may listen to it; a datagram goes to one machine here."
    if inner == _BROADCAST:
        return "is the broadcast address, which is every machine of a network; a datagram goes to one machine here."
    return ""

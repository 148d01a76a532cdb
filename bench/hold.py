"""Exchanges that last: idle connections, readers that hardly read, uploads that nobody takes."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator

from bench.load import ANSWER_DEADLINE_S, connected, head, probe
from bench.origin import KIB, MIB

LARGE_BYTES = 64 * MIB
LARGE_TARGET = "/64m"
SAMPLE_EVERY_S = 0.1
_READ_BYTES = 16 * KIB
_SEND_BYTES = 64 * KIB

Sample = Callable[[], int]


@contextlib.contextmanager
def idle_connections(port: int, host: str, count: int, *, tls: bool) -> Iterator[None]:
    """So many open keep-alive connections, each of which has had one answer."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            probe(opened.enter_context(connected(port, tls=tls)), "/1k", host)
        yield


def slow_readers(port: int, host: str, count: int, *, seconds: float, sample: Sample) -> int:
    """The highest sample while so many clients read a large body at about 320 KiB/s each."""
    with contextlib.ExitStack() as opened:
        readers = [opened.enter_context(_narrow(port)) for _ in range(count)]
        for reader in readers:
            reader.sendall(head(LARGE_TARGET, host))
            reader.setblocking(False)
        peak = 0
        for _ in _instants(seconds):
            for reader in readers:
                with contextlib.suppress(BlockingIOError):
                    if not reader.recv(_READ_BYTES):
                        raise ConnectionError("a slow reader's connection was closed")
            peak = max(peak, sample())
        return peak


def stalled_uploads(port: int, host: str, count: int, *, seconds: float, sample: Sample) -> int:
    """The highest sample while so many clients push a large body to an origin that does not read it."""
    block = bytes(_SEND_BYTES)
    with contextlib.ExitStack() as opened:
        senders = [opened.enter_context(_narrow(port)) for _ in range(count)]
        left = dict.fromkeys(senders, LARGE_BYTES)
        for sender in senders:
            sender.sendall(head("/upload", host, upload_bytes=LARGE_BYTES))
            sender.setblocking(False)
        peak = 0
        for until in _instants(seconds):
            while time.monotonic() < until:
                writable = select.select([], [sender for sender in senders if left[sender]], [], SAMPLE_EVERY_S)[1]
                for sender in writable:
                    with contextlib.suppress(BlockingIOError):
                        left[sender] -= sender.send(block[: left[sender]])
            peak = max(peak, sample())
        return peak


def _narrow(port: int) -> socket.socket:
    """A connection whose kernel buffers are small, so that what is in flight presses on the peer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)
    connection.settimeout(ANSWER_DEADLINE_S)
    connection.connect(("127.0.0.1", port))
    return connection


def _instants(seconds: float) -> Iterator[float]:
    """The ends of the sampling steps until the time is over; what is left of a step is slept away."""
    over = time.monotonic() + seconds
    while (now := time.monotonic()) < over:
        until = now + SAMPLE_EVERY_S / 2
        yield until
        time.sleep(max(0.0, until - time.monotonic()))

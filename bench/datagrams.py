"""The load of datagrams: many clients at once, each of which asks again as soon as it has its answer, and an echo that
answers them.

`python -m bench.datagrams PORT` is the echo, a process of its own so that load and echo do not wait for each other.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.process import MeasureError, free_port, running

CONTENT = b"x" * 64
SILENCE_S = 0.5
"""After so long without any answer all clients ask again: datagrams may be lost."""

BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients did and saw."""

    answers: int
    seconds: float
    silences: int


@contextlib.contextmanager
def echo(directory: Path) -> Iterator[int]:
    """The port of the echo."""
    root = Path(__file__).resolve().parent.parent
    port = free_port()
    command = [sys.executable, "-m", "bench.datagrams", str(port)]
    with running(command, directory=root, output=directory / "echo-output"):
        wait_until_answering(port, deadline_s=10)
        yield port


def wait_until_answering(port: int, *, deadline_s: float) -> None:
    """Return when a datagram to 127.0.0.1:port is answered; `MeasureError` when none is in time."""
    end = time.monotonic() + deadline_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", port))
        while time.monotonic() < end:
            try:
                probe.send(b"?")
                if probe.recv(16) == b"?":
                    return
            except ConnectionRefusedError:
                time.sleep(0.05)
            except TimeoutError:
                continue
    raise MeasureError(f"did not answer datagrams on port {port} within {deadline_s:g} s")


class Clients:
    """Clients of 127.0.0.1:port, each with a socket of its own."""

    def __init__(self, port: int, count: int) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            self._sockets[sock.fileno()] = sock
            self._epoll.register(sock, select.EPOLLIN)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()

    def ask(self, seconds: float) -> Load:
        """Ask for so long, everybody at once."""
        buffer = bytearray(65536)
        answers = silences = 0
        start = time.monotonic()
        self._ask_all()
        while time.monotonic() - start < seconds:
            ready = self._epoll.poll(SILENCE_S, 256)
            if not ready:
                silences += 1
                self._ask_all()
            for descriptor, _ in ready:
                sock = self._sockets[descriptor]
                with contextlib.suppress(OSError):
                    sock.recv_into(buffer)
                    answers += 1
                    sock.send(CONTENT)
        return Load(answers, time.monotonic() - start, silences)

    def _ask_all(self) -> None:
        for sock in self._sockets.values():
            with contextlib.suppress(OSError):
                sock.send(CONTENT)


def _serve(port: int) -> None:
    """Send back whatever comes, for ever."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.bind(("127.0.0.1", port))
    buffer = bytearray(65536)
    view = memoryview(buffer)
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            size, sender = sock.recvfrom_into(buffer)
            sock.sendto(view[:size], sender)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

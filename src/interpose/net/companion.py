"""A companion: a process of ours that is asked over a socket pair, and can be killed at any moment.

It is started with the number of one descriptor, its end. Both sides send frames: four octets of length, then as many.
When it ends, however that comes, `on_end` is called once; nobody has to wait for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence

MAX_FRAME_BYTES = 64 << 20


class Companion(asyncio.Protocol):
    """One process. `on_frame` gets what it says, without the length."""

    def __init__(self, on_frame: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._collected = asyncio.Event()

    async def start(self, command: Sequence[str]) -> None:
        """Start it. OSError when that cannot be."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._process = _started(command, theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            self._process.kill()
            self._process.wait()  # which takes no time
            self._collected.set()
            raise

    @property
    def pid(self) -> int:
        """The process's number; 0 before it was started."""
        return 0 if self._process is None else self._process.pid

    def send(self, frame: bytes) -> None:
        """Say something. Nothing happens when it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(frame).to_bytes(4, "big") + frame)

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_collected(self) -> bool:
        """Whether nothing is left of it."""
        return self._collected.is_set()

    async def collected(self) -> None:
        """Wait until nothing is left of it, once it was killed."""
        if self._process is not None:
            await self._collected.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop has taken our end over."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Hand on the frames that are complete."""
        self._data += data
        while len(self._data) >= 4:
            length = int.from_bytes(self._data[:4], "big")
            if length > MAX_FRAME_BYTES:
                self.kill()
                return
            if len(self._data) < 4 + length:
                return
            frame = bytes(memoryview(self._data)[4 : 4 + length])
            del self._data[: 4 + length]
            self._on_frame(frame)

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone, or as good as gone."""
        self._transport = None
        self._bury()
        self._on_end()

    def _bury(self) -> None:
        """Collect its status, once it has one: without that it would stay in the table of processes."""
        process = self._process
        assert process is not None
        process.kill()  # it has no end of the pair any more, so nobody could ask it anything
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:  # the kernel has no such thing; and whoever is killed is gone in a moment
            process.wait()
            self._collected.set()
            return
        loop = asyncio.get_running_loop()

        def collect() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            process.wait()
            self._collected.set()

        loop.add_reader(descriptor, collect)


def _started(command: Sequence[str], descriptor: int) -> subprocess.Popen[bytes]:
    # What a terminal sends to all processes of a command must not end it while it loads.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        return subprocess.Popen([*command, str(descriptor)], pass_fds=(descriptor,), stdin=subprocess.DEVNULL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

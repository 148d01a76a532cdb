"""A `Stream` over a transport of the event loop: TCP, Unix sockets, and TLS on either.

The loop calls the methods of `asyncio.Protocol` here, and what arrives goes to the receiver or, while there is none,
into a small buffer that `peek` and `read` take from. The object is kept small: an idle connection is one of these,
its transport, and whatever receives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from interpose.core.failure import Failure, Side
from interpose.core.stream import UNKNOWN, Address, Receiver, StreamHandler, StreamInfo, TlsInfo
from interpose.net.buffered import Buffered
from interpose.net.errors import failure_of
from interpose.net.tls import ended_in_order, upgrade

PULL_LIMIT = 65536
WRITE_LIMIT = 4096
"""What may wait for a peer before its other side is paused. One read of the event loop (250 KiB) may come on top, so
that no direction holds more than 256 KiB."""


class Owner(Protocol):
    """Who keeps account of streams: a listener or a dialler."""

    def opened(self, stream: SocketStream) -> None:
        """A stream begins."""

    def closed(self, stream: SocketStream) -> None:
        """A stream is gone for good."""


class SocketStream(asyncio.Protocol):
    """One connection. `handler` (for accepted streams) is called once, when the connection is there."""

    __slots__ = (
        "_buffer", "_eof", "_failure", "_full", "_handler", "_info", "_lost", "_owner", "_reading", "_receiver",
        "_room", "_task", "_transport", "_upgrading", "_waiter", "_when_lost", "_written",
    )  # fmt: skip

    def __init__(self, handler: StreamHandler | None = None, owner: Owner | None = None) -> None:
        self._handler = handler
        self._owner = owner
        self._when_lost: Callable[[Failure | None], None] | None = None
        self._written = 0
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._buffer = b""
        self._eof = False
        self._failure: Failure | None = None
        self._full = False
        self._reading = True
        self._lost = False
        self._upgrading = False
        self._info: StreamInfo | None = None
        self._waiter: asyncio.Future[None] | None = None  # of the one who reads
        self._room: asyncio.Event | None = None  # of those who write, who may be others, and several
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, or (after `start_tls`) its TLS layer is."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)  # type: ignore[union-attr]
        if self._upgrading:
            return
        if self._owner is not None:
            self._owner.opened(self)
        handler, self._handler = self._handler, None
        if handler is not None:
            handler(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came: to the receiver, else into the buffer, which pauses the peer when it is full."""
        if self._receiver is not None:
            self._receiver.bytes_received(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) >= PULL_LIMIT and not self._upgrading:
            self.pause()
        self._wake()

    def receive_in_pieces(self) -> None:
        """See `Stream.receive_in_pieces`. (The event loop's own reads are up to 250 KiB.)"""
        transport = self._transport
        if transport is None or transport.is_closing() or not transport.is_reading():
            return
        transport.pause_reading()  # the way of reading is chosen when it begins
        transport.set_protocol(Buffered(self))
        transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more. True keeps our own direction open; TLS cannot be half-closed."""
        transport = self._transport
        if transport is None or not ended_in_order(transport):
            return False  # and `connection_lost` follows, without an end before it
        self._eof = True
        if self._receiver is not None:
            self._receiver.end_received()
        self._wake()
        return transport.can_write_eof()

    def pause_writing(self) -> None:
        """The transport's buffer is above its high-water mark."""
        self._full = True

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self._full = False
        if self._receiver is not None:
            self._receiver.writable()
        if self._room is not None:
            self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._lost or self._upgrading:  # during a handshake `start_tls` learns of it and says so
            return
        self._lose(None if exc is None else failure_of(exc, str(self.info.peer)))

    def _lose(self, failure: Failure | None) -> None:
        self._lost = True
        self._eof = True
        self._wake()
        if self._room is not None:
            self._room.set()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        receiver, self._receiver = self._receiver, None
        if self._owner is not None:
            self._owner.closed(self)
        self._failure = failure
        if receiver is not None:
            receiver.connection_lost(failure)
        when_lost, self._when_lost = self._when_lost, None
        if when_lost is not None:
            when_lost(failure)
        self._transport = None

    @property
    def info(self) -> StreamInfo:
        """Both addresses and the TLS parameters, read when first asked for."""
        if self._info is None:
            self._info = _describe(self._transport)
        return self._info

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the other side showed in TLS, in DER; None without one."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        shown: bytes | None = None if tls is None else tls.getpeercert(True)
        return shown

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._lost

    def write(self, data: bytes) -> bool:
        """See `Stream.write`."""
        transport = self._transport
        if transport is not None and not transport.is_closing():  # uvloop raises when it is
            self._written += len(data)
            transport.write(data)
        return not self._full

    def end(self) -> None:
        """See `Stream.end`. TLS has no half-close that peers understand: the stream closes."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():
            transport.close()
            return
        with contextlib.suppress(OSError):  # stock asyncio raises when the peer has reset the connection already
            transport.write_eof()

    def close(self) -> None:
        """See `Stream.close`."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """See `Stream.abort`."""
        if self._transport is not None:
            _reset(self._transport)
            self._transport.abort()

    def pause(self) -> None:
        """See `Stream.pause`."""
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Stream.resume`."""
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    @property
    def written_bytes(self) -> int:
        """See `Stream.written_bytes`."""
        return self._written

    @property
    def is_full(self) -> bool:
        """See `Stream.is_full`."""
        return self._full

    @property
    def is_reading(self) -> bool:
        """See `Stream.is_reading`."""
        return self._reading

    @property
    def unsent_bytes(self) -> int:
        """What the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """See `Stream.attach`."""
        self._receiver = receiver
        data, self._buffer = self._buffer, b""
        if data:
            receiver.bytes_received(data)
        if self._eof and self._receiver is receiver and self._failure is None:
            receiver.end_received()
        if self._receiver is not receiver:
            return
        if self._lost:
            self._receiver = None
            receiver.connection_lost(self._failure)
        elif data:
            self.resume()

    def when_lost(self, function: Callable[[Failure | None], None]) -> None:
        """See `Stream.when_lost`."""
        if self._lost:
            function(self._failure)
            return
        before = self._when_lost
        self._when_lost = function if before is None else in_order(before, function)

    def hand_over(self, early: bytes) -> None:
        """See `Stream.hand_over`."""
        self._receiver = None
        self._buffer = early

    async def peek(self, size: int) -> bytes:
        """See `Stream.peek`."""
        while len(self._buffer) < size and not self._eof:
            await self._more(size)
        return self._buffer

    async def read(self, limit: int = PULL_LIMIT) -> bytes:
        """See `Stream.read`."""
        while not self._buffer and not self._eof:
            await self._more()
        data, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return data

    async def drain(self) -> None:
        """See `Stream.drain`."""
        while self._full and not self._lost:
            self._room = self._room or asyncio.Event()
            self._room.clear()
            await self._room.wait()

    async def start_tls(self, context: Any, *, server_name: str | None = None) -> None:
        """See `Stream.start_tls`. What was peeked at and not read is the beginning of the handshake."""
        transport = self._transport
        if transport is None or self._receiver is not None:
            raise Failure("connection_terminated", Side.UPSTREAM, "The connection was gone before TLS could start.")
        info = self.info
        received, self._buffer = self._buffer, b""
        self._reading = self._upgrading = True
        try:
            inner = Buffered(self)
            self._transport = upgraded = await upgrade(transport, inner, context, received, server_name=server_name)
        except BaseException as error:
            transport.abort()
            self._upgrading = False
            if not isinstance(error, OSError):
                self._lose(None)
                raise
            side = Side.UPSTREAM if server_name else Side.DOWNSTREAM
            failure = failure_of(error, server_name or str(info.peer), side=side, in_handshake=True)
            self._lose(failure)
            raise failure from error
        self._upgrading = False
        self._info = StreamInfo(info.peer, info.local, _describe_tls(upgraded, server_name))
        if len(self._buffer) >= PULL_LIMIT:
            self.pause()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Stream.run`."""
        self._task = asyncio.get_running_loop().create_task(coroutine)
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        is_current = self._task is task
        if is_current:
            self._task = None
        if task.cancelled():
            self.abort()
            return
        error = task.exception()
        if error is None:
            if self._receiver is None and is_current:  # else its last act was to give the stream to another task
                self.close()
        elif isinstance(error, Failure):
            self.abort()
        else:
            self.abort()
            raise error

    async def _more(self, wanted: int = 0) -> None:
        if len(self._buffer) < max(PULL_LIMIT, wanted):
            self.resume()
        await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def in_order(
    first: Callable[[Failure | None], None], second: Callable[[Failure | None], None]
) -> Callable[[Failure | None], None]:
    """A function that calls both."""

    def both(failure: Failure | None) -> None:
        first(failure)
        second(failure)

    return both


def _address(value: object) -> Address:
    if isinstance(value, tuple):
        return Address(value[0], value[1])
    return Address(value if isinstance(value, str) else "", 0)


def _describe(transport: asyncio.Transport | None) -> StreamInfo:
    if transport is None:
        return StreamInfo(Address("", 0), Address("", 0))
    info: Callable[[str], Any] = transport.get_extra_info
    peer, local = info("peername"), _address(info("sockname"))
    unknown = peer is None and local.port != 0
    return StreamInfo(UNKNOWN if unknown else _address(peer), local, _describe_tls(transport, None))


def _describe_tls(transport: asyncio.Transport, server_name: str | None) -> TlsInfo | None:
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    cipher = tls.cipher()
    shown = tls.getpeercert(binary_form=True) if server_name is None else None  # a server's is no news
    return TlsInfo(tls.version() or "", cipher[0] if cipher else "", server_name, tls.selected_alpn_protocol(), shown)


def _reset(transport: asyncio.Transport) -> None:
    """Make the close that follows a reset (RST), not an orderly end: the peer can see that something is missing."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

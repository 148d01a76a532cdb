"""What TLS transports and those of peers that send much deliver into: a scratch buffer of the loop, copied out at once.

Without it the event loop's TLS makes a `bytes` of 256 KiB for each read and shrinks it to the few hundred bytes that
came, which cost more than the decryption; and without TLS one read is up to 250 KiB, all of which may have to wait for
a slow reader.
"""

from __future__ import annotations

import asyncio
import weakref

from interpose.core.body import MAX_PIECE_BYTES

# One for each event loop. Its content is copied out before the loop calls anybody else.
_SCRATCH: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()


class Buffered(asyncio.BufferedProtocol):
    """Passes everything on to `protocol`, what is received as `bytes`."""

    __slots__ = ("_protocol", "_scratch")

    def __init__(self, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        scratch = _SCRATCH.get(loop)
        if scratch is None:
            scratch = _SCRATCH[loop] = memoryview(bytearray(MAX_PIECE_BYTES))
        self._protocol = protocol
        self._scratch = scratch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._protocol.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive."""
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """That much was received."""
        self._protocol.data_received(bytes(self._scratch[:nbytes]))

    def eof_received(self) -> bool | None:
        """See `asyncio.BufferedProtocol`."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._protocol.connection_lost(exc)

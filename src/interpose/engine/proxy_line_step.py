"""The PROXY protocol on a listener, as a step before another stream handler: before TLS, and before any protocol.

Who is listed must begin with a PROXY line, and what that says of the client holds for everything after it. Who is not
listed is served as who it is: a line of its own is no such line, but the client's first bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interpose.core.failure import Failure, Side
from interpose.core.networks import Networks
from interpose.core.stream import Stream, StreamHandler
from interpose.protocol.proxy_line import ProxyLine, read_proxy_line


class ProxyLineStep:
    """A stream handler that reads the line of listed peers, and then lets `handler` serve the stream.

    The peer of a Unix socket has no address; it counts as listed, since the permissions of the file have decided who it
    can be. `refused` hears of each connection that ends here, after it was broken off.
    """

    def __init__(
        self,
        believed: Networks,
        handler: StreamHandler,
        *,
        timeout_s: float,
        refused: Callable[[Stream, Failure], None],
    ) -> None:
        self._believed = believed
        self._handler = handler
        self._timeout_s = timeout_s
        self._refused = refused

    def __call__(self, stream: Stream) -> None:
        """Serve one stream."""
        host, port = stream.info.peer
        if port == 0 or host in self._believed:
            stream.run(self._serve(stream))
        else:
            self._handler(stream)

    async def _serve(self, stream: Stream) -> None:
        try:
            line = await self._line(stream)
        except Failure as failure:
            stream.abort()
            self._refused(stream, failure)
            return
        if line is None:
            return
        # That somebody used a Unix socket on another machine says nothing of who may use this port.
        if line.peer is not None and line.local is not None and (line.peer.port or not stream.info.peer.port):
            stream.info.peer, stream.info.local = line.peer, line.local
        self._handler(stream)

    async def _line(self, stream: Stream) -> ProxyLine | None:
        """The PROXY line, taken off the stream; None when the peer left without a byte (checks of health do)."""
        try:
            async with asyncio.timeout(self._timeout_s):
                data = await stream.peek(1)
                if not data:
                    return None
                while (line := read_proxy_line(data)) is None:
                    seen = len(data)
                    data = await stream.peek(seen + 1)
                    if len(data) == seen:
                        raise Failure("connection_terminated", Side.DOWNSTREAM, "The PROXY line was cut off.")
        except TimeoutError:
            detail = f"No PROXY line came within {self._timeout_s:g} s."
            raise Failure("connection_timeout", Side.DOWNSTREAM, detail) from None
        await stream.read(line.size)
        return line

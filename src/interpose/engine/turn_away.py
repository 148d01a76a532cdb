"""Answers connections when there is no worker to do it, so that they do not wait for one that may not come soon.

Only while every worker keeps dying. Nothing is read or relayed: a plain HTTP listener says 503, others just close.
Datagrams stay in the kernel's queue as far as there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from interpose.engine.listening_sockets import Group
from interpose.net.listen import BACKLOG

LINGER_S = 1.0
"""How long the client may take to read its 503; closing at once could reset the connection before it has."""

MOST_AT_ONCE = 256

ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Connection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Retry-After: 2\r\n"
    b"Content-Length: 48\r\n"
    b"\r\n"
    b"No worker is there to answer; one is restarted.\n"
)


class _Refusal(asyncio.Protocol):
    """One connection that is turned away."""

    def __init__(self, answer: bytes, open_now: set[_Refusal]) -> None:
        self._answer = answer
        self._open_now = open_now
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and wait a moment."""
        self._transport = transport  # type: ignore[assignment]
        self._open_now.add(self)
        if not self._answer or len(self._open_now) > MOST_AT_ONCE:
            self.abort()
            return
        with contextlib.suppress(OSError):
            self._transport.write(self._answer)  # type: ignore[union-attr]
            self._transport.write_eof()  # type: ignore[union-attr]
        asyncio.get_running_loop().call_later(LINGER_S, self.abort)

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._open_now.discard(self)

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()


class TurnAway:
    """Accepts from all sockets of an instance between `begin` and `end`."""

    def __init__(self) -> None:
        self.is_on = False
        self._servers: list[asyncio.Server] = []
        self._open_now: set[_Refusal] = set()

    async def begin(self, groups: list[Group]) -> None:
        """Turn away whoever comes, and whoever waits already."""
        self.is_on = True
        loop = asyncio.get_running_loop()
        for group in groups:
            if group.listener.udp:
                continue
            answer = ANSWER if group.listener.scheme == "http" else b""
            for sock in group.sockets:
                server = await loop.create_server(self._refusal(answer), sock=sock.socket.dup(), backlog=BACKLOG)
                if not self.is_on:
                    server.close()
                    return
                self._servers.append(server)

    def end(self) -> None:
        """Leave the sockets to workers again."""
        self.is_on = False
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _refusal(self, answer: bytes) -> Any:
        return lambda: _Refusal(answer, self._open_now)

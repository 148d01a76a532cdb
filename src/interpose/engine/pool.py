"""Connections to origins that wait for the next exchange: a stack for each origin, the one used last on top.

The stack keeps busy connections warm and lets the others grow old, so that a quiet hour ends with few. Deciding is
separate from doing: `take` and `put` only move entries, and what must be closed is returned or closed by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator

from interpose.core.target import Origin
from interpose.engine.upstream_connection import UpstreamConnection


class Pool:
    """Idle connections by origin."""

    def __init__(self, max_idle: int, idle_timeout_s: float) -> None:
        self._max_idle = max_idle
        self._idle_timeout_s = idle_timeout_s
        self._idle: dict[Origin, list[UpstreamConnection]] = {}

    def take(self, origin: Origin) -> UpstreamConnection | None:
        """The connection to `origin` that was used last, taken out; None when there is none."""
        stack = self._idle.get(origin)
        while stack:
            connection = stack.pop()
            if not connection.is_lost:
                return connection
        return None

    def put(self, origin: Origin, connection: UpstreamConnection, now: float) -> bool:
        """Keep `connection`; False when there are enough, and it must be closed."""
        stack = self._idle.get(origin)
        if stack is None:
            stack = self._idle[origin] = []
        if len(stack) >= self._max_idle:
            return False
        connection.idle_since = now
        stack.append(connection)
        return True

    def forget(self, origin: Origin, connection: UpstreamConnection) -> None:
        """A connection is lost: it may be among the idle ones."""
        stack = self._idle.get(origin)
        if stack is not None:
            if connection in stack:
                stack.remove(connection)
            if not stack:
                del self._idle[origin]

    def expired(self, now: float) -> Iterator[UpstreamConnection]:
        """Take out the connections that have been idle for too long."""
        for stack in self._idle.values():
            old = 0
            while old < len(stack) and now - stack[old].idle_since >= self._idle_timeout_s:
                yield stack[old]
                old += 1
            del stack[:old]

    def oldest(self) -> list[UpstreamConnection]:
        """Take out the quarter, at least one, that was used longest ago."""
        idle = [(connection.idle_since, origin) for origin, stack in self._idle.items() for connection in stack]
        idle.sort(key=lambda entry: entry[0])
        return [self._idle[origin].pop(0) for _, origin in idle[: -(-len(idle) // 4)]]

    def clear(self) -> list[UpstreamConnection]:
        """Take out all."""
        connections = [connection for stack in self._idle.values() for connection in stack]
        self._idle.clear()
        return connections

    def __len__(self) -> int:
        return sum(len(stack) for stack in self._idle.values())

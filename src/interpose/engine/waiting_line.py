"""The line before a group whose servers are all full: bounded in length and in time."""

from __future__ import annotations

import asyncio
from collections import deque

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.upstream.group import Group, Lack
from interpose.upstream.server import Server


class _Place:
    """One request in the line, and what it waits with."""

    __slots__ = ("avoid", "key", "server")

    def __init__(self, key: bytes, avoid: tuple[Server, ...], server: asyncio.Future[Server]) -> None:
        self.key = key
        self.avoid = avoid
        self.server = server


class WaitingLine:
    """Requests that wait for a server of `group`, first come, first served. `wake` when there may be room."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._line: deque[_Place] = deque()
        self._loop = asyncio.get_running_loop()
        self.max_waiting = 0
        self.timeout_s = 0.0

    def __len__(self) -> int:
        return len(self._line)

    async def server(self, exchange: Exchange, key: bytes, avoid: tuple[Server, ...] = ()) -> Server:
        """A server, on which the request counts as under way. `Failure` (503) when none is up, when the line is too
        long already, and after `timeout_s`."""
        group = self._group
        if group.lack is Lack.DOWN:
            why = f"No server of the upstream {group.name} is up."
            exchange.refused_by("balance", "upstream", why)
            raise Failure("destination_unavailable", Side.UPSTREAM, why)
        if len(self._line) >= self.max_waiting:
            raise self._refusal(exchange, "max_waiting", f"{len(self._line)} requests wait already.")
        place = _Place(key, avoid, self._loop.create_future())
        self._line.append(place)
        timer = self._loop.call_later(self.timeout_s, self._give_up, place, exchange)
        try:
            return await place.server
        except asyncio.CancelledError:
            if place.server.done() and not place.server.cancelled() and place.server.exception() is None:
                group.ended(place.server.result())  # it was its turn in the moment in which its client left
                self.wake()
            raise
        finally:
            timer.cancel()
            if place in self._line:
                self._line.remove(place)

    def wake(self) -> None:
        """Let those at the front go, as far as there is room."""
        while self._line:
            place = self._line[0]
            if not place.server.done():
                server = self._group.choose(place.key, self._loop.time(), place.avoid)
                if server is None:
                    return
                place.server.set_result(server)
            self._line.popleft()

    def _give_up(self, place: _Place, exchange: Exchange) -> None:
        if not place.server.done():
            why = f"None became free within {self.timeout_s:g} s."
            place.server.set_exception(self._refusal(exchange, "queue_timeout_s", why))

    def _refusal(self, exchange: Exchange, rule: str, why: str) -> Failure:
        sentence = f"All servers of the upstream {self._group.name} are busy. {why}"
        exchange.refused_by("balance", rule, sentence)
        return Failure("connection_limit_reached", Side.UPSTREAM, sentence)

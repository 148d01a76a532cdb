"""What happens, as it happens, for everybody who watches: one short history in memory, and a place in it for each.

There is one ring for all clients, of HISTORY_EVENTS and HISTORY_BYTES at most. A client is a position in it, so a slow
one costs as little as a quick one: when the ring has moved past its position it goes on with the oldest event that is
there, and is told with `dropped` how many it has missed. So does one that comes back with the number of its last event.

While nobody watches, an event is a number that grows and nothing else: no JSON is made.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

HISTORY_EVENTS: Final = 1000
HISTORY_BYTES: Final = 1 << 20
MOST_CLIENTS: Final = 64
WRITE_BYTES: Final = 1 << 16


class _Event(NamedTuple):
    number: int
    text: bytes


class TooMany(Exception):
    """There are MOST_CLIENTS already."""


class Events:
    """See the module. `publish` and all of it belong to the event loop."""

    def __init__(self, encode: Callable[[Any], bytes] = msgspec.json.encode) -> None:
        self.run = secrets.token_hex(4)
        """Which run of an instance the numbers are of."""
        self.newest = 0
        """The number of the last event, the first is 1."""
        self._encode = encode
        self._ring: deque[_Event] = deque()
        self._ring_bytes = 0
        self._clients: set[Client] = set()
        self._is_closed = False

    @property
    def has_clients(self) -> bool:
        """Whether anybody watches: what is costly to make for an event need not be made otherwise."""
        return bool(self._clients)

    def publish(self, kind: str, data: Any) -> None:
        """Tell everybody who watches. `data` becomes JSON."""
        self.newest += 1
        if not self._clients:
            return
        text = b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
            self.run.encode(), self.newest, kind.encode(), self._encode(data),
        )  # fmt: skip
        ring = self._ring
        ring.append(_Event(self.newest, text))
        self._ring_bytes += len(text)
        while len(ring) > HISTORY_EVENTS or (self._ring_bytes > HISTORY_BYTES and len(ring) > 1):
            self._ring_bytes -= len(ring.popleft().text)
        for client in self._clients:
            client.news.set()

    def skip(self, count: int) -> None:
        """So many events have happened that nobody watched."""
        self.newest += count

    def client(self, last_id: str = "") -> Client:
        """Somebody who watches from now on, or from the event with this id on. Close it. Raises TooMany."""
        if len(self._clients) >= MOST_CLIENTS or self._is_closed:
            raise TooMany
        client = Client(self, *self._position(last_id))
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """`client` watches no more. What nobody was there to hear is not kept once everybody has gone."""
        self._clients.discard(client)

    def close(self) -> None:
        """Let everybody go."""
        self._is_closed = True
        for client in self._clients:
            client.news.set()

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._is_closed

    def after(self, number: int) -> tuple[int, list[_Event]]:
        """How many events behind `number` are gone, and some that are there, oldest first."""
        missing = self.newest - number
        if missing <= 0:
            return 0, []
        # Events have one number each, but for those that nobody watched, which are before all that are in the ring
        # or between two of them: then what is there is behind a gap, and the gap is counted when it is reached.
        found: list[_Event] = []
        size = 0
        for event in self._behind(number):
            if size > WRITE_BYTES or (found and event.number != found[-1].number + 1):
                break
            found.append(event)
            size += len(event.text)
        if not found:
            return missing, []
        return found[0].number - number - 1, found

    def _behind(self, number: int) -> list[_Event]:
        """Events in the ring with greater numbers. (Whoever keeps up is near the end.)"""
        found: list[_Event] = []
        for event in reversed(self._ring):
            if event.number <= number:
                break
            found.append(event)
        found.reverse()
        return found

    def _position(self, last_id: str) -> tuple[int, bool]:
        """The number after which to go on, and whether what was before is of another run."""
        run, dash, number = last_id.partition("-")
        if not dash:
            return self.newest, False
        if run != self.run or not (number.isascii() and number.isdecimal() and len(number) < 16):
            return self.newest, True
        return min(int(number), self.newest), False


class Client:
    """Somebody who watches: `next` gives what there is to write, b"" for nothing new."""

    def __init__(self, events: Events, position: int, is_another_run: bool) -> None:
        self.news = asyncio.Event()
        self._events = events
        self._position = position
        self._is_another_run = is_another_run
        if is_another_run or position < events.newest:
            self.news.set()

    def next(self) -> bytes:
        """The next events, as they are written; some 64 KiB at most."""
        self.news.clear()
        events = self._events
        gone, found = events.after(self._position)
        if self._is_another_run:
            self._is_another_run = False
            gone += self._position
            lost = True
        else:
            lost = gone > 0
        if not lost and not found:
            return b""
        self._position = found[-1].number if found else events.newest
        if self._position < events.newest:
            self.news.set()
        texts = [event.text for event in found]
        if lost:
            said = b"event: dropped\ndata: %s\n\n" % msgspec.json.encode({"count": gone})
            texts.insert(0, said if found else b"id: %s-%d\n%s" % (events.run.encode(), self._position, said))
        return b"".join(texts)

    def close(self) -> None:
        """Watch no more."""
        self._events.leave(self)

"""What passed in a conversation, as it is recorded: pieces of a stream, datagrams, or the messages of a WebSocket.

Content is kept up to a cap for each direction, and so many messages at most; everything is counted.
"""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.record import Passage
from interpose.protocol.websocket import Messages

MOST_MESSAGES = 10_000
"""How many messages of one conversation are kept."""


class Passages:
    """A `core.watcher.Watcher` that writes down what it is shown. `clock` is that of `started`."""

    __slots__ = ("_clock", "_room", "_started", "kept", "total")

    def __init__(self, clock: Callable[[], float], started: float, most_bytes: int) -> None:
        self._clock = clock
        self._started = started
        self._room = [most_bytes, most_bytes]
        self.kept: list[Passage] = []
        self.total = 0

    def received(self, data: bytes) -> None:
        """See `Watcher`."""
        self.add(True, data, len(data))

    def answered(self, data: bytes) -> None:
        """See `Watcher`."""
        self.add(False, data, len(data))

    def sends_no_more(self) -> None:
        """See `Watcher`. That is no message."""

    def add(self, inbound: bool, data: bytes, size: int, kind: str = "") -> None:
        """One more message."""
        self.total += 1
        if len(self.kept) >= MOST_MESSAGES:
            return
        room = self._room[inbound]
        kept = bytes(data[:room])
        self._room[inbound] = room - len(kept)
        self.kept.append(Passage(self._clock() - self._started, inbound, kept, size, kind))


class WebSocketPassages(Passages):
    """The messages of a WebSocket. Where a direction turns out to be none, its octets are written down as they come."""

    __slots__ = ("_inbound", "_outbound")

    def __init__(self, clock: Callable[[], float], started: float, most_bytes: int) -> None:
        super().__init__(clock, started, most_bytes)
        self._inbound: Messages | None = Messages(most_bytes)
        self._outbound: Messages | None = Messages(most_bytes)

    def received(self, data: bytes) -> None:
        """See `Watcher`."""
        if self._inbound is not None and not self._read(self._inbound, True, data):
            self._inbound = None
        elif self._inbound is None:
            self.add(True, data, len(data))

    def answered(self, data: bytes) -> None:
        """See `Watcher`."""
        if self._outbound is not None and not self._read(self._outbound, False, data):
            self._outbound = None
        elif self._outbound is None:
            self.add(False, data, len(data))

    def _read(self, messages: Messages, inbound: bool, data: bytes) -> bool:
        try:
            for message in messages.feed(data):
                self.add(inbound, message.data, message.size, message.kind)
        except ValueError:
            self.add(inbound, data, len(data))
            return False
        return True

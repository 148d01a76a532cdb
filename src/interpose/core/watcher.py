"""Who is shown what passes in a conversation: piece by piece, both ways, as it passes."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Shown everything. Each method returns at once, and raises nothing."""

    def received(self, data: bytes) -> None:
        """The client sent this."""

    def answered(self, data: bytes) -> None:
        """The client was sent this."""

    def sends_no_more(self) -> None:
        """The client has ended its side."""


class Both:
    """Two watchers as one."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Watcher, second: Watcher) -> None:
        self._first = first
        self._second = second

    def received(self, data: bytes) -> None:
        """See `Watcher`."""
        self._first.received(data)
        self._second.received(data)

    def answered(self, data: bytes) -> None:
        """See `Watcher`."""
        self._first.answered(data)
        self._second.answered(data)

    def sends_no_more(self) -> None:
        """See `Watcher`."""
        self._first.sends_no_more()
        self._second.sends_no_more()


def together(first: Watcher | None, second: Watcher | None) -> Watcher | None:
    """Both of them, or the one that there is."""
    if first is None or second is None:
        return first or second
    return Both(first, second)

"""What outlives one configuration: log writers, scripts, certificates, pools of connections.

A reload builds its chains anew but asks here for these, by what they are made from; what is the same stays, with its
open connections and its counts. `unasked` gives up what the newest configuration no longer asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Parts:
    """Long-lived parts by key."""

    def __init__(self) -> None:
        self._parts: dict[tuple[type, Hashable], Any] = {}
        self._asked: set[tuple[type, Hashable]] = set()

    def get(self, kind: type[T], key: Hashable, make: Callable[[], T]) -> T:
        """The part of this kind for `key`, made when there is none."""
        full_key = (kind, key)
        self._asked.add(full_key)
        if full_key not in self._parts:
            self._parts[full_key] = make()
        part: T = self._parts[full_key]
        return part

    def every(self, kind: type[T]) -> list[T]:
        """All parts of one kind."""
        return [part for key, part in self._parts.items() if key[0] is kind]

    def begin(self) -> None:
        """A new configuration begins to ask."""
        self._asked.clear()

    def unasked(self) -> list[Any]:
        """Forget and return what was not asked for since `begin`."""
        keys = [key for key in self._parts if key not in self._asked]
        return [self._parts.pop(key) for key in keys]

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
        self._made: list[tuple[type, Hashable]] = []

    def get(self, kind: type[T], key: Hashable, make: Callable[[], T]) -> T:
        """The part of this kind for `key`, made when there is none."""
        full_key = (kind, key)
        self._asked.add(full_key)
        if full_key not in self._parts:
            self._parts[full_key] = make()
            self._made.append(full_key)
        part: T = self._parts[full_key]
        return part

    def every(self, kind: type[T]) -> list[T]:
        """All parts of one kind."""
        return [part for key, part in self._parts.items() if key[0] is kind]

    def serving(self, kind: type[T]) -> list[T]:
        """Those of one kind that a configuration has asked for which came to run: what was made for another one is to
        have no effect (THREATS F15)."""
        return [part for key, part in self._parts.items() if key[0] is kind and key not in self._made]

    def begin(self) -> list[Any]:
        """A new configuration begins to ask. Forgets and returns what was made for one that never came to run."""
        self._asked.clear()
        made, self._made = self._made, []
        return [self._parts.pop(key) for key in made]

    def unasked(self) -> list[Any]:
        """The new configuration runs. Forgets and returns what it did not ask for."""
        self._made.clear()
        keys = [key for key in self._parts if key not in self._asked]
        return [self._parts.pop(key) for key in keys]

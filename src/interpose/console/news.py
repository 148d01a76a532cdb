"""What the page hears of: new flows, holds that have changed, files that have moved on, and a value a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from interpose.console.events import Events
from interpose.storage.desk.kept import State
from interpose.storage.desk.views import HoldRow
from interpose.storage.spool import Spool
from interpose.storage.spool_item import Item
from interpose.storage.spool_watch import Watch

LOOK_S: Final = 1.0


class HoldNews:
    """Tells of holds (`changed` is what a desk calls), and knows how many wait."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._waiting: set[str] = set()

    @property
    def waiting(self) -> int:
        """How many holds wait."""
        return len(self._waiting)

    def known(self, rows: Sequence[HoldRow]) -> None:
        """These were there before anybody told."""
        self._waiting |= {row.id for row in rows if row.state is State.WAITING}

    def changed(self, row: HoldRow) -> None:
        """This one is new, or not what it was."""
        if row.state is State.WAITING:
            self._waiting.add(row.id)
        else:
            self._waiting.discard(row.id)
        self._events.publish("hold", row)


class SpoolNews:
    """Tells of files in `spools`. Other processes move them, so they are looked at, but only while somebody watches."""

    def __init__(self, spools: Sequence[Spool], events: Events) -> None:
        self._events = events
        self._watched = [(spool, Watch(spool)) for spool in spools]
        self._known: dict[str, Item] | None = None

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Tell what is new since the last look. The first only takes down what is there."""
        if not self._events.has_clients:
            self._known = None
            return
        items = await asyncio.to_thread(self._items)
        before, self._known = self._known, items
        if before is None:
            return
        for id, item in items.items():
            if before.get(id) != item:
                self._events.publish("spool", item)
        over = [id for id in before if id not in items]
        for item in await asyncio.to_thread(self._found, over) if over else ():
            self._events.publish("spool", item)

    def _items(self) -> dict[str, Item]:
        items: dict[str, Item] = {}
        for _, watch in self._watched:
            try:
                items |= {item.id: item for item in watch.look(time.time_ns())}
            except OSError:
                continue  # the directory is not there yet, or cannot be read: whoever serves it says so
        return items

    def _found(self, ids: list[str]) -> list[Item]:
        found: list[Any] = []
        for id in ids:
            for spool, _ in self._watched:
                try:
                    found.append(spool.find(id))
                except (OSError, ValueError):
                    continue
        return [item for item in found if item is not None]

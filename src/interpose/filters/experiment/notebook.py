"""What a worker has seen of its experiments, on its way to the books.

It is sent twice a second, one batch after the other, and answered when it is on the disk. A batch that cannot be
written is kept and sent again, so that nothing is lost to a full disk; what a worker has not sent when it is killed is
lost, which is half a second of it. Traffic never waits: beyond MOST_WAITING notes, new ones are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Final

from interpose.core.experiment.assignment import HELD_OUT
from interpose.core.experiment.notes import HOLDOUT, MOST, Event, Exposure, Notes, encode_notes
from interpose.core.experiment.requests import Kind, Requests
from interpose.core.failure import Failure

log = logging.getLogger("interpose")

TOPIC: Final = "experiments.notes"
INTERVAL_S: Final = 0.5
RETRY_S: Final = 5.0
LAST_WORDS_S: Final = 1.5
BATCH: Final = 2_000
MOST_WAITING: Final = 20_000
MOST_SEEN: Final = 50_000
"""Units that were sent and need not be sent again. When there are more, all are forgotten; the books know them."""


class Page:
    """One experiment as it is set up: `shares` of its variants by their names, in the order of their indexes."""

    __slots__ = (
        "_notebook",
        "_reached",
        "_seen",
        "events",
        "exposures",
        "most_units",
        "name",
        "names",
        "requests",
        "salt",
        "shares",
    )

    def __init__(self, notebook: Notebook, name: str, salt: str, shares: Mapping[str, float], most_units: int) -> None:
        self.name = name
        self.salt = salt
        self.names = list(shares)
        self.shares = dict(shares)
        self.most_units = most_units
        self.exposures: list[Exposure] = []
        self.events: list[Event] = []
        self.requests: dict[str, Requests] = {}
        self._seen: set[bytes] = set()
        self._reached: set[tuple[bytes, str]] = set()
        self._notebook = notebook

    def expose(self, unit: bytes, variant: int) -> None:
        """A unit gets its variant, or is HELD_OUT."""
        seen = self._seen
        if unit in seen or not self._notebook.has_room():
            return
        if len(seen) >= MOST_SEEN:
            seen.clear()
        seen.add(unit)
        self.exposures.append((unit, HOLDOUT if variant == HELD_OUT else self.names[variant], time.time()))
        self._notebook.add()

    def reach(self, unit: bytes, goal: str, kind: Kind, value: float) -> None:
        """A unit has come to a goal. A conversion that counts already need not be told again: one does if this page
        has told what the unit was shown. (Another worker may have shown it, and told of that a moment ago or not.)"""
        if not -MOST <= value <= MOST:  # nan is neither
            return
        key = (unit, goal)
        if key in self._reached or not self._notebook.has_room():
            return
        if kind == "conversion" and unit in self._seen:
            if len(self._reached) >= MOST_SEEN:
                self._reached.clear()
            self._reached.add(key)
        self.events.append(Event(unit, goal, kind, value, time.time()))
        self._notebook.add()

    def count(self, variant: int, place: int, *, failed: bool) -> None:
        """An exchange of a variant has ended; `place` is that of its time among `tally.BOUNDS_S`."""
        name = self.names[variant]
        requests = self.requests.get(name)
        if requests is None:
            requests = self.requests[name] = Requests()
        requests.count += 1
        requests.errors += failed
        requests.times[place] += 1
        self._notebook.wake()

    def collected(self) -> Notes | None:
        """What is to be sent next, no longer here then; None when there is nothing."""
        if not (self.exposures or self.events or self.requests):
            return None
        exposures, self.exposures = self.exposures[:BATCH], self.exposures[BATCH:]
        # What a unit came to is sent after what it was shown, or the books would not know it.
        events: list[Event] = []
        if not self.exposures:
            events, self.events = self.events[:BATCH], self.events[BATCH:]
        requests, self.requests = self.requests, {}
        return Notes(
            name=self.name,
            salt=self.salt,
            shares=self.shares,
            most_units=self.most_units,
            exposures=exposures,
            events=events,
            requests=requests,
        )

    def put_back(self, notes: Notes) -> None:
        """It could not be written."""
        self.exposures[:0] = notes.exposures
        self.events[:0] = notes.events
        for name, requests in notes.requests.items():
            if (known := self.requests.get(name)) is not None:
                requests.add(known)
            self.requests[name] = requests


class Notebook:
    """All pages of a worker. `ask` is a call to the supervisor: topic and question."""

    def __init__(self, ask: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        self.dropped = 0
        self._ask = ask
        self._pages: dict[Hashable, Page] = {}
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._is_failing = False

    def page(self, name: str, salt: str, shares: Mapping[str, float], most_units: int) -> Page:
        """The page of an experiment; the same across reloads that leave it as it is. Exchanges that began before one
        that does not go on with theirs."""
        key = (name, salt, *shares.items(), most_units)
        if key not in self._pages:
            self._pages[key] = Page(self, name, salt, shares, most_units)
        return self._pages[key]

    def has_room(self) -> bool:
        """Whether a note can be added; it is counted as dropped when not."""
        if self._waiting < MOST_WAITING:
            return True
        self.dropped += 1
        return False

    def add(self) -> None:
        """A note was added."""
        self._waiting += 1
        self.wake()

    def wake(self) -> None:
        """There is something to send, by and by."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())
        else:
            self.wake()

    async def _send(self) -> None:
        while batch := [(page, notes) for page in self._pages.values() if (notes := page.collected()) is not None]:
            sent = sum(len(notes.exposures) + len(notes.events) for _, notes in batch)
            try:
                await self._ask(TOPIC, encode_notes([notes for _, notes in batch]))
            except BaseException as error:
                for page, notes in batch:
                    page.put_back(notes)
                if not isinstance(error, Failure):
                    raise
                if not self._is_failing:
                    log.warning("what was seen of experiments cannot be written down, and is kept: %s", error.detail)
                self._is_failing = True
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._begin)
                return
            self._waiting -= sent
            self._is_failing = False

    async def close(self) -> None:
        """Send what is left, if that can be done soon."""
        with contextlib.suppress(TimeoutError, Failure):
            async with asyncio.timeout(LAST_WORDS_S):
                if self._sending is not None:
                    await self._sending
                await self._send()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

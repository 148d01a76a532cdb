"""What the desk sends by itself: requests whose clients were told 202, and those whose clients have gone.

A request is sent until an answer has come, whatever the answer says; then never again. Between two tries lies twice as
long each time, up to five minutes, spread a little so that many do not come at once. Who sent part of a request and
heard nothing does not know whether it arrived: sent again is what may be sent twice, all else waits for a person, and
so does what was tried often enough.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from interpose.core.failure import CONSEQUENCES, Failure
from interpose.core.hold import Held, HeldMessage, Settled
from interpose.storage.desk.contents import Damaged
from interpose.storage.desk.kept import Kept, State
from interpose.storage.desk.store import IDEMPOTENT, Store
from interpose.storage.desk.thread import StoreThread

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("interpose")

MOST_AT_ONCE = 16

Deliver = Callable[[Held, HeldMessage], Awaitable[Settled]]
"""Sends a request: how it was answered, or why it was not, as `Failure` or as the kind of one in `Settled.failure`."""


class Schedule(NamedTuple):
    """When and how often it is tried again."""

    first_s: float = 1.0
    most_s: float = 300.0
    max_attempts: int = 20

    def delay_s(self, attempts: int, chance: float) -> float:
        """How long to wait after so many tries; `chance` (0 to 1) spreads it from half of that up."""
        return min(self.most_s, self.first_s * 2.0 ** min(attempts - 1, 60)) * (0.5 + chance / 2)


SCHEDULE = Schedule()


class Outcome(NamedTuple):
    """What one try came to: an answer (`how`), another try after `retry_s`, or else a person has to look."""

    why: str
    how: Settled | None = None
    retry_s: float | None = None


def outcome_of(
    how: Settled | Failure, method: str, attempts: int, schedule: Schedule = SCHEDULE, chance: float = 1.0
) -> Outcome:
    """What follows from a try."""
    if isinstance(how, Settled) and how.status:
        return Outcome("", how)
    why = str(how) if isinstance(how, Failure) else how.failure or "nothing came back"
    if may_have_arrived(how) and method not in IDEMPOTENT:
        return Outcome(f"It may have arrived, and a {method} is not sent twice unasked: {why}")
    if attempts >= schedule.max_attempts:
        return Outcome(f"It was tried {attempts} times, the last time with: {why}")
    return Outcome(why, None, schedule.delay_s(attempts, chance))


def may_have_arrived(how: Settled | Failure) -> bool:
    """Whether something of it may have reached the server, as far as the failure tells."""
    if isinstance(how, Failure):
        return how.sent
    consequence = CONSEQUENCES.get(how.failure.partition(":")[0])
    return consequence is None or not consequence.retry_is_safe


class Deliveries:
    """Tries what the desk has to send. `changed` is told of each step; it, `wall` and `chance` are given."""

    def __init__(
        self,
        store: StoreThread,
        deliver: Deliver | None,
        schedule: Schedule,
        changed: Callable[[Kept], None],
        wall: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._schedule = schedule
        self._changed = changed
        self._wall = wall
        self._chance = chance
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[Kept]] = {}
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._is_closed = False

    def plan(self, hold: Kept) -> None:
        """Try it when its time has come. One that is planned or under way already is left so."""
        if self._is_closed or self._deliver is None or hold.id in self._timers or hold.id in self._tasks:
            return
        delay_s = max(0.0, min((hold.next_try or 0.0) - self._wall(), self._schedule.most_s))
        self._timers[hold.id] = asyncio.get_running_loop().call_later(delay_s, self._begin, hold.id)

    async def close(self) -> None:
        """Try nothing any more; what is under way is broken off, which the next start finds."""
        self._is_closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, id: str) -> None:
        del self._timers[id]
        task = asyncio.get_running_loop().create_task(self._try(id))
        self._tasks[id] = task
        task.add_done_callback(lambda task: self._ended(id, task))

    def _ended(self, id: str, task: asyncio.Task[Kept]) -> None:
        del self._tasks[id]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("hold %s cannot be delivered: %s", id, error, exc_info=error)
            return
        hold = task.result()
        self._changed(hold)
        if hold.state is State.DECIDED:
            self.plan(hold)

    async def _try(self, id: str) -> Kept:
        assert self._deliver is not None
        async with self._slots:
            try:
                hold, held = await self._noted(Store.begin_attempt, id)
            except Damaged as damage:
                return await self._noted(Store.reopen, id, str(damage), "interpose", self._wall())
            self._changed(hold)
            try:
                how: Settled | Failure = await self._deliver(held, held.message)
            except Failure as failure:
                how = failure
        outcome = outcome_of(how, hold.method, hold.attempts, self._schedule, self._chance())
        now = self._wall()
        if outcome.how is not None:
            return await self._noted(Store.settle, id, outcome.how, "interpose", now)
        if outcome.retry_s is None:
            return await self._noted(Store.reopen, id, outcome.why, "interpose", now)
        return await self._noted(Store.put_off, id, now + outcome.retry_s, outcome.why, now)

    async def _noted(self, function: Callable[Concatenate[Store, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the store returns, once the disk takes it: what is not noted down is neither done nor forgotten."""
        for attempts in itertools.count(1):
            try:
                return await self._store(function, *arguments, **named)
            except (OSError, sqlite3.Error) as error:
                if attempts == 1:
                    log.warning("the desk cannot note down what it sends, and waits: %s", error)
                await asyncio.sleep(self._schedule.delay_s(attempts, 1.0))
        raise AssertionError

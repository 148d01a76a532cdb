"""The desk, in the process that owns its files: a `core.hold.Desk`, and what people do at it.

Whoever holds a message waits for a future here; everything else is in the store, on a thread of its own. A step that
was begun is finished whoever leaves: what the store did is always told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine, Set
from typing import Any, NamedTuple, TypeVar

from interpose.core.failure import Failure, Side
from interpose.core.hold import Decision, Held, HeldMessage, Settled, Standing, Verdict
from interpose.storage.desk.contents import Damaged
from interpose.storage.desk.delivery import SCHEDULE, Deliver, Deliveries, Schedule
from interpose.storage.desk.kept import Kept, State
from interpose.storage.desk.passing import Passing
from interpose.storage.desk.place import in_words
from interpose.storage.desk.reviewers import Reviewers
from interpose.storage.desk.secrets import SECRET_FIELDS
from interpose.storage.desk.store import ROOM, Full, NoSuchHold, Room, Seen, Stale, Store
from interpose.storage.desk.thread import StoreThread
from interpose.storage.desk.views import HoldRow, row_of

log = logging.getLogger("interpose")

T = TypeVar("T")

HOUSEKEEPING_S = 10.0
PURGE_ROUNDS = 6


class DeskOptions(NamedTuple):
    """What a desk keeps, for how long, and when it tries again."""

    room: Room = ROOM
    schedule: Schedule = SCHEDULE
    keep_decided_s: float = 86400.0
    keep_abandoned_s: float = 604800.0
    secret_fields: Set[bytes] = SECRET_FIELDS


OPTIONS = DeskOptions()


class LocalDesk:
    """The desk in `directory`, from `start` to `close`.

    `deliver` sends what the desk has to send. `changed` is told of every hold that is new or not what it was, and
    `announce` of those that are new and wait for a person. `wall` is the wall clock.
    """

    def __init__(
        self,
        directory: str,
        options: DeskOptions = OPTIONS,
        *,
        deliver: Deliver | None = None,
        changed: Callable[[HoldRow], None] = lambda row: None,
        announce: Callable[[HoldRow], None] = lambda row: None,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.problem = ""
        """A sentence when the desk that was here was damaged, and set aside."""
        self._options = options
        self._tell = changed
        self._announce = announce
        self.wall = wall
        self.store = StoreThread(lambda: Store(directory, options.room, options.secret_fields))
        self.passing = Passing(wall)
        self.reviewers = Reviewers(time.monotonic)
        self._deliveries = Deliveries(self.store, deliver, options.schedule, self.changed, wall, chance)
        self._waiting: dict[str, asyncio.Future[Decision]] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._housekeeping: asyncio.Task[None] | None = None
        self._is_closing = False

    async def start(self) -> None:
        """Open the desk and go on with what it has to do. ValueError, a sentence, when it cannot be opened."""
        opened = await self.store.open()
        self.problem = opened.problem
        now = self.wall()
        await self.store(Store.recover, now)
        self.passing.take(await self.store(lambda store: store.rules.all(now)))
        for hold in await self.store(Store.unsettled):
            self._go_on(hold)
        self._housekeeping = asyncio.get_running_loop().create_task(self._keep_house())

    async def close(self) -> None:
        """Stop. Whoever still waits is cancelled; the next start finds what waited."""
        self._is_closing = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        await self._deliveries.close()
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()
        for future in list(self._waiting.values()):
            future.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    # --- core.hold.Desk --------------------------------------------------------------------------------------------

    async def hold(self, held: Held) -> Decision:
        """See `Desk.hold`."""
        if self.passing.lets(held):
            message = held.message
            return Decision(verdict=Verdict.RELEASE, by="rule", digest=message.digest, message=message)
        if held.id in self._waiting:
            raise _not_stored(ValueError(f"there is a hold {held.id!r} already"))
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting[held.id] = future  # before it can be decided, which is as soon as it is stored
        try:
            await self.whole(self._take_in(held))
            return await future
        except asyncio.CancelledError:
            was_decided = future.done() and not future.cancelled()
            self._spawn(self._client_left(held.id, was_decided))
            raise
        finally:
            del self._waiting[held.id]

    async def accept(self, held: Held) -> None:
        """See `Desk.accept`."""
        passes = self.passing.lets(held)
        await self.whole(self._take_in(held, announce=not passes))
        if passes:
            self._spawn(self.decide(held.id, Verdict.RELEASE, "rule"))

    async def standing(self, id: str) -> Standing | None:
        """See `Desk.standing`."""
        try:
            hold = await self.store(Store.hold, id)
        except NoSuchHold:
            return None
        how = hold.how if hold.state is State.SETTLED else None
        return Standing(state=hold.state.value, verdict=hold.verdict or "", how=how)

    def settled(self, id: str, how: Settled) -> None:
        """See `Desk.settled`."""
        self._spawn(self._note_end(id, how))

    # --- for `review` ----------------------------------------------------------------------------------------------

    def waits(self, id: str) -> bool:
        """Whether its client waits for it."""
        return id in self._waiting

    def row(self, hold: Kept) -> HoldRow:
        """A hold as lists have it."""
        return row_of(hold, self.waits(hold.id), self.reviewers.of(hold.id))

    def changed(self, hold: Kept) -> None:
        """Tell that a hold is new, or not what it was."""
        if hold.state is not State.WAITING:
            self._forget_deadline(hold.id)
            self.reviewers.forget(hold.id)
        self._tell(self.row(hold))

    async def decide(
        self,
        id: str,
        verdict: Verdict,
        who: str,
        *,
        seen: Seen | None = None,
        why: str = "",
        sends: bool = False,
        answer: Callable[[], HeldMessage] | None = None,
    ) -> Kept:
        """Decide as `Store.decide` does, and carry it out."""
        hold, decision = await self.store(
            Store.decide, id, verdict, seen, who, self.wall(), why=why, sends=sends, answer=answer
        )
        future = self._waiting.get(id)
        has_taken = future is not None and not future.done()
        if future is not None and has_taken:
            future.set_result(decision)
        if hold.ours:
            self._deliveries.plan(hold)
        elif verdict is Verdict.DROP:
            return await self._settle(id, Settled(failure="dropped"), hold)
        elif not has_taken:
            return await self._undo(hold)
        elif decision.verdict is Verdict.ANSWER and decision.message is not None:
            return await self._settle(id, Settled(status=decision.message.status), hold)
        self.changed(hold)
        return hold

    async def whole(self, steps: Coroutine[Any, Any, T]) -> T:
        """What `steps` return, or raise; they are taken to their end though whoever waits for them leaves."""
        task = self._begin(steps)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    # --- parts -----------------------------------------------------------------------------------------------------

    async def _take_in(self, held: Held, *, announce: bool = True) -> None:
        try:
            hold = await self.store(Store.put, held)
        except (Full, Damaged, OSError, sqlite3.Error, ValueError) as error:
            raise _not_stored(error) from error
        self._go_on(hold)
        self.changed(hold)
        if announce:
            self._announce(self.row(hold))

    def _go_on(self, hold: Kept) -> None:
        if hold.state is State.DECIDED and hold.ours:
            self._deliveries.plan(hold)
        elif hold.deadline is not None:
            left_s = min(max(0.0, hold.deadline - self.wall()), hold.timeout_s)
            loop = asyncio.get_running_loop()
            self._deadlines[hold.id] = loop.call_later(left_s, lambda: self._spawn(self._expire(hold)))

    async def _expire(self, hold: Kept) -> None:
        self._deadlines.pop(hold.id, None)
        verdict = Verdict.RELEASE if hold.on_timeout is Verdict.RELEASE else Verdict.DROP
        with contextlib.suppress(Stale):
            try:
                await self.decide(hold.id, verdict, "deadline")
            except Damaged as damage:
                await self.decide(hold.id, Verdict.DROP, "deadline", why=str(damage))

    async def _client_left(self, id: str, was_decided: bool) -> None:
        if self._is_closing:
            return
        self._forget_deadline(id)
        with contextlib.suppress(NoSuchHold):  # it could not be stored
            if was_decided:
                await self._undo(await self.store(Store.hold, id))
            else:
                self.changed(await self.store(Store.abandon, id, "Its client has left.", self.wall()))

    async def _undo(self, hold: Kept) -> Kept:
        """Nobody was there to carry a decision out: what was to go on waits again, what was for the client is over."""
        if hold.verdict is not Verdict.RELEASE:
            return await self._settle(hold.id, Settled(failure="its client had left"), hold)
        why = f"{hold.by} released it, but its client had left."
        hold = await self.store(Store.reopen, hold.id, why, "interpose", self.wall())
        self.changed(hold)
        return hold

    async def _settle(self, id: str, how: Settled, hold: Kept | None = None) -> Kept:
        """Note how a decided hold ended. What the disk does not take now the next start finds."""
        try:
            hold = await self.store(Store.settle, id, how, "interpose", self.wall())
        except (OSError, sqlite3.Error) as error:
            log.warning("the desk cannot note how hold %s ended: %s", id, error)
            if hold is None:
                raise
        self.changed(hold)
        return hold

    async def _note_end(self, id: str, how: Settled) -> None:
        with contextlib.suppress(NoSuchHold):  # a rule had let it pass, and nothing was kept
            await self._settle(id, how)

    def _forget_deadline(self, id: str) -> None:
        timer = self._deadlines.pop(id, None)
        if timer is not None:
            timer.cancel()

    def _begin(self, steps: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks.add(task)
        return task

    def _spawn(self, steps: Coroutine[Any, Any, object]) -> None:
        """Take steps of which nobody waits for the result."""
        self._begin(steps).add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        is_expected = isinstance(error, OSError | sqlite3.Error | Damaged)
        log.error(
            "the desk cannot store what became of a held message: %s", error, exc_info=None if is_expected else error
        )

    async def _keep_house(self) -> None:
        for round_number in itertools.count():
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                for id in self.reviewers.expired():
                    with contextlib.suppress(NoSuchHold):
                        self.changed(await self.store(Store.hold, id))
                if round_number % PURGE_ROUNDS == 0:
                    await self.purge()
            except (Damaged, OSError, sqlite3.Error) as error:
                log.warning("the desk cannot remove what is old: %s", error)

    async def purge(self) -> None:
        """Remove what was decided long ago, and drop what nobody waits for since long."""
        now = self.wall()
        settled_before, abandoned_before = now - self._options.keep_decided_s, now - self._options.keep_abandoned_s
        for id in await self.store(Store.purge, settled_before, abandoned_before, now):
            self.changed(await self.store(Store.hold, id))


def _not_stored(error: Exception) -> Failure:
    """Why a message is not held, for its client; nothing of it has gone on."""
    status = error.status if isinstance(error, Full) else 500 if isinstance(error, ValueError | Damaged) else 507
    why = str(error) if isinstance(error, Full) else f"The desk cannot store the message: {in_words(error)}."
    return Failure("proxy_internal_error", Side.INTERNAL, why, status=status)

"""The workers of an instance: kept at their number, and every listening socket accepted from by one that answers.

Each slot has at most one worker that serves and at most one that is starting to take its place. A worker that dies is
started anew (after a delay when it keeps dying), one that stands still is ended, one that asks to be replaced drains
once its successor serves. Whenever any of that changes who serves, `assign` says who accepts from which sockets, and
those for whom that is news are told: first who gains a socket, then who loses it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from interpose.core.tally import Tallies
from interpose.engine.answering import Answering
from interpose.engine.backoff import Backoff
from interpose.engine.calls import NoOffice, Office
from interpose.engine.child import Child, State
from interpose.engine.listening_sockets import ListeningSockets, assign
from interpose.engine.messages import (
    Abandon,
    Accept,
    Call,
    Commit,
    Committed,
    Leaving,
    Message,
    Prepare,
    Prepared,
    Ready,
    Record,
    Told,
    ToSupervisor,
    ToWorker,
    Withdraw,
)
from interpose.engine.plan import Plan
from interpose.engine.questions import Questions

log = logging.getLogger("interpose")

START_TIMEOUT_S = 60.0
"""A worker that does not serve after so long is ended."""

PREPARE_TIMEOUT_S = 30.0
"""How long all workers may take to prepare or commit a reload."""


OVERTIME_S = 0.9
"""How long a worker may take to end beyond its grace."""

SIGNALS_TOGETHER_S = 0.2
"""How far apart a signal may reach processes that it was sent to together."""


class Slot:
    """The place of one worker."""

    def __init__(self) -> None:
        self.child: Child | None = None
        """The worker that serves here."""
        self.successor: Child | None = None
        """The worker that is starting."""
        self.backoff = Backoff()
        self.restarts = 0
        self.respawn: asyncio.TimerHandle | None = None

    @property
    def is_serving(self) -> bool:
        """Whether a worker of this slot serves."""
        return self.child is not None and self.child.state is State.SERVING


class Crew:
    """All workers. `on_change` is called whenever who serves may have changed."""

    def __init__(
        self,
        command: Sequence[str],
        sockets: ListeningSockets,
        on_change: Callable[[], None],
        office: Office | None = None,
    ) -> None:
        self.slots: dict[int, Slot] = {}
        self.leaving: set[Child] = set()
        """Workers that drain."""
        self.retired: dict[str, float] = {}
        """What workers that are gone had counted, and by route and server."""
        self.retired_tallies = Tallies()
        self.start_errors: tuple[str, ...] = ()
        """Why the last worker that could not start could not."""
        self.has_begun = False
        """Whether all workers have served at some time."""
        self.generation = 1
        self.questions = Questions()
        self.answering = Answering(office or NoOffice())
        self._command = command
        self._sockets = sockets
        self._on_change = on_change
        self._plan: Plan | None = None
        self._answers: dict[Child, asyncio.Future[tuple[str, ...]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._may_spawn = asyncio.Event()
        self._may_spawn.set()

    # --- what there is ---------------------------------------------------------------------------------------------

    @property
    def serving(self) -> list[Child]:
        """Workers that serve, in the order of their slots."""
        return [slot.child for slot in self.slots.values() if slot.child is not None and slot.is_serving]

    @property
    def children(self) -> Iterator[Child]:
        """Every process there is."""
        for slot in self.slots.values():
            yield from (child for child in (slot.child, slot.successor) if child is not None)
        yield from self.leaving

    @property
    def is_whole(self) -> bool:
        """Whether every slot has a worker that serves."""
        return bool(self.slots) and all(slot.is_serving for slot in self.slots.values())

    # --- keeping their number --------------------------------------------------------------------------------------

    def hire(self, plan: Plan) -> None:
        """Have as many workers as `plan` says: start those that are missing, drain those that are too many."""
        self._plan = plan
        for number in range(plan.workers):
            if number not in self.slots:
                self.slots[number] = Slot()
                self._spawn_soon(number)
        if self.leaving:
            return  # one change of their number at a time, or reloads in a row would pile processes up
        surplus = [number for number in self.slots if number >= plan.workers]
        removed = [self.slots.pop(number) for number in surplus]
        self.rebalance()
        for slot in removed:
            if slot.respawn is not None:
                slot.respawn.cancel()
            for child in (slot.child, slot.successor):
                if child is not None:
                    self._dismiss(child)

    def _spawn_soon(self, number: int, delay_s: float = 0.0) -> None:
        slot = self.slots[number]
        if slot.respawn is not None:
            slot.respawn.cancel()
        loop = asyncio.get_running_loop()
        slot.respawn = loop.call_later(delay_s, lambda: self._run(self._spawn(number)))

    async def _spawn(self, number: int) -> None:
        await self._may_spawn.wait()
        slot = self.slots.get(number)
        if slot is None or slot.successor is not None or self._is_ending or self._plan is None:
            return
        child = Child(number, self.generation, self._heard, self._gone)
        slot.successor = child
        wanted = {sock.number for sock in self._sockets if sock.home in (None, number)}
        try:
            await child.spawn(self._command, self._plan, self._sockets.groups.values(), wanted)
        except OSError as error:
            log.error("worker %d cannot be started: %s", number, error)
            child.errors = (f"A process cannot be started: {error}.",)
            self._gone(child)

    def _dismiss(self, child: Child) -> None:
        """Let `child` drain; it has no slot any more, and others accept in its place."""
        assert self._plan is not None
        self.leaving.add(child)
        if child.state is State.STARTING:
            child.kill()
        else:
            child.drain(self._plan.grace_s, keep_idle=True)
            self._run(self._kill_after(child, self._plan.grace_s + OVERTIME_S))

    async def _kill_after(self, child: Child, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await child.gone()
        except TimeoutError:
            log.warning("worker %d (process %d) did not end in time and is ended", child.slot, child.pid)
            child.kill()

    # --- what children say -----------------------------------------------------------------------------------------

    def _heard(self, child: Child, message: ToWorker | ToSupervisor) -> None:
        match message:
            case Ready():
                self._took_over(child)
            case Prepared(errors=errors):
                self._answered(child, errors)
            case Committed():
                child.generation = message.generation
                self._answered(child, ())
            case Leaving(reason=reason):
                # A SIGTERM to the whole process group reaches workers too: the supervisor may be about to hear its own.
                asyncio.get_running_loop().call_later(SIGNALS_TOGETHER_S, self._replace, child, reason)
            case Told():
                self.questions.told(child, message)
            case Record() | Call() | Withdraw():
                self.answering.heard(child, message)

    def _took_over(self, child: Child) -> None:
        slot = self.slots.get(child.slot)
        if slot is None or slot.successor is not child:
            return
        before, slot.child, slot.successor = slot.child, child, None
        self.has_begun = self.has_begun or self.is_whole
        self.rebalance()
        if before is not None:
            self._dismiss(before)
        self._on_change()

    def _replace(self, child: Child, reason: str) -> None:
        slot = self.slots.get(child.slot)
        if slot is not None and slot.child is child and slot.successor is None and not self._is_ending:
            log.warning("worker %d (process %d) is replaced: %s", child.slot, child.pid, reason)
            slot.restarts += 1
            self._spawn_soon(child.slot, slot.backoff.delay_s(child.served_s))

    def _gone(self, child: Child) -> None:
        child.state = State.GONE
        for name, value in child.counters.items():
            if name.endswith("_total"):
                self.retired[name] = self.retired.get(name, 0.0) + value
        self.retired_tallies.add(child.tallies)
        self.questions.gone(child)
        self.answering.gone(child)
        self._answered(child, ())  # its successor begins with what is committed
        if child in self.leaving:
            self.leaving.remove(child)
            if not self.leaving and self._plan is not None and not self._is_ending:
                self.hire(self._plan)
        else:
            self._died(child)
        self._on_change()

    def _died(self, child: Child) -> None:
        slot = self.slots[child.slot]
        if slot.child is child:
            slot.child = None
            self.rebalance()
        else:
            slot.successor = None
            self.start_errors = child.errors or (f"A worker ended with status {child.status} before it served.",)
        if self._is_ending or slot.successor is not None:
            return
        if not self.has_begun and child.served_since is None:
            return  # somebody is watching, and is told at once instead
        delay_s = slot.backoff.delay_s(child.served_s)
        slot.restarts += 1
        why = " ".join(child.errors) or _how_it_ended(child.status)
        when = f"in {delay_s:.0f} s" if delay_s else "at once"
        log.error("worker %d (process %d) %s; it is restarted %s", child.slot, child.pid, why, when)
        self._spawn_soon(child.slot, delay_s)

    # --- who accepts from what -------------------------------------------------------------------------------------

    def rebalance(self) -> None:
        """Tell workers which sockets they accept from, where that has changed."""
        if self._is_ending:
            return
        for child, wanted in self._changes():
            grants = child.grants(self._sockets.groups.values(), wanted)
            if grants is not None:
                child.send(Accept(grants))

    def _changes(self) -> list[tuple[Child, set[int]]]:
        wanted = self._wanted()
        changes = [(child, wanted[child.slot]) for child in self.serving if wanted[child.slot] != child.held]
        return sorted(changes, key=lambda change: not change[1] - change[0].held)

    def _wanted(self) -> dict[int, set[int]]:
        now = time.monotonic()
        stalled = {child.slot for child in self.serving if child.needs_help(now)}
        sound = {child.slot for child in self.serving} - stalled
        groups = [[(sock.number, sock.home) for sock in group.sockets] for group in self._sockets.groups.values()]
        return assign(groups, sound, stalled)

    def look(self, now: float) -> None:
        """Notice who stands still; called several times a second."""
        assert self._plan is not None
        for child in list(self.children):
            silent_s = now - child.heard
            if child.state is State.SERVING and silent_s > self._plan.max_lag_s:
                log.error("worker %d (process %d) stood still for %.0f s and is ended", child.slot, child.pid, silent_s)
                child.kill()
            elif child.state is State.STARTING and now - child.started > START_TIMEOUT_S:
                log.error("worker %d (process %d) does not begin to serve and is ended", child.slot, child.pid)
                child.kill()
        if self._changes():
            self.rebalance()

    def forgive(self, now: float) -> None:
        """The supervisor itself stood still: nobody can have been heard of meanwhile."""
        for child in self.children:
            child.heard = now

    # --- reload ----------------------------------------------------------------------------------------------------

    async def prepare(self, config: bytes, generation: int) -> tuple[str, ...]:
        """Have every worker build `config`; what went wrong, in sentences. No worker is started until `settle`."""
        self._may_spawn.clear()
        for child in [slot.successor for slot in self.slots.values() if slot.successor is not None]:
            await child.settled.wait()  # it serves or is gone, so that none begins with what is about to be replaced
        await self._ask(lambda _: Prepare(generation, config))
        return self._errors

    async def commit(self, plan: Plan, generation: int) -> None:
        """Have every worker swap to what it prepared. One that does not manage to is ended; its successor starts so."""
        self._plan = plan
        self.generation = generation
        wanted = self._wanted()

        def order(child: Child) -> Message | None:
            grants = child.grants(self._sockets.groups.values(), wanted[child.slot])
            if grants is None:
                return None
            return Commit(generation, grants, plan.grace_s, plan.memory_limit_bytes)

        await self._ask(order)
        for child in self.serving:
            if child.generation != generation:
                log.error("worker %d (process %d) could not change over and is ended", child.slot, child.pid)
                child.kill()

    def abandon(self) -> None:
        """Forget what was prepared."""
        self.tell(Abandon())

    def settle(self) -> None:
        """The reload is over, one way or the other: workers may be started again."""
        self._may_spawn.set()

    async def _ask(self, order: Callable[[Child], Message | None]) -> None:
        self._errors: tuple[str, ...] = ()
        asked = {child: asyncio.get_running_loop().create_future() for child in self.serving}
        self._answers = asked
        for child in asked:
            message = order(child)
            if message is not None:
                child.send(message)
        if asked:
            done, late = await asyncio.wait(asked.values(), timeout=PREPARE_TIMEOUT_S)
            errors = [error for answer in done for error in answer.result()]
            errors += [f"worker {child.slot} did not answer in time" for child in asked if asked[child] in late]
            self._errors = tuple(dict.fromkeys(errors))
        self._answers = {}

    def _answered(self, child: Child, errors: tuple[str, ...]) -> None:
        answer = self._answers.get(child)
        if answer is not None and not answer.done():
            answer.set_result(errors)

    # --- the end ---------------------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """Say something to every worker that serves."""
        for child in self.serving:
            child.send(message)

    async def drain(self, grace_s: float) -> None:
        """Let all of them finish and end; returns when they have, after `grace_s` and a little at the latest."""
        self._is_ending = True
        self._may_spawn.set()
        for slot in self.slots.values():
            if slot.respawn is not None:
                slot.respawn.cancel()
        children = list(self.children)
        for child in children:
            if child.state is State.STARTING:
                child.kill()
            else:
                child.drain(grace_s)
        await asyncio.gather(*(self._kill_after(child, grace_s + OVERTIME_S) for child in children))
        await asyncio.gather(*(child.gone() for child in children))

    def kill(self) -> None:
        """End all of them now."""
        self._is_ending = True
        for child in self.children:
            child.kill()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _how_it_ended(status: int | None) -> str:
    if status is None or status >= 0:
        return f"ended with status {status}"
    return f"was ended by signal {-status}"

"""The books of experiments for all workers, what may be decided by itself, and what people ask and decide.

In the supervisor's process. Workers send what they have seen, and are answered when it is on the disk. What was seen is
looked at as often as an experiment says, in the thread that keeps the books.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from interpose.config.advice import no_such
from interpose.config.experiment_designs import design_of, ordered, salt_of
from interpose.config.experiment_texts import levels_of
from interpose.config.live_experiments import books_directory
from interpose.config.model import Config
from interpose.core.experiment.assignment import Assignment
from interpose.core.experiment.counted import Counted
from interpose.core.experiment.deciding import PHASES, Action, Phase, State, begun, by_hand, next_state
from interpose.core.experiment.design import named
from interpose.core.experiment.guarding import broken
from interpose.core.experiment.notes import MOST, Event, Notes, decode_notes
from interpose.core.experiment.policy import Decision, Guard
from interpose.core.experiment.report import Goal, Report, report
from interpose.core.experiment.trend import Trend, points_of, trend_of
from interpose.core.experiment.view import ExperimentView, GuardView
from interpose.core.failure import Failure, Side
from interpose.engine.reload import Result
from interpose.filters.experiment.notebook import TOPIC
from interpose.filters.experiment.options import Experiment
from interpose.storage.experiments.books import ExperimentBooks, Key

log = logging.getLogger("interpose")

T = TypeVar("T")
LEAST_LOOK_S: Final = 0.05
TREND_S: Final = 60.0


class ExperimentService:
    """A `config.office.Service`. `apply` makes a decision effective; without it decisions are only kept."""

    def __init__(self, config: Config) -> None:
        self.apply: Callable[[], Awaitable[Result]] | None = None
        self._written = config
        self._running = config
        self._encoded = b""
        self._instance: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="experiments")
        self._books: ExperimentBooks | None = None
        self._looking: asyncio.Task[None] | None = None

    # --- the service -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `config.office.Service`."""
        directory = books_directory(self._written)
        try:
            self._books = await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: ExperimentBooks(directory)
            )
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"The books of experiments in {directory} cannot be opened: {error}.") from None
        if self._books.problem:
            log.error("%s", self._books.problem)
        keys = [_key(one) for one in self._written.experiments]
        await self._on_books(lambda books: books.forget(keys, time.time()))

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `config.office.Service`: write down what a worker has seen."""
        if topic != TOPIC:
            raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")
        try:
            batch = decode_notes(question)
            await self._on_books(lambda books: books.take(batch))
        except (OSError, sqlite3.Error, ValueError) as error:
            raise Failure("proxy_internal_error", Side.INTERNAL, f"The books cannot be written: {error}.") from None
        return b""

    async def begin(self, instance: Any) -> None:
        """See `config.office.Service`."""
        self._instance = instance
        self._looking = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def close(self) -> None:
        """See `config.office.Service`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._books is not None:
            await self._on_books(lambda books: books.close())
        self._thread.shutdown(wait=False)

    async def _on_books(self, function: Callable[[ExperimentBooks], T]) -> T:
        """What the function gives for the books, on their thread; begun, it is finished."""
        books = self._books
        assert books is not None
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(books)))

    def _configured(self) -> Config:
        """The configuration that serves, with what was decided."""
        if hasattr(self._instance, "config"):
            encoded = self._instance.config()
            if encoded != self._encoded:
                self._encoded, self._running = encoded, msgspec.msgpack.decode(encoded, type=Config)
        return self._running

    # --- deciding by itself ----------------------------------------------------------------------------------------

    async def _look_for_ever(self) -> None:
        last: dict[Key, float] = {}
        noted = -TREND_S
        while True:
            if time.monotonic() - noted >= TREND_S:
                noted = time.monotonic()
                try:
                    await self.note_trends(time.time())
                except Exception:
                    log.exception("what is known of experiments could not be kept")
            experiments = [one for one in self._configured().experiments if one.decision is not None]
            now = time.monotonic()
            for one in experiments:
                assert one.decision is not None
                if now - last.get(_key(one), -1e9) >= one.decision.look_every_s:
                    last[_key(one)] = now
                    try:
                        await self.look(one.name)
                    except Exception:
                        log.exception("experiment %s could not be looked at", one.name)
            waits = [one.decision.look_every_s for one in experiments if one.decision is not None]
            await asyncio.sleep(max(LEAST_LOOK_S, min([1.0, *waits])))

    async def look(self, name: str) -> State | None:
        """Look at an experiment, and decide what it is to decide by itself: what that was, None for nothing."""
        one = self._experiment(name)
        policy = one.decision
        if policy is None:
            return None
        key, every = _key(one), self._configured().experiments
        now = time.time()

        def decide(books: ExperimentBooks) -> State | None:
            known = books.states().get(key)
            if known is None:
                books.decide(key, begun(policy, now))
                return None
            if known.phase != "running" or one.paused or one.promoted:
                return None
            found, guards = _looked_at(books, one, every)
            new = next_state(policy, known, found, [guard.broken for guard in guards if guard.broken], now)
            if new is not None:
                books.decide(key, new)
            return new

        decided = await self._on_books(decide)
        if decided is not None:
            say = log.warning if decided.phase == "rolled back" else log.info
            say("experiment %s: %s. %s", one.name, _in_words(decided), decided.why)
            await self._apply()
        return decided

    async def note_trends(self, now: float) -> None:
        """Keep what is known of each experiment, if it is time for that."""
        every = self._configured().experiments

        def note(books: ExperimentBooks) -> None:
            for one in every:
                found, _ = _looked_at(books, one, every)
                if found.units:
                    books.note_trend(_key(one), points_of(found), now)

        await self._on_books(note)

    async def _apply(self) -> Result:
        if self.apply is None:
            return Result(generation=0, errors=())
        result = await self.apply()
        for error in result.errors:
            log.error("a decision about an experiment is not effective yet: %s", error)
        return result

    # --- for people --------------------------------------------------------------------------------------------------

    async def listed(self) -> list[ExperimentView]:
        """Every experiment, in the order of the configuration."""
        return [await self.shown(one.name) for one in self._configured().experiments]

    async def shown(self, name: str) -> ExperimentView:
        """One of them. LookupError, a sentence, when there is none."""
        one, every = self._experiment(name), self._configured().experiments
        return await self._on_books(lambda books: _view(books, one, every))

    async def trend(self, name: str) -> Trend:
        """How what is known of one of them came to be. LookupError, a sentence, when there is none."""
        one, every = self._experiment(name), self._configured().experiments

        def read(books: ExperimentBooks) -> Trend:
            found, _ = _looked_at(books, one, every)
            return trend_of(books.trend(_key(one)), found, time.time())

        return await self._on_books(read)

    async def decide(self, name: str, action: Action, *, variant: str = "", who: str = "", why: str = "") -> Result:
        """Do what somebody has decided. LookupError and ValueError, sentences, when that cannot be."""
        one, every = self._experiment(name), self._configured().experiments
        (written,) = [table for table in self._as_written() if table.name == one.name]
        if written.paused or written.promoted:
            word = "paused" if written.paused else "promoted"
            raise ValueError(f"The configuration itself says that {name} is {word}; change it there, and reload.")
        chosen = _variant(one, every, variant) if action == "promote" else ""
        key, now = _key(one), time.time()

        def decided(books: ExperimentBooks) -> None:
            state = books.states().get(key) or begun(one.decision or Decision(), now)
            books.decide(key, by_hand(state, PHASES[action], who, now, variant=chosen, why=why))

        await self._on_books(decided)
        return await self._apply()

    async def post(self, name: str, goal: str, unit: str, value: float = 1.0) -> bool:
        """Note that a unit (the value of its cookie, a user, an address) has come to a goal; whether it takes part.
        LookupError and ValueError, sentences, when that cannot be."""
        one, every = self._experiment(name), self._configured().experiments
        table = next((table for table in one.goals if table.name == goal), None)
        if table is None:
            raise LookupError(f"{goal!r}: {no_such('goal', goal, [table.name for table in one.goals])}")
        if not -MOST <= value <= MOST:
            raise ValueError(f"A value must be a number from -{MOST:g} to {MOST:g}.")
        if one.paused or one.promoted:
            return False
        place = Assignment(design_of(one, every)).place(unit.encode("utf-8", "surrogateescape"))
        if place.variant < 0:
            return False
        counted = 1.0 if table.kind == "conversion" else value
        event = Event(place.unit, table.name, table.kind, counted, time.time())
        notes = Notes(name=one.name, salt=salt_of(one), shares={}, most_units=0, events=[event])
        await self._on_books(lambda books: books.take([notes]))
        return True

    def _experiment(self, name: str) -> Experiment:
        experiments = self._configured().experiments
        found = next((one for one in experiments if one.name == name), None)
        if found is None:
            raise LookupError(f"{name!r}: {no_such('experiment', name, [one.name for one in experiments])}")
        return found

    def _as_written(self) -> Sequence[Experiment]:
        """The experiments without what was decided."""
        plan = getattr(getattr(self._instance, "reloading", None), "plan", None)
        if plan is None or not plan.written:
            return self._configured().experiments
        return msgspec.msgpack.decode(plan.written, type=Config).experiments


def _key(one: Experiment) -> Key:
    return one.name, salt_of(one)


def _variant(one: Experiment, every: tuple[Experiment, ...], text: str) -> str:
    """The name of the variant that a text means."""
    design = design_of(one, every)
    names = [variant.name for variant in design.variants]
    with contextlib.suppress(ValueError):
        name = named(ordered(levels_of(text), design.factors))
        if name in names:
            return name
    raise ValueError(f"{text!r}: {no_such('variant', text, names)}")


def _looked_at(
    books: ExperimentBooks, one: Experiment, every: tuple[Experiment, ...]
) -> tuple[Report, list[GuardView]]:
    """What the books say, and how the guards stand."""
    policy = one.decision or Decision()
    counted, design = books.books(_key(one)), design_of(one, every)
    goals = [Goal(goal.name, goal.kind, goal.better) for goal in one.goals]
    names = [variant.name for variant in design.variants]
    requests = {name: (counted.variants.get(name) or Counted()).requests for name in names}
    control = requests.pop(names[0])
    guards = [GuardView(_guard_in_words(guard), broken(guard, control, requests)) for guard in policy.guards]
    return report(design, goals, policy, counted), guards


def _view(books: ExperimentBooks, one: Experiment, every: tuple[Experiment, ...]) -> ExperimentView:
    policy, key = one.decision or Decision(), _key(one)
    state = books.states().get(key) or State()
    phase: Phase = "promoted" if one.promoted else "running" if not one.paused else "paused"
    is_decided = phase == state.phase or (phase == "paused" and state.phase == "rolled back")
    is_fixed = phase != "running" and not is_decided
    goes_up = phase == "running" and state.step + 1 < len(policy.ramp)
    found, guards = _looked_at(books, one, every)
    return ExperimentView(
        name=one.name,
        routes=list(one.routes),
        when=one.when,
        unit=one.unit,
        share=one.share,
        holdout=one.holdout,
        layer=one.layer,
        phase=phase if is_fixed else state.phase,
        variant=one.promoted,
        is_fixed=is_fixed,
        by="" if is_fixed else state.by,
        why="The configuration says so." if is_fixed else state.why,
        at=state.at,
        ramp=list(policy.ramp),
        step=min(state.step, max(0, len(policy.ramp) - 1)),
        next_step_at=state.since + policy.ramp_step_s if goes_up else 0.0,
        promotes=policy.promote,
        alpha=policy.alpha,
        guards=guards,
        report=found,
        decisions=books.decisions(key),
    )


def _in_words(state: State) -> str:
    return f"{state.phase} {state.variant}" if state.variant else state.phase


def _guard_in_words(guard: Guard) -> str:
    if guard.metric == "errors":
        return f"no more than {100 * guard.tolerance:g} % more errors than the control"
    times = f"{1 + guard.tolerance:g} times the control's time"
    return f"{100 * guard.quantile:g} % of the exchanges over in no more than {times}"

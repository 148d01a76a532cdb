"""Changing over to a new configuration without a failed request, or not at all.

    load and validate ─> open new sockets ─> every worker prepares ─> all swap ─> close sockets that are gone
         │                    │                     │
         └────────────────────┴─────────────────────┴──> errors: everything is as it was

One change at a time. Whoever asks while one runs waits for the next, which all who wait share: what they want to see is
in the file already when it is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec import Struct

from interpose.engine.crew import Crew
from interpose.engine.listening_sockets import Group, ListeningSockets
from interpose.engine.plan import Plan
from interpose.engine.worker import sentences

log = logging.getLogger("interpose")

Load = Callable[[], Plan]
"""Reads and validates the whole configuration. ValueError, each line of its text a sentence, when it cannot be used."""


class Result(Struct, frozen=True, kw_only=True):
    """What a reload came to. `generation` is the one that serves now."""

    generation: int
    errors: tuple[str, ...] = ()


class Reload:
    """Reloads of one instance."""

    def __init__(self, plan: Plan, load: Load | None, sockets: ListeningSockets, crew: Crew) -> None:
        self.plan = plan
        """What serves now."""
        self.done = 0
        self.failed = 0
        self.last: Result | None = None
        self._load = load
        self._sockets = sockets
        self._crew = crew
        self._running = asyncio.Lock()
        self._next: asyncio.Task[Result] | None = None

    async def __call__(self) -> Result:
        """Reload, or share the reload that is about to begin."""
        if self._next is None:
            self._next = asyncio.create_task(self._when_free())
        return await asyncio.shield(self._next)

    async def apply(self, load: Load) -> Result:
        """Change over to what `load` gives, which nobody else asked for, after the reload that runs now."""
        return await asyncio.shield(asyncio.create_task(self._when_free(load)))

    @property
    def generation(self) -> int:
        """The one that serves."""
        return self._crew.generation

    async def _when_free(self, load: Load | None = None) -> Result:
        async with self._running:
            if load is None:
                self._next = None
                load = self._load
            began = time.monotonic()
            try:
                await self._change(self.plan if load is None else await asyncio.to_thread(load))
            except Exception as error:
                if not isinstance(error, ValueError | OSError):
                    log.exception("the reload met what nobody had thought of")
                self.failed += 1
                result = Result(generation=self._crew.generation, errors=sentences(error))
                log.error("the reload failed, generation %d goes on: %s", result.generation, " ".join(result.errors))
            else:
                self.done += 1
                result = Result(generation=self._crew.generation)
                log.info("generation %d serves after %.2f s", result.generation, time.monotonic() - began)
            self.last = result
            return result

    async def _change(self, plan: Plan) -> None:
        for field in ("name", "state_dir"):
            if getattr(plan, field) != getattr(self.plan, field):
                raise ValueError(
                    f"process.{field} is {getattr(self.plan, field)!r} while it runs and cannot become "
                    f"{getattr(plan, field)!r} by a reload; restart it for that."
                )
        staged = self._sockets.stage(plan.listeners, plan.workers)
        generation = self._crew.generation + 1
        try:
            errors = await self._crew.prepare(plan.config, generation)
        except BaseException:
            self._give_up(staged)
            raise
        if errors:
            self._give_up(staged)
            raise ValueError("\n".join(errors))
        await self._commit(plan, staged, generation)

    def _give_up(self, staged: dict[str, Group]) -> None:
        """Everything is as it was."""
        self._crew.abandon()
        self._sockets.abandon(staged)
        self._crew.settle()

    async def _commit(self, plan: Plan, staged: dict[str, Group], generation: int) -> None:
        """From here there is no way back."""
        gone = self._sockets.swap(staged)
        self._sockets.extend(plan.workers)
        try:
            await self._crew.commit(plan, generation)
        finally:
            self.plan = plan
            self._sockets.discard(gone)
            self._crew.settle()
            self._crew.hire(plan)

"""A script's file as it changes: its slots in the handlers, what it is asked, and its changes of version."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

from interpose.core.decision import Decision
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Filter, Handler, Phase
from interpose.core.hold import Ruling
from interpose.core.message import Request, Response
from interpose.core.message_filter import Message, Pass
from interpose.filters.script.edits import MakeEdits
from interpose.filters.script.loaded import Asked, Loaded
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.troubles import Troubles
from interpose.storage.file_signature import signature
from interpose.storage.script_file import last_line_in

log = logging.getLogger("interpose")

HoldRequest = Callable[[Exchange, Request, str], Awaitable[Ruling]]
"""Has a request held for a reason, and carries out what is decided."""

RETRY_S: Final = 10.0
"""How long after `@interpose.started` has failed it is called again."""


class Script:
    """One file. `slot(phase)` gives its filter for a phase, `tick()` looks whether the file changed.

    `hold` is what `exchange.hold` does, None where nothing can be held; `edits` makes filters of functions that are
    given contents. Raises ValueError, one sentence with file and
    line, when the file cannot be loaded. `start` comes before the first request, `close` after the last.
    """

    def __init__(
        self,
        options: ScriptOptions,
        clock: Callable[[], float] = time.monotonic,
        hold: HoldRequest | None = None,
        wall: Callable[[], float] = time.time,
        edits: MakeEdits | None = None,
    ) -> None:
        self.path = Path(options.file)
        self._edits = edits
        self._options = options
        self._hold = hold
        self._clock = clock
        self._troubles = Troubles(self.path, options.max_errors_per_minute, clock, wall)
        self._seen = signature(self.path)
        self._broken = ""
        self._retry_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._old: set[Loaded] = set()
        self._changing: asyncio.Task[None] | None = None
        self._end_error = self._failed_at_end
        self._loaded = Loaded(options, self._troubles, edits)

    # --- what it has -------------------------------------------------------------------------------------------------

    @property
    def functions(self) -> list[tuple[Phase, str]]:
        """The filters in the order in which they run."""
        return self._loaded.functions

    @property
    def message_functions(self) -> list[str]:
        """Those that are asked about messages, in their order."""
        return [step.name for step in self._loaded.messages]

    @property
    def has_messages(self) -> bool:
        """Whether a function is marked with `@interpose.messages`."""
        return self._loaded.ask is not None

    @property
    def answers(self) -> Collection[str]:
        """Which of `decision` and `authenticator` a function is marked with."""
        return self._loaded.asked.keys()

    @property
    def errors(self) -> int:
        """Errors since it was first loaded."""
        return self._troubles.total

    @property
    def off(self) -> int:
        """Functions that are not called at the moment, since they have failed too often or could not start."""
        return len(self._loaded.names) if self._troubles.stands_still else len(self._troubles.off)

    @property
    def broken(self) -> str:
        """Why the file as it is now is not what runs, in a sentence; "" when it does."""
        return self._broken

    def told(self) -> dict[str, Any]:
        """All of that, for people."""
        return {
            "file": str(self.path),
            "functions": self._loaded.names,
            "errors": self.errors,
            "broken": self._broken,
            "off": self._loaded.names if self._troubles.stands_still else self._troubles.off,
            "troubles": self._troubles.latest,
        }

    # --- what it is asked --------------------------------------------------------------------------------------------

    def slot(self, phase: Phase) -> Filter:
        """The filter that stands for this script in one phase; install it in each."""
        return partial(self._edit if phase is Phase.EDIT else self._run, phase)

    def _edit(self, phase: Phase, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        if request.upgrade is not None:
            self.ask_about_messages_of(exchange)
        return self._run(phase, exchange, request, forward)

    def _run(self, phase: Phase, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        if self._hold is not None:
            exchange.on_hold = partial(self._hold, exchange, request)
        if steps := self._loaded.steps[phase]:
            if exchange.on_end_error is None:
                exchange.on_end_error = self._end_error
            elif exchange.on_end_error is not self._end_error:
                exchange.on_end_error = partial(self._failed_at_end, others=exchange.on_end_error)
            if self._loaded.counts_users:
                self._loaded.use_in(exchange)
            for step in reversed(steps):
                forward = partial(step, forward=forward)
        return forward(exchange, request)

    def _failed_at_end(
        self, exchange: Exchange, error: Exception, others: Callable[[Exchange, Exception], bool] | None = None
    ) -> bool:
        """Note what a function that a script gave to `exchange.at_end` has raised; whether it was one of this file."""
        if last_line_in(str(self.path), error):
            self._troubles.blame(exchange, "at_end", None, error)
            return True
        return others is not None and others(exchange, error)

    def ask_about_messages_of(self, exchange: Exchange) -> None:
        """Have the functions for messages asked about those of this exchange, where there are any."""
        if self.has_messages and self.message not in (exchange.message_filters or ()):
            exchange.filter_messages(self.message)

    async def message(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """The `MessageFilter` that stands for this script."""
        loaded = self._loaded
        if loaded.ask is None:
            await forward(message)
            return
        loaded.users += 1
        try:
            await loaded.ask(exchange, message, forward)
        finally:
            loaded.leave()

    async def decision(self, exchange: Exchange, request: Request) -> Decision:
        """What the marked function decides. Raises what it raises; ValueError where it says nothing that is one."""
        said = await self._say(self._function("decision"), exchange, request)
        if isinstance(said, bool):
            return Decision(said)
        if not isinstance(said, Decision):
            raise ValueError(f"{self.path}: the decision is {said!r:.100} instead of True, False or interpose.Decision")
        return said

    async def identity(self, exchange: Exchange, request: Request) -> object:
        """What the marked function says of who it is. `Failure` for what goes wrong in it."""
        function = None
        try:
            function = self._function("authenticator")
            return await self._say(function, exchange, request)
        except (Exception, SystemExit) as error:
            if isinstance(error, Failure):
                raise
            name = getattr(function, "__name__", "authenticator")
            detail = self._troubles.blame(exchange, name, function, error)
            raise Failure("proxy_internal_error", Side.INTERNAL, detail) from error

    async def _say(self, function: Asked, exchange: Exchange, request: Request) -> object:
        loaded = self._loaded
        loaded.users += 1
        try:
            return await function(exchange, request)
        finally:
            loaded.leave()

    def _function(self, what: str) -> Asked:
        """The marked function; ValueError where the file has it no more."""
        if what not in self._loaded.asked:
            raise ValueError(f"{self.path}: no function is marked with @interpose.{what}")
        return self._loaded.asked[what]

    # --- its life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Call what is to be called first. While that does not succeed no other function is called."""
        if not self._loaded.has_to_start:
            return
        if await self._loaded.start():
            self._troubles.stands_still = True
            self._retry_at = self._clock() + RETRY_S
            log.error("script %s could not start; it is tried again in %d s", self.path, RETRY_S)
        elif self._troubles.stands_still:
            self._troubles.stands_still = False
            log.info("script %s has started", self.path)

    def tick(self) -> None:
        """Load the file again if it changed. When it is broken the old functions stay, and the log says so once."""
        if self._changing is not None:
            return
        seen = signature(self.path)
        if seen == self._seen:
            if self._troubles.stands_still and self._clock() >= self._retry_at:
                self._changing = self._do(self._start_again())
            return
        self._seen = seen
        try:
            loaded = Loaded(self._options, self._troubles, self._edits)
        except ValueError as error:
            self._refuse(str(error))
            return
        if loaded.has_to_start:
            self._changing = self._do(self._start_and_change_to(loaded))
        else:
            self._change_to(loaded)

    async def _start_again(self) -> None:
        try:
            await self.start()
        finally:
            self._changing = None

    async def _start_and_change_to(self, loaded: Loaded) -> None:
        try:
            if why := await loaded.start():
                self._refuse(f"{self.path}: {why}")
            else:
                self._change_to(loaded)
        finally:
            self._changing = None

    def _change_to(self, loaded: Loaded) -> None:
        old, self._loaded = self._loaded, loaded
        self._broken = ""
        self._troubles.begin_anew()
        if old.counts_users:
            self._old.add(old)
            old.when_unused = lambda: self._do(self._stop(old))
            old.users += 1
            old.leave()
        log.info("script %s reloaded: %s", self.path, ", ".join(loaded.names))

    def _refuse(self, why: str) -> None:
        self._broken = why
        log.warning("script not reloaded, the old one goes on: %s", why)

    @property
    def is_in_use(self) -> bool:
        """Whether an exchange has its functions."""
        return bool(self._loaded.users or self._old or self._tasks)

    async def close(self) -> None:
        """Call what is to be called last."""
        if self._changing is not None:
            self._changing.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        for loaded in [*self._old, self._loaded]:
            await self._stop(loaded)

    async def _stop(self, loaded: Loaded) -> None:
        self._old.discard(loaded)
        await loaded.stop()

    def _do(self, what: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

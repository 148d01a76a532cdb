"""The supervisor: binds, starts workers, keeps them running, changes them over, ends them. It moves no traffic.

    start ─> serving ──────────────────────── SIGTERM, SIGINT, drain ─> pre-drain ─> draining ─> exit 0
               │  SIGHUP, reload: `reload.Reload`                        a second signal: at once
               │  SIGUSR1: reopen logs
               └─ worker dies, stalls, leaves: `crew.Crew`

`run` is what a command calls. What it needs from floors above it is given: how to read the configuration, what a worker
process is started with, and what serves the control socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from interpose.core.tally import Tally
from interpose.engine.calls import NoOffice, Office
from interpose.engine.crew import Crew
from interpose.engine.listening_sockets import Group, ListeningSockets
from interpose.engine.messages import ReopenLogs
from interpose.engine.plan import Plan
from interpose.engine.reload import Load, Reload, Result
from interpose.engine.state_directory import StateDirectory
from interpose.engine.status import status_of, tallies_of
from interpose.engine.turn_away import TurnAway
from interpose.net.listen import bind

log = logging.getLogger("interpose")

LOOK_S = 0.25
"""How often the workers are looked at."""

LONELY_S = 1.0
"""After so long without any worker that serves, connections are turned away instead of kept waiting."""

INTERACTIVE_GRACE_S = 3.0
"""Who pressed Ctrl-C does not wait longer than this."""

LEFT_BEHIND_S = 3.0
"""How long the ports of an instance that was killed are waited for: its workers end by themselves, after a moment."""


class Phase(enum.StrEnum):
    """Where the instance is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class ControlServer(Protocol):
    """Serves the control socket until told to stop."""

    async def serve(self) -> None:
        """Serve."""

    def stop(self) -> None:
        """Stop soon."""


ServeControl = Callable[["Supervisor", Any], ControlServer]
"""The server for a supervisor on its bound Unix socket."""


class Supervisor:
    """One instance. `run` returns the exit status: 0 drained, 1 it could not start, 2 because of an address that it
    was told to listen on."""

    def __init__(
        self,
        plan: Plan,
        *,
        command: Sequence[str],
        load: Load | None = None,
        serve_control: ServeControl | None = None,
        office: Office | None = None,
        log_format: str = "text",
        interactive: bool = False,
    ) -> None:
        self.phase = Phase.STARTING
        self.started = time.monotonic()
        self.sockets = ListeningSockets()
        self._office = office or NoOffice()
        self.crew = Crew(command, self.sockets, self._crew_changed, self._office)
        self.reloading = Reload(plan, load, self.sockets, self.crew)
        self._serve_control = serve_control
        self._log_format = log_format
        self._interactive = interactive
        self._had_terminal = _has_terminal()
        self._turn_away = TurnAway()
        self._alone_since: float | None = None
        self._asked = 0
        self._changed = asyncio.Event()
        self._end = asyncio.Event()
        self._at_once = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> int:
        """Serve until drained."""
        plan = self.reloading.plan
        try:
            state = StateDirectory(plan.state_dir, plan.name)
            state.acquire()
        except ValueError as error:
            return self._refuse(error)
        try:
            with self._signals():
                try:
                    bound = await self._bind(plan, LEFT_BEHIND_S if state.was_left_behind else 0.0)
                except ValueError as error:
                    return self._refuse(error, 2)
                self.sockets.swap(bound)
                async with self._control(str(state.control_socket)):
                    try:
                        await self._office.open()
                        self.crew.hire(plan)
                        return await self._live()
                    finally:
                        await self._office.end()
        except ValueError as error:
            return self._refuse(error)
        finally:
            self.crew.kill()
            self._turn_away.end()
            self.sockets.discard(self.sockets.swap({}))
            state.release()

    # --- its life --------------------------------------------------------------------------------------------------

    async def _live(self) -> int:
        looking = self._task(self._look_for_ever())
        try:
            await self._first_workers()
            if not self._end.is_set():
                self.phase = Phase.SERVING
                self._changed.set()  # whoever serves the control socket waits for it
                for group in self.sockets.groups.values():
                    self._say_ready(group)
                await self._office.begin(self)
                await self._end.wait()
            await self._drain()
        finally:
            looking.cancel()
        return 0

    async def _first_workers(self) -> None:
        """Wait until all workers serve. One that cannot start ends it all: at this point somebody is watching."""
        while not self.crew.is_whole and not self._end.is_set():
            if self.crew.start_errors:
                raise ValueError("\n".join(self.crew.start_errors))
            await self._next_change()

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _drain(self) -> None:
        plan = self.reloading.plan
        self.phase = Phase.DRAINING
        grace_s = min(plan.grace_s, INTERACTIVE_GRACE_S) if self._interactive else plan.grace_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.pre_drain_s):
                await self._at_once.wait()
        self._turn_away.end()
        draining = self._task(self.crew.drain(grace_s))
        await asyncio.sleep(0)  # workers are told first, then our copies of the sockets go
        self.sockets.discard(self.sockets.swap({}))
        hurry = self._task(self._at_once.wait())
        await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            self.crew.kill()
            await draining
        hurry.cancel()

    async def _look_for_ever(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            if now - before > 1.0 + LOOK_S:
                self.crew.forgive(now)
            before = now
            try:
                self.crew.look(now)
                await self._turn_away_if_alone(now)
            except Exception:
                log.exception("the look at the workers failed")

    async def _turn_away_if_alone(self, now: float) -> None:
        if self.phase is not Phase.SERVING or self.crew.serving:
            self._alone_since = None
            self._turn_away.end()
            return
        if self._alone_since is None:
            self._alone_since = now
        elif not self._turn_away.is_on and now - self._alone_since >= LONELY_S:
            await self._turn_away.begin(list(self.sockets.groups.values()))

    def _crew_changed(self) -> None:
        self._changed.set()
        if self.crew.serving:
            self._turn_away.end()

    async def _bind(self, plan: Plan, patience_s: float) -> dict[str, Group]:
        """The sockets of the first plan."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self.sockets.stage(plan.listeners, plan.workers)
            except ValueError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(0.05)

    # --- signals and the control socket ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: self.end,
            signal.SIGINT: self.end,
            signal.SIGHUP: self._hang_up,
            signal.SIGUSR1: self.reopen_logs,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _hang_up(self) -> None:
        """SIGHUP: reload. But a command whose terminal was closed ends, since nobody could stop it any more."""
        if self._interactive and self._had_terminal and not _has_terminal():
            self.end()
        else:
            self._task(self.reloading())

    @asynccontextmanager
    async def _control(self, path: str) -> AsyncIterator[None]:
        """The control socket exists at once; what serves it is loaded when the workers are running."""
        if self._serve_control is None:
            yield
            return
        sock = bind(f"unix:{path}")
        serving = self._task(self._serve_when_ready(self._serve_control, sock))
        try:
            yield
        finally:
            if self._control_server is not None:
                self._control_server.stop()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await asyncio.shield(serving)
            serving.cancel()
            sock.close()

    _control_server: ControlServer | None = None

    async def _serve_when_ready(self, make: ServeControl, sock: Any) -> None:
        while self.phase is Phase.STARTING and not self._end.is_set():
            await self._next_change()
        try:
            self._control_server = make(self, sock)
            await self._control_server.serve()
        except Exception:
            log.exception("the control socket cannot be served: commands will wait for answers in vain")

    # --- what the control socket offers ----------------------------------------------------------------------------

    def end(self) -> None:
        """Drain and end; called again: end at once."""
        if self._end.is_set():
            self._at_once.set()
        self._end.set()
        self._changed.set()

    async def reload(self) -> Result:
        """Change over to the configuration as it is now."""
        return await self.reloading()

    async def ask_workers(self, question: bytes) -> list[bytes]:
        """What each worker that serves answers."""
        return await self.crew.questions.ask(self.crew.serving, question)

    async def ask_a_worker(self, question: bytes, timeout_s: float) -> bytes | None:
        """What one worker that serves answers, out of turn; None when none does in time."""
        serving = self.crew.serving
        if not serving:
            return None
        self._asked = (self._asked + 1) % len(serving)
        questions = self.crew.questions
        answers = await questions.ask([serving[self._asked]], question, timeout_s=timeout_s, in_turn=False)
        return answers[0] if answers else None

    def reopen_logs(self) -> None:
        """Have every worker open its log files anew."""
        self.crew.tell(ReopenLogs())

    @property
    def is_ready(self) -> bool:
        """Whether new connections are welcome: at least one worker serves, and no drain has begun."""
        return self.phase is Phase.SERVING and not self._end.is_set() and bool(self.crew.serving)

    def status(self) -> dict[str, Any]:
        """What there is, as plain values."""
        life = {
            "pid": os.getpid(),
            "state": self.phase.value,
            "ready": self.is_ready,
            "uptime_s": round(time.monotonic() - self.started, 3),
        }
        return {**life, **status_of(self.reloading, self.crew, self.sockets)}

    def tallies(self) -> list[Tally]:
        """What was counted by route and server."""
        return tallies_of(self.crew)

    def config(self) -> bytes:
        """The configuration that serves, as MessagePack."""
        return self.reloading.plan.config

    # --- what it says ----------------------------------------------------------------------------------------------

    def _say_ready(self, group: Group) -> None:
        say_ready(group.listener.role, group.listener.name, group.address, group.url, self._log_format)

    def _refuse(self, error: ValueError, status: int = 1) -> int:
        return refuse(error, status, self._log_format)

    def _task(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _has_terminal() -> bool:
    return os.isatty(2)


def refuse(error: ValueError, status: int, log_format: str) -> int:
    """Say why there is no instance; `status` again, for whoever ends with it."""
    for line in str(error).split("\n"):
        text = {"event": "error", "message": line}
        _write_line(json.dumps(text) if log_format == "json" else f"interpose: {line}")
    return status


def say_ready(role: str, name: str, address: str, url: str, log_format: str, at: str = "listening on") -> None:
    """The line that tells people, and programs, that something can be reached now, and where."""
    if log_format == "json":
        _write_line(json.dumps({"event": "ready", "role": role, "name": name, "address": address, "url": url}))
    else:
        _write_line(f"interpose: {role} {at} {url}")


def _write_line(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

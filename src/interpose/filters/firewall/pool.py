"""The firewall processes of one worker.

    idle ── asked ──> busy ── verdict ──> idle           busy for longer than the deadline, or dead: replaced
     ^                                                    its request gets no verdict, those that wait for answers are
     └── Ready ── starting <── started after 0, 1, 2 … 30 s     asked anew elsewhere

A process has one message at a time; those that come meanwhile wait in one queue, bounded in length and by the deadline.
An answer belongs to the process that has its request. When that one is gone, or busy for longer than PATIENCE_S while
another is idle, the request is asked again there, and then the answer: one heavy request delays no other.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import weakref
from collections import deque
from typing import NamedTuple

import msgspec

from interpose.filters.firewall.messages import (
    Answer,
    Broken,
    Forget,
    Inspect,
    Ready,
    Setup,
    ToWorker,
    Verdict,
    decode_for_worker,
    encode,
)
from interpose.net.companion import Companion

log = logging.getLogger("interpose")

COMMAND = (sys.executable, "-P", "-m", "interpose.filters.firewall.process")
START_S = 20.0
"""How long a process may take to load its rules."""
PATIENCE_S = 0.05
BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STEADY_S = 1.0
"""A process that has served for so long and dies is replaced at once."""
LOOKS = 5
"""How often in a deadline it is looked whether one has passed."""


class Unavailable(Exception):
    """No verdict: `reason` is a word for the note (`deadline`, `died`, `queue`), the text a sentence."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class Asking(NamedTuple):
    """A request that was let pass, and the process that waits for its answer."""

    request: Inspect
    process: Process


class _Job:
    """Something to be asked, by whichever process, or by `only`."""

    __slots__ = ("began", "done", "frame", "number", "only", "since")

    def __init__(self, number: int, frame: bytes, only: Process | None, since: float) -> None:
        self.number = number
        self.frame = frame
        self.only = only
        self.since = since
        self.began = 0.0
        self.done: asyncio.Future[tuple[Verdict, Process]] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str, why: str) -> None:
        """Nobody will say."""
        if not self.done.done():
            self.done.set_exception(Unavailable(reason, why))

    def send_elsewhere(self) -> None:
        """The one process that could say cannot be asked."""
        if not self.done.done():
            self.done.set_exception(_Elsewhere())


class Process:
    """One process, as its pool sees it."""

    def __init__(self, pool: Pool) -> None:
        self.job: _Job | None = None
        self.is_ready = False
        self.ready_since = 0.0
        self.was_killed = False
        self._pool = pool
        self.companion = Companion(self._heard, self._ended)

    def take(self, job: _Job) -> None:
        """Ask it."""
        self.job = job
        job.began = now()
        self.companion.send(job.frame)

    def _heard(self, frame: bytes) -> None:
        message: ToWorker = decode_for_worker(frame)
        match message:
            case Verdict():
                job, self.job = self.job, None
                if job is not None and not job.done.done():
                    job.done.set_result((message, self))
                else:  # whoever asked has left
                    self.companion.send(encode(Forget(message.number)))
                self._pool.is_free(self)
            case Ready():
                self._pool.is_up(self)
            case Broken():
                self._pool.is_broken(message.problems)

    def _ended(self) -> None:
        self._pool.is_gone(self)


class Pool:
    """See the module. `count` processes, of which each loads `setup`."""

    def __init__(self, setup: Setup, *, count: int, queue: int, deadline_s: float) -> None:
        self.deadlines_total = 0
        """Processes killed because they took too long."""
        self.deaths_total = 0
        """Processes that died over a request."""
        self.users: weakref.WeakSet[object] = weakref.WeakSet()
        """The filters that ask."""
        self._setup = encode(setup)
        self._count = count
        self._most_waiting = queue
        self._deadline_s = deadline_s
        self._processes: list[Process] = []
        self._idle: list[Process] = []
        self._waiting: deque[_Job] = deque()
        self._problems: tuple[str, ...] = ()
        self._failures = 0
        self._number = 0
        self._settled: asyncio.Event | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._starting: set[asyncio.Task[None]] = set()
        self._gone: list[Companion] = []
        self._has_ended = False

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [process.companion.pid for process in self._processes]

    async def start(self) -> None:
        """Start the processes, and wait until all can be asked. ValueError, each line a sentence, when the rules are
        broken."""
        if self._settled is None:
            self._settled = asyncio.Event()
            for _ in range(self._count):
                self._begin(0.0)
        try:
            async with asyncio.timeout(START_S):
                await self._settled.wait()
        except TimeoutError:
            raise ValueError(f"The firewall's processes were not ready within {START_S:g} s.") from None
        if self._problems:
            raise ValueError("\n".join(self._problems))

    async def request(self, request: Inspect) -> tuple[Verdict, Asking]:
        """The verdict about `request`, whose number is given here. Unavailable."""
        self._number += 1
        request = msgspec.structs.replace(request, number=self._number)
        verdict, process = await self._ask(_Job(request.number, encode(request), None, now()))
        return verdict, Asking(request, process)

    async def answer(self, asking: Asking, status: int, fields: bytes, body: bytes) -> Verdict:
        """The verdict about the answer to a request. Unavailable."""
        message = Answer(asking.request.number, status, fields, body)
        if asking.process.is_ready:
            job = _Job(message.number, encode(message), asking.process, now())
            try:
                verdict, _ = await self._ask(job)
            except _Elsewhere:
                asking.process.companion.send(encode(Forget(message.number)))
            else:
                if verdict.is_known:
                    return verdict
        verdict, again = await self.request(asking.request)
        if verdict.status:
            return verdict
        repeated = Answer(again.request.number, status, fields, body)
        job = _Job(repeated.number, encode(repeated), again.process, now())
        job.since = math.inf  # it has moved once, and stays
        try:
            return (await self._ask(job))[0]
        except _Elsewhere:
            raise Unavailable("died", "Two firewall processes died that had its request.") from None

    def forget(self, asking: Asking) -> None:
        """No answer will come, or none that is inspected."""
        if asking.process.is_ready:
            asking.process.companion.send(encode(Forget(asking.request.number)))

    async def close(self) -> None:
        """End the processes."""
        self._has_ended = True
        for task in self._starting:
            task.cancel()
        if self._starting:
            await asyncio.wait(self._starting)
        if self._looking is not None:
            self._looking.cancel()
        companions = [process.companion for process in self._processes]
        for companion in companions:
            companion.kill()
        for companion in [*companions, *self._gone]:
            await companion.collected()

    # --- what processes say ------------------------------------------------------------------------------------------

    def is_up(self, process: Process) -> None:
        """(process) Its rules are loaded."""
        self._problems = ()
        process.is_ready = True
        process.ready_since = now()
        assert self._settled is not None
        if sum(one.is_ready for one in self._processes) == self._count:
            self._settled.set()
        self.is_free(process)

    def is_free(self, process: Process) -> None:
        """(process) It can be asked."""
        for job in self._waiting:
            if (job.only is None or job.only is process) and not job.done.done():
                self._waiting.remove(job)
                process.take(job)
                return
        self._idle.append(process)

    def is_broken(self, problems: tuple[str, ...]) -> None:
        """(process) The rules cannot be loaded."""
        if self._problems != problems:
            log.error("the firewall's rules cannot be loaded: %s", " ".join(problems))
        self._problems = problems
        assert self._settled is not None
        self._settled.set()

    def is_gone(self, process: Process) -> None:
        """(process) It has ended."""
        self._gone = [one for one in self._gone if not one.is_collected]
        self._gone.append(process.companion)
        if process not in self._processes:
            return
        self._processes.remove(process)
        if process in self._idle:
            self._idle.remove(process)
        is_blameless = process.was_killed or (process.is_ready and now() - process.ready_since > STEADY_S)
        process.is_ready = False
        job, process.job = process.job, None
        if self._has_ended:
            return
        if job is not None:
            self.deaths_total += 1
            log.warning("a firewall process died over a request, and is replaced")
            job.fail("died", "The firewall process that looked at it died.")
        for waiting in [one for one in self._waiting if one.only is process]:
            self._waiting.remove(waiting)
            waiting.send_elsewhere()
        self._failures = 0 if is_blameless or job is not None else self._failures + 1
        self._begin(BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)])

    # --- in here -----------------------------------------------------------------------------------------------------

    async def _ask(self, job: _Job) -> tuple[Verdict, Process]:
        process = self._free_for(job)
        if process is not None:
            process.take(job)
        elif len(self._waiting) >= self._most_waiting:
            raise Unavailable("queue", f"{self._most_waiting} wait for the firewall already.")
        else:
            self._waiting.append(job)
        if self._looking is None:
            self._look_later()
        try:
            return await job.done
        except asyncio.CancelledError:
            if job in self._waiting:
                self._waiting.remove(job)
            raise

    def _free_for(self, job: _Job) -> Process | None:
        if job.only is None:
            return self._idle.pop() if self._idle else None
        if job.only in self._idle:
            self._idle.remove(job.only)
            return job.only
        return None

    def _look_later(self) -> None:
        after = min(self._deadline_s / LOOKS, PATIENCE_S)
        self._looking = asyncio.get_running_loop().call_later(after, self._look)

    def _look(self) -> None:
        """Whether somebody takes, or waits, too long."""
        self._looking = None
        time = now()
        for process in list(self._processes):
            job = process.job
            if job is not None and time - job.began > self._deadline_s:
                self._kill(process, job)
        for waiting in list(self._waiting):
            if time - waiting.since > self._deadline_s:
                self._waiting.remove(waiting)
                waiting.fail("queue", f"It has waited for the firewall for {self._deadline_s:g} s.")
            elif waiting.only is not None and self._idle and time - waiting.since > PATIENCE_S:
                self._waiting.remove(waiting)
                waiting.send_elsewhere()
        if self._waiting or any(process.job is not None for process in self._processes):
            self._look_later()

    def _kill(self, process: Process, job: _Job) -> None:
        self.deadlines_total += 1
        log.warning("a firewall process took longer than %g s over a request, and is replaced", self._deadline_s)
        process.job = None
        process.was_killed = True
        job.fail("deadline", f"The firewall's rules took longer than {self._deadline_s:g} s over it.")
        process.companion.kill()

    def _begin(self, after_s: float) -> None:
        task = asyncio.get_running_loop().create_task(self._started(after_s))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        process = Process(self)
        try:
            await process.companion.start(COMMAND)
        except OSError as error:
            log.error("a firewall process cannot be started: %s", error.strerror or error)
            self._failures += 1
            self._begin(BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)])
            return
        self._processes.append(process)
        process.companion.send(self._setup)


class _Elsewhere(Exception):
    """The process that has the request cannot be asked: ask another one, the request first."""


def now() -> float:
    """The clock of the loop."""
    return asyncio.get_running_loop().time()

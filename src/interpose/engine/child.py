"""One worker process as the supervisor sees it: started, spoken to, heard of, buried.

    STARTING ── Ready ──> SERVING ── drain ──> DRAINING ──> GONE          from each of them: death ──> GONE

A death shows in two ways, the process's end and the link's; the child is gone when both were seen, so that the last
words of a worker that could not start are never lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from interpose.core.tally import Tallies
from interpose.engine.link import Link
from interpose.engine.listening_sockets import Group
from interpose.engine.messages import (
    Broken,
    Counters,
    Drain,
    Grant,
    Grants,
    Message,
    Ready,
    Start,
    ToSupervisor,
    ToWorker,
)
from interpose.engine.plan import Plan
from interpose.engine.worker import SUPERVISOR_SIGNALS
from interpose.net.pairs import descriptor_pair, link_pair, send_sockets

log = logging.getLogger("interpose")

STALL_S = 1.5
"""A worker not heard of for so long (it speaks every second) gets help with its sockets: nobody waits for 2 s."""

LAST_WORDS_S = 0.5
"""How long the rest of a dead worker's link is read."""


MALLOC = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "2097152"}
"""How glibc is to keep memory in a worker. The event loop takes 256 KiB for each TLS connection and touches little of
it; mapped apart, what is not touched costs nothing: 17 KiB for an idle connection instead of 38. The size is just above
that of the buffers that are read into, which must not be mapped anew each time."""


class State(enum.StrEnum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    GONE = "gone"


class Child:
    """One worker process, in a slot. Times are monotonic seconds."""

    def __init__(
        self,
        slot: int,
        generation: int,
        on_message: Callable[[Child, ToWorker | ToSupervisor], None],
        on_gone: Callable[[Child], None],
    ) -> None:
        self.slot = slot
        self.generation = generation
        self.state = State.STARTING
        self.counters: dict[str, float] = {}
        self.tallies = Tallies()
        self.requests_per_s = 0.0
        """In the last second."""
        self.errors: tuple[str, ...] = ()
        """Why it could not start, in sentences."""
        self.held: frozenset[int] = frozenset()
        """The sockets it was granted."""
        self.started = self.heard = time.monotonic()
        self._counted = self.started
        self.served_since: float | None = None
        self.status: int | None = None
        """The exit status, once it is gone; negative for a signal."""
        self.settled = asyncio.Event()
        """Set once it serves, or is gone."""
        self._on_message = on_message
        self._on_gone = on_gone
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._pair: Any = None
        self._exited = asyncio.Event()
        self._link_ended = asyncio.Event()
        self._burial: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid if self._process is not None else 0

    @property
    def served_s(self) -> float:
        """For how long it has served."""
        return 0.0 if self.served_since is None else time.monotonic() - self.served_since

    def needs_help(self, now: float) -> bool:
        """Whether others should accept from its sockets: it is silent, or says that it leaves connections waiting."""
        return now - self.heard > STALL_S or not self.counters.get("accepting", 1.0)

    async def spawn(self, command: Sequence[str], plan: Plan, groups: Iterable[Group], wanted: set[int]) -> None:
        """Start the process: `command` and the number of one descriptor. OSError when it cannot be had."""
        self._pair, their_pair = descriptor_pair()
        link_socket, their_link = link_pair()
        with contextlib.ExitStack() as stack:
            for theirs in (their_pair, their_link):
                stack.callback(theirs.close)
            self._link = await Link.over(link_socket, self._heard, self._link_ended.set)
            try:
                self._process = _started(command, their_pair.fileno())
            except OSError:
                await self._link.close()
                self._pair.close()
                self.state = State.GONE
                self.settled.set()
                raise
            send_sockets(self._pair, [their_link])
        self._burial = asyncio.create_task(self._bury())
        grants = self.grants(groups, wanted)
        if grants is not None:
            limits = (plan.grace_s, plan.memory_limit_bytes)
            self.send(Start(self.slot, self.generation, plan.config, grants, *limits))

    def grants(self, groups: Iterable[Group], wanted: Iterable[int]) -> Grants | None:
        """Pass on the sockets that are `wanted` and not held yet, and say so; None (and its end) when it takes none."""
        wanted = frozenset(wanted)
        sockets: list[Grant] = []
        fresh: dict[int, Any] = {}
        for group in groups:
            for sock in group.sockets:
                if sock.number in wanted:
                    sockets.append(Grant(sock.number, group.listener.name))
                    if sock.number not in self.held:
                        fresh[sock.number] = sock.socket
        try:
            send_sockets(self._pair, list(fresh.values()))
        except OSError as error:
            log.error("worker %d took no sockets (%s) and is ended", self.slot, error)
            self.kill()
            return None
        self.held = wanted
        return Grants(tuple(sockets), tuple(fresh))

    def send(self, message: Message) -> None:
        """Say something to the worker."""
        if self._link is not None:
            self._link.send(message)

    def drain(self, grace_s: float, *, keep_idle: bool = False) -> None:
        """Let it finish and end."""
        if self.state is not State.GONE:
            self.state = State.DRAINING
            self.send(Drain(grace_s, keep_idle))

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self.state is not State.GONE:
            self._process.kill()

    async def gone(self) -> None:
        """Wait until it is gone."""
        if self._burial is not None:
            await asyncio.shield(self._burial)

    def _heard(self, message: ToWorker | ToSupervisor) -> None:
        self.heard = time.monotonic()
        match message:
            case Ready() if self.state is State.STARTING:
                self.state = State.SERVING
                self.served_since = self.heard
                self.settled.set()
            case Counters():
                self._count(message.values)
                self.tallies.replace(message.tallies)
            case Broken():
                self.errors = message.errors
        self._on_message(self, message)

    def _count(self, counters: dict[str, float]) -> None:
        more = counters.get("requests_total", 0.0) - self.counters.get("requests_total", 0.0)
        self.requests_per_s = more / max(0.1, self.heard - self._counted)
        self._counted = self.heard
        self.counters = counters

    async def _bury(self) -> None:
        assert self._process is not None
        watching = asyncio.create_task(self._watch_link())
        await _exit_of(self._process)
        self.status = self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._link_ended.wait()
        watching.cancel()
        if self._link is not None:
            await self._link.close()
        self._pair.close()
        self.state = State.GONE
        self.settled.set()
        self._on_gone(self)

    async def _watch_link(self) -> None:
        """A worker without a link cannot be told anything: after a moment to end by itself it is ended."""
        await self._link_ended.wait()
        await asyncio.sleep(LAST_WORDS_S if self.state is State.STARTING else 4 * LAST_WORDS_S)
        self.kill()


def _started(command: Sequence[str], descriptor: int) -> subprocess.Popen[bytes]:
    # What a terminal sends to all processes of a command must not end a worker that is still loading.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)
    try:
        return subprocess.Popen(
            [*command, str(descriptor)],
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            env={**MALLOC, **os.environ},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


async def _exit_of(process: subprocess.Popen[bytes]) -> None:
    """Return when the process has ended; the caller collects its status."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not on this system
        while process.poll() is None:  # noqa: ASYNC110 - nothing announces it there
            await asyncio.sleep(0.1)
        return
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)

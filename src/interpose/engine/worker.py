"""A worker process: one event loop that serves, told by the supervisor over its link what to serve.

    started ── Start ──> serving ── Drain, or the link's end ──> draining ──> exit 0
                           │ Prepare, Commit, Abandon, Accept: in their order, one at a time

The worker decides nothing about processes: it accepts on the sockets it is granted, builds what it is told, counts, and
says so each second, which is also its sign of life. When the supervisor is gone it drains by itself, since nobody would
restart it. What serves is a `Runtime`, which it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from interpose.core.tally import Tallies, Tally
from interpose.engine.calls import Calls
from interpose.engine.link import Link
from interpose.engine.memory_ladder import Ladder, MemoryLevel, resident_bytes
from interpose.engine.messages import (
    Abandon,
    Accept,
    Ask,
    Broken,
    Commit,
    Committed,
    Counters,
    Drain,
    Grants,
    Leaving,
    Prepare,
    Prepared,
    Ready,
    ReopenLogs,
    Reply,
    Start,
    Told,
    ToSupervisor,
    ToWorker,
)
from interpose.engine.watchdog import Watchdog
from interpose.net.pairs import close_all, inherited_pair, is_socket, receive_sockets
from interpose.protocol.number import decimal

log = logging.getLogger("interpose")

SUPERVISOR_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""A worker is started with these blocked, because what a terminal sends to all of its processes is not meant for it."""

TICK_S = 1.0
"""The coarse tick: deadlines are swept, memory is looked at, counters are sent."""

OVERTIME_S = 0.3
"""What draining and stopping may take beyond the grace."""

Sockets = Mapping[str, Sequence[Any]]
"""Listener name -> its bound and listening sockets, objects of `net` that are only passed on here."""


class Runtime(Protocol):
    """What serves in a worker. Errors of `start` and `prepare` are ValueErrors whose lines are sentences.

    Sockets remain the worker's, which closes them when they are no longer granted; a runtime accepts on copies.
    """

    async def start(self, sockets: Sockets) -> None:
        """Serve on `sockets`."""

    async def listen(self, sockets: Sockets) -> None:
        """Accept on exactly these sockets, of listeners that run already; let go of others. Streams live on."""

    def prepare(self, config: Any) -> object:
        """Everything that `config` needs, validated and built, without effect."""

    async def commit(self, prepared: object, sockets: Sockets) -> None:
        """Swap to what was prepared, and accept on exactly these sockets. Running exchanges finish as they began."""

    def relieve(self, level: MemoryLevel) -> None:
        """Memory has reached or left this level: give up what it says, and no more."""

    def reopen_logs(self) -> None:
        """Log files were moved away: open them anew."""

    async def answer(self, question: bytes) -> bytes:
        """What there is to say about what is kept; bytes that mean something to those above this floor."""

    def tick(self, now: float) -> None:
        """Sweep deadlines; called about once a second with the monotonic time."""

    def counters(self) -> dict[str, float]:
        """Counts for the status: those whose name ends in `_total` only grow, the others stand for now.

        `accepting` = 0.0 says that new connections are left in the queue at the moment; other workers then take them.
        """

    def tallies(self) -> list[Tally]:
        """What was counted by route and server, as far as it has changed since this was asked last."""

    async def drain(self, grace_s: float, *, keep_idle: bool = False) -> None:
        """Accept no more; each answer from now on is the last of its connection. Return when no exchange runs any more,
        with `keep_idle` when no connection is open any more, or after `grace_s`."""

    async def stop(self) -> None:
        """Cut everything that is left and write out what is buffered."""


MakeRuntime = Callable[[bytes, int, Calls], Runtime]
"""The runtime for an encoded configuration, a worker's number, and what it may ask of the supervisor."""


class Worker:
    """One worker. `run` returns when it is done, with the process's exit status."""

    def __init__(
        self,
        pair: Any,
        make_runtime: MakeRuntime,
        decode: Callable[[bytes], Any],
        *,
        read_memory: Callable[[], int] = resident_bytes,
    ) -> None:
        self._pair = pair
        self._make_runtime = make_runtime
        self._decode = decode
        self._read_memory = read_memory
        self._link: Link | None = None
        self._calls = Calls(self._send, self._offer)
        self._runtime: Runtime | None = None
        self._prepared: object = None
        self._sockets: dict[int, Any] = {}
        self._orders: asyncio.Queue[ToWorker | ToSupervisor | None] = asyncio.Queue()
        self._draining: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()
        self._watchdog: Watchdog | None = None
        self._ladder = Ladder(0)
        self._values: dict[str, float] = {}
        self._tallies = Tallies()
        """Those that are still to be told."""
        self._grace_s = 0.0
        self._asked_to_leave = False
        self._status = 0

    async def run(self, link_socket: Any) -> int:
        """Serve until told to drain, or until the supervisor is gone."""
        loop = asyncio.get_running_loop()
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(ignored, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGTERM, self._leave, "it was sent SIGTERM")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISOR_SIGNALS)
        self._link = await Link.over(link_socket, self._heard, self._link_ended)
        obeying = asyncio.create_task(self._obey())
        await self._finished.wait()
        obeying.cancel()
        await self._link.close()
        close_all([self._pair, *self._sockets.values()])
        return self._status

    # --- what is not an order --------------------------------------------------------------------------------------

    def _heard(self, message: ToWorker | ToSupervisor) -> None:
        if isinstance(message, Reply):
            self._calls.replied(message)
        else:
            self._orders.put_nowait(message)

    def _link_ended(self) -> None:
        self._calls.end()
        self._orders.put_nowait(None)

    def _send(self, message: ToSupervisor) -> None:
        if self._link is not None:
            self._link.send(message)

    def _offer(self, message: ToSupervisor) -> bool:
        return self._link is not None and self._link.offer(message)

    # --- orders, one at a time -------------------------------------------------------------------------------------

    async def _obey(self) -> None:
        ticking: asyncio.Task[None] | None = None
        try:
            while (order := await self._orders.get()) is not None:
                if isinstance(order, Start) and await self._start(order):
                    self._watchdog = Watchdog(f"worker {order.number}")
                    self._watchdog.start()
                    ticking = asyncio.create_task(self._tick_for_ever())
                elif isinstance(order, Drain):
                    self._drain(order.grace_s, order.keep_idle)
                elif self._runtime is not None:
                    await self._follow(order, self._runtime)
            if self._draining is None:
                log.warning("the supervisor is gone: finishing what runs, then ending")
            self._drain(self._grace_s)
            await self._finished.wait()
        except Exception:
            log.exception("a worker ends because an order failed")
            self._fail()
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            if ticking is not None:
                ticking.cancel()

    async def _start(self, order: Start) -> bool:
        assert self._link is not None
        self._grace_s = order.grace_s
        self._ladder = Ladder(order.memory_limit_bytes, self._read_memory)
        try:
            sockets = self._take(order.grants)
            runtime = self._make_runtime(order.config, order.number, self._calls)
            await runtime.start(sockets)
        except (ValueError, OSError) as error:
            self._link.send(Broken(sentences(error)))
            self._fail()
            return False
        self._runtime = runtime
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process: the collector need not look at it again
        self._link.send(Ready())
        self._report()
        return True

    async def _follow(self, order: ToWorker | ToSupervisor, runtime: Runtime) -> None:
        assert self._link is not None
        match order:
            case Prepare():
                errors: tuple[str, ...] = ()
                try:
                    self._prepared = runtime.prepare(self._decode(order.config))
                except (ValueError, OSError) as error:
                    errors = sentences(error)
                except Exception as error:
                    log.exception("a configuration could not be prepared")
                    errors = (f"it could not be prepared: {error!r}",)
                self._link.send(Prepared(order.generation, errors))
            case Commit():
                self._grace_s = order.grace_s
                self._ladder.limit_bytes = order.memory_limit_bytes
                before = dict(self._sockets)
                prepared, self._prepared = self._prepared, None
                await runtime.commit(prepared, self._take(order.grants))
                self._let_go(before)
                self._link.send(Committed(order.generation))
            case Abandon():
                self._prepared = None
            case Accept():
                before = dict(self._sockets)
                sockets = self._take(order.grants)
                if self._draining is None:
                    await runtime.listen(sockets)
                self._let_go(before)
            case ReopenLogs():
                runtime.reopen_logs()
            case Ask():
                answering = asyncio.create_task(
                    self._answer(order, runtime, self._answering if order.in_turn else None)
                )
                if order.in_turn:
                    self._answering = answering
                self._answers.add(answering)
                answering.add_done_callback(self._answers.discard)

    async def _answer(self, order: Ask, runtime: Runtime, before: asyncio.Task[None] | None) -> None:
        """Answer beside other orders, one question after the other."""
        assert self._link is not None
        if before is not None:
            await asyncio.wait([before])
        try:
            self._link.send(Told(order.number, await runtime.answer(order.question)))
        except Exception:
            log.exception("a question could not be answered")

    def _take(self, grants: Grants) -> dict[str, list[Any]]:
        """Receive what is fresh and forget what is no longer granted: what to accept on, by listener."""
        received = receive_sockets(self._pair, len(grants.fresh))
        have = {**self._sockets, **dict(zip(grants.fresh, received, strict=True))}
        self._sockets = {grant.number: have[grant.number] for grant in grants.sockets}
        by_listener: dict[str, list[Any]] = {}
        for grant in grants.sockets:
            by_listener.setdefault(grant.listener, []).append(self._sockets[grant.number])
        return by_listener

    def _let_go(self, before: dict[int, Any]) -> None:
        close_all([sock for number, sock in before.items() if self._sockets.get(number) is not sock])

    # --- the end ---------------------------------------------------------------------------------------------------

    def _drain(self, grace_s: float, keep_idle: bool = False) -> None:
        """Begin to drain, or shorten what remains of the grace when that was begun before."""
        if self._runtime is None:
            self._finished.set()
            return
        close_all(list(self._sockets.values()))  # or the next instance could not bind while the last exchanges run
        before, self._draining = self._draining, asyncio.create_task(self._drain_within(grace_s, keep_idle))
        if before is not None:
            before.cancel()

    async def _drain_within(self, grace_s: float, keep_idle: bool) -> None:
        assert self._runtime is not None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s + OVERTIME_S):
                    await self._runtime.drain(grace_s, keep_idle=keep_idle)
            self._report()  # what the last second counted
            async with asyncio.timeout(OVERTIME_S):
                await self._runtime.stop()
            self._tell_counters()  # what was cut has been counted now
        except Exception:
            log.exception("a worker could not end in order")
            self._status = 1
        self._finished.set()

    def _fail(self) -> None:
        self._status = 1
        self._finished.set()

    def _leave(self, reason: str) -> None:
        if not self._asked_to_leave and self._link is not None:
            self._asked_to_leave = True
            self._link.send(Leaving(reason))

    # --- once a second ---------------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        assert self._runtime is not None
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._runtime.tick(time.monotonic())
                self._look_at_memory(self._runtime)
                self._report()
            except Exception:
                log.exception("the tick of a worker failed")

    def _look_at_memory(self, runtime: Runtime) -> None:
        before = self._ladder.level
        level = self._ladder.look()
        if level is before:
            return
        share = self._ladder.used_bytes / max(1, self._ladder.limit_bytes)
        log.warning("memory is at %.0f %% of its limit: level %s", share * 100, level.name.lower())
        runtime.relieve(level)
        if level is MemoryLevel.RECYCLE:
            self._leave("its memory is above the limit")

    def _report(self) -> None:
        assert self._link is not None
        assert self._runtime is not None
        values = self._runtime.counters()
        values["memory_bytes"] = self._ladder.used_bytes or self._read_memory()
        values["memory_level"] = self._ladder.level
        if self._ladder.level >= MemoryLevel.STOP:
            values["accepting"] = 0.0
        values["link_dropped_total"] = self._link.dropped
        if self._watchdog is not None:
            values["stalls_total"] = self._watchdog.lag.stalls
            values["longest_stall_s"] = self._watchdog.lag.longest_s
        self._values = values
        self._tell_counters()

    def _tell_counters(self) -> None:
        assert self._runtime is not None
        self._tallies.replace(self._runtime.tallies())
        if self._offer(Counters(self._values, list(self._tallies))):
            self._tallies = Tallies()


def sentences(error: BaseException) -> tuple[str, ...]:
    """What went wrong, one sentence to a line of the error's text."""
    return tuple(line for line in str(error).split("\n") if line) or (repr(error),)


def serve_as_worker(
    arguments: Sequence[str],
    *,
    make_runtime: MakeRuntime,
    decode: Callable[[bytes], Any],
    run: Callable[[Coroutine[Any, Any, int]], int] = asyncio.run,
) -> int:
    """What a worker process does, from its command line (the number of one descriptor) to its exit status."""
    number = decimal(arguments[0].encode()) if len(arguments) == 1 else None
    if number is None or not is_socket(number):
        print("This is started by `interpose` for each worker, not by hand; see `interpose run`.", file=sys.stderr)
        return 2
    pair = inherited_pair(number)
    try:
        (link_socket,) = receive_sockets(pair, 1)
    except OSError:
        return 1  # the supervisor ended before it said anything
    return run(Worker(pair, make_runtime, decode).run(link_socket))

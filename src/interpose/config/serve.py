"""`interpose.serve`: the same parts as in a worker, in the process and loop of whoever calls. For tests and
embedding."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interpose.config.load import verified
from interpose.config.model import Config
from interpose.config.runtime import WorkerRuntime
from interpose.engine.calls import DirectCalls, NoOffice, Office
from interpose.net.listen import bind
from interpose.net.udp import bind_datagrams

log = logging.getLogger("interpose")

TICK_S = 1.0


class Running:
    """A configuration at work. `addresses` are the real ones, by listener: `running.addresses["proxy"]`."""

    def __init__(self, runtime: WorkerRuntime) -> None:
        self._runtime = runtime

    @property
    def addresses(self) -> dict[str, str]:
        """`host:port`, or `unix:path`, by the name of the listener."""
        return self._runtime.addresses

    @property
    def counters(self) -> dict[str, float]:
        """Counts, as `interpose status` has them."""
        return self._runtime.counters()

    @property
    def is_ready(self) -> bool:
        """(office) It serves."""
        return True

    async def ask_a_worker(self, question: bytes, timeout_s: float) -> bytes | None:
        """(office) What the runtime answers, which here is the only worker; None when that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._runtime.answer(question)
        return None

    async def reload(self, config: Config) -> None:
        """Change to `config` in place; its listeners must be the ones that run. ValueError leaves everything as it
        is."""
        sockets = {name: running.sockets for name, running in self._runtime._running.items()}
        await self._runtime.commit(self._runtime.prepare(verified(config)), sockets)


@asynccontextmanager
async def serve(config: Config, *, office: Office | None = None) -> AsyncIterator[Running]:
    """Run `config` while inside. ConfigError or ValueError when it cannot be.

    `office` keeps what is recorded and held (`config.office.Office(config)` does), and is open while it runs; without
    one nothing is recorded, and what is to be held is refused.
    """
    config = verified(config)
    sockets = {}
    office = office or NoOffice()
    runtime = WorkerRuntime(config, 0, DirectCalls(office))
    await office.open()
    ticking: asyncio.Task[None] | None = None
    try:
        for listener in config.listeners:
            sockets[listener.name] = [(bind_datagrams if listener.udp else bind)(listener.address)]
        await runtime.start(sockets)
        ticking = asyncio.create_task(_tick(runtime))
        running = Running(runtime)
        await office.begin(running)
        yield running
    finally:
        await runtime.drain(config.process.grace_s if ticking is not None else 0)
        if ticking is not None:  # until now deadlines were kept
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
        await runtime.stop()
        for group in sockets.values():
            for sock in group:
                sock.close()
        await office.end()


async def _tick(runtime: WorkerRuntime) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(TICK_S)
        try:
            runtime.tick(loop.time())
        except Exception:
            log.exception("a tick failed")  # and the next one judges the deadlines all the same

"""What spools and sinks need beside streams: threads for the disk, somebody to keep their tasks, somebody to show
progress to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST_THREADS = 4


class Threads:
    """Runs what blocks. (The loop's own executor also looks up names; a slow disk must not hold that up.)"""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS, "spool")

    async def __call__(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """What `function` gives. Who is cancelled meanwhile waits for its end: nobody else may touch its file
        before."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, partial(function, *arguments, **options))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at
            raise


class Tasks:
    """Tasks that outlive the connection they began on."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it to its end."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def cancel(self) -> None:
        """Cancel what runs, and wait for its end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class Gauge(Protocol):
    """The progress of one transfer."""

    def advance(self, count: int) -> None:
        """So many bytes more."""

    def end(self) -> None:
        """It is over, one way or the other."""


class Meter(Protocol):
    """Shows transfers to whoever looks."""

    def begin(self, label: str, total: int | None, done: int = 0) -> Gauge:
        """A transfer begins; `total` bytes, None when nobody knows."""


class _Unseen:
    def begin(self, label: str, total: int | None, done: int = 0) -> Gauge:
        return self

    def advance(self, count: int) -> None:
        pass

    def end(self) -> None:
        pass


UNSEEN: Meter = _Unseen()
"""For when nobody looks."""

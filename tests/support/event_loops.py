"""Scenes on both event loops: what holds on one need not hold on the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvloop

Scene = Callable[[], Coroutine[Any, Any, None]]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run_scene(loop: str, scene: Scene, *, deadline_s: float = 20.0) -> None:
    """Run `scene` to its end on the named loop. An error in a callback, a task or a descriptor left over fails it."""

    async def guarded() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        # Both loops open descriptors of their own with the first connection; those are not the scene's.
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        server.close()
        before = descriptors()
        async with asyncio.timeout(deadline_s):
            await scene()
        await settle(lambda: descriptors() <= before and not other_tasks())
        gc.collect()
        assert errors == []
        assert other_tasks() == set()
        assert descriptors() <= before, "descriptors were left open"

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(guarded())


async def settle(condition: Callable[[], bool], rounds: int = 2000) -> None:
    """Let the loop go round until `condition` holds, a bounded number of times."""
    for _ in range(rounds):
        if condition():
            return
        await asyncio.sleep(0)


def other_tasks() -> set[asyncio.Task[Any]]:
    """The tasks of this loop besides the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def few_descriptors(more: int) -> Iterator[None]:
    """At most `more` descriptors than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    listed = os.listdir("/proc/self/fd")
    taken = {int(number) for number in listed if os.path.lexists(f"/proc/self/fd/{number}")}  # not that of the listing
    free = [number for number in range(len(taken) + more + 1) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[more], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

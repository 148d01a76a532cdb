"""Asynchronous parts of a scene whose client is synchronous: a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

Entered = TypeVar("Entered")
DEADLINE_S = 20.0


@contextmanager
def in_background(make: Callable[[], AbstractAsyncContextManager[Entered]]) -> Iterator[Entered]:
    """Enter what `make` makes on a loop in another thread, and leave it there at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(DEADLINE_S)

    async def made() -> AbstractAsyncContextManager[Entered]:
        return make()

    async def no_task_left() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        manager = run(made())
        entered = run(manager.__aenter__())
        try:
            yield entered
        finally:
            run(manager.__aexit__(None, None, None))
            run(no_task_left())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()

"""The one thread on which a desk's store is opened and used, so that the loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from interpose.storage.desk.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """Calls functions of a store, in the order in which they were asked for. A call that was begun is finished, though
    nobody waits for it any more."""

    def __init__(self, opened: Callable[[], Store]) -> None:
        self._opened = opened
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk")
        self._store: Store | None = None

    async def open(self) -> Store:
        """Open the store. Raises what that raises."""
        self._store = await asyncio.get_running_loop().run_in_executor(self._thread, self._opened)
        return self._store

    async def __call__(self, function: Callable[Concatenate[Store, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function` returns for the store and these arguments, or raises."""
        assert self._store is not None
        store = self._store
        future = asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(store, *arguments, **named))
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Finish what was asked for, then close the store."""
        store, self._store = self._store, None
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, store.close)
        self._thread.shutdown(wait=False)

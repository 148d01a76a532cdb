"""A real console over a real journal, desk and spool, on a port of its own: what a browser is let into by its link.

with served_console(directory) as served:
    page.goto(served.link())
    served.do(served.console.record(record(1)))
    waiting = served.start(served.console.desk.hold(held()))
    ...
    decision = waiting.result(20)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.background import DEADLINE_S, in_background
from tests.support.console import Console, console_in

from interpose.console.control import ControlServer
from interpose.core.record import Record

Result = TypeVar("Result")


class Served:
    """See the module."""

    def __init__(self, console: Console, address: str) -> None:
        self.console = console
        self.url = f"http://{address}/"
        self._address = address
        self._loop = asyncio.get_running_loop()

    def link(self, role: str = "admin") -> str:
        """What opens the page."""
        return self.console.access.links(self._address)[role]

    def start(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Begin something where the console lives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Have something done there."""
        return self.start(work).result(DEADLINE_S)

    def record(self, *records: Record) -> None:
        """These have just passed."""
        self.do(self._recorded(records))

    async def _recorded(self, records: tuple[Record, ...]) -> None:
        newest = self.console.reader.find(None, limit=1).rows
        await self.console.record(*records)
        after = newest[0].id if newest else 0
        rows = self.console.reader.find(None, after=after, limit=1000).rows
        self.console.overview.take(list(reversed(rows)))


@asynccontextmanager
async def _served(directory: Path) -> AsyncIterator[Served]:
    async with console_in(directory, time.time) as console:
        sock = socket.create_server(("127.0.0.1", 0))
        server = ControlServer(console.application, sock, console.events)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(0.01)
        host, port = sock.getsockname()
        yield Served(console, f"{host}:{port}")
        server.stop()
        await serving


def served_console(directory: Path) -> AbstractContextManager[Served]:
    """See the module."""
    return in_background(lambda: _served(directory))

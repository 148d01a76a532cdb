"""Messages that wait outlive everything: supervisor and workers are killed, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.instance import RealInstance, kill, toml
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.core.hold import Content
from interpose.storage.desk.database import FILE
from interpose.storage.desk.store import State, Store

DEADLINE_S = 20
LONG = hashlib.sha256(b"seed").digest() * 8000


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("d")


class DeskInstance(RealInstance):
    """A gateway that holds requests: below /later it says 202, below /now its clients wait."""

    HOLDS = (
        {"name": "later", "when": "path:/later*", "mode": "accept", "timeout_s": 4.0, "on_timeout": "release"},
        {"name": "now", "when": "path:/now*", "timeout_s": 0.0},
    )

    def write(self, **changes: Any) -> None:
        super().write(**changes)
        with self.file.open("a") as file:
            file.write(toml({"hold": list(self.HOLDS)}))

    @property
    def desk(self) -> Path:
        return self.control.parent / "desk"

    @asynccontextmanager
    async def posts(self, path: str, content: bytes) -> AsyncIterator[asyncio.StreamReader]:
        """A client that sends this, and what it gets back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode())
            writer.write(content)
            await writer.drain()
            yield reader
        finally:
            writer.close()

    async def has(self, count: int, state: str) -> None:
        """Wait until so many holds are on the disk, as another process sees it."""
        async with asyncio.timeout(DEADLINE_S):
            while self._count(state) < count:  # noqa: ASYNC110 - another process's database
                await asyncio.sleep(0.02)

    def _count(self, state: str) -> int:
        with contextlib.closing(sqlite3.connect(self.desk / FILE)) as database:
            count: int = database.execute("SELECT COUNT(*) FROM holds WHERE state = ?", (state,)).fetchone()[0]
            return count


async def test_f9_what_waits_outlives_the_death_of_every_process_and_goes_on(place: Path) -> None:
    async with RawOrigin(answering(OK)) as origin:
        async with (
            DeskInstance(place, origin.address) as instance,
            asyncio.timeout(DEADLINE_S),
            instance.posts("/now", b"who waits") as waiting,
            instance.posts("/later", LONG) as accepted,
        ):
            assert (await accepted.readuntil(b"\r\n")).startswith(b"HTTP/1.1 202 ")
            await instance.has(2, "waiting")
            for pid in [instance.process.pid, *await instance.pids()]:
                kill(pid, signal.SIGKILL)
            with contextlib.suppress(ConnectionError):
                assert await waiting.read() == b""
        assert origin.received == b""
        async with DeskInstance(place, origin.address) as instance:
            await instance.has(1, "settled")
    [request] = origin.requests()
    assert (request.method, request.target, request.body) == ("POST", "/later", LONG)
    store = Store(str(instance.desk))
    later, now = store.holds(tuple(State), 10)
    assert (later.rule, later.state, later.by, later.outcome) == ("later", "settled", "deadline", "answered with 200")
    assert (now.rule, now.state, now.outcome) == ("now", "waiting", "The program ended, and its client has gone.")
    assert store.messages.verified(now).content == Content.of(b"who waits")
    store.close()

"""The product under test, in this process and loop, and the check that it leaves nothing behind.

    async with product(gateway_config([origin.address], ["127.0.0.1:0"])) as running:
        running.address()                  of the only listener, or of the one named
        await running.logged(2)            the access log's lines as objects, as soon as there are so many
    running.log                            all of them, once it has ended

While it runs every record of level warning or above is kept; on leaving, none of them may carry a traceback or be an
error, the loop's exception handler must not have been called, and descriptors and tasks must be what they were before.
Clients have to be closed inside, origins may be open around. `settings(config, timeouts={"head_timeout_s": 0.5})`
changes tables of a configuration; `tick_s` makes deadlines sharper than the program's second.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from tests.support.event_loops import descriptors

import interpose
from interpose.config.load import config_of
from interpose.config.model import Config

SETTLE_S = 3.0
LOOK_S = 0.005


class _Records(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Product:
    """What runs."""

    def __init__(self, running: Any, log_file: Path, records: list[logging.LogRecord]) -> None:
        self.running = running
        self.records = records
        self.log: list[dict[str, Any]] = []
        self.raw_log = b""
        """The access log's bytes, once it has ended."""
        self._log_file = log_file

    def address(self, name: str | None = None) -> str:
        """Where a listener is: the only one, or the one named."""
        addresses: dict[str, str] = self.running.addresses
        if name is None:
            [address] = addresses.values()
            return address
        return addresses[name]

    @property
    def counters(self) -> dict[str, float]:
        counters: dict[str, float] = self.running.counters
        return counters

    async def logged(self, lines: int) -> list[dict[str, Any]]:
        """The access log (JSON), as soon as it has so many lines."""
        await self.when(lambda: len(self.read_log()) >= lines)
        return self.read_log()

    async def when(self, condition: Any, deadline_s: float = 5.0) -> None:
        """Wait until `condition()` holds."""
        async with asyncio.timeout(deadline_s):
            while not condition():  # noqa: ASYNC110 - what the product does sets no event of ours
                await asyncio.sleep(LOOK_S)

    def read_log(self) -> list[dict[str, Any]]:
        """What has been written so far, whole lines only."""
        self.raw_log = self._log_file.read_bytes()
        whole = self.raw_log[: self.raw_log.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.split(b"\n")[:-1]]


def settings(config: Config, **tables: dict[str, Any]) -> Config:
    """`config` with keys of its tables changed: `settings(config, timeouts={"head_timeout_s": 0.5})`."""
    raw: dict[str, Any] = msgspec.to_builtins(config)
    for name, keys in tables.items():
        raw[name].update(keys)
        for listener in raw["listener"] if name in ("timeouts", "limits") else ():
            listener[name] = None
        for upstream in raw["upstream"] if name == "connections" else ():
            upstream[name] = None
    return config_of(raw, name=config.process.name)


@asynccontextmanager
async def product(
    config: Config, *, tick_s: float = 0.1, log: str = "json", may_log_errors: bool = False
) -> AsyncIterator[Product]:
    """`config` while inside (see the module). `log` is the access log's format, "" to leave it to `config`."""
    await _warm_up()
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks()
    open_before = descriptors()
    complaints: list[dict[str, Any]] = []
    handler_before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    records = _Records()
    root = logging.getLogger()
    root.addHandler(records)
    try:
        with tempfile.TemporaryDirectory(prefix="interpose-test-") as directory:
            log_file = Path(directory, "access.log")
            if log:
                log_file.touch()  # noqa: ASYNC240 - a test waits for nobody
                config = settings(config, log={"access": str(log_file), "format": log})
            config = settings(config, process={"grace_s": 0.0})
            with patch("interpose.config.serve.TICK_S", tick_s):
                async with interpose.serve(config) as running:
                    served = Product(running, log_file, records.records)
                    yield served
            if log:
                served.raw_log = log_file.read_bytes()  # noqa: ASYNC240
            if log == "json":
                served.log = served.read_log()
        await _settle(tasks, open_before)
    finally:
        root.removeHandler(records)
        loop.set_exception_handler(handler_before)
    gc.collect()
    assert not complaints, f"an error in a callback: {complaints}"
    bad = [r for r in records.records if r.exc_info or (r.levelno >= logging.ERROR and not may_log_errors)]
    assert may_log_errors or not bad, [r.getMessage() for r in bad]
    left = [task for task in asyncio.all_tasks() - tasks if not _is_of_an_origin(task)]
    assert not left, f"tasks left behind: {left}"
    assert descriptors() <= open_before, f"descriptors left open: {open_descriptors()}"


async def _settle(tasks: set[asyncio.Task[Any]], open_before: int) -> None:
    """Give transports and origins the turns of the loop that closing takes."""
    end = asyncio.get_running_loop().time() + SETTLE_S
    while asyncio.get_running_loop().time() < end:
        left = [task for task in asyncio.all_tasks() - tasks if not _is_of_an_origin(task)]
        if not left and descriptors() <= open_before:
            return
        await asyncio.sleep(LOOK_S)


async def _warm_up() -> None:
    """Loops open descriptors of their own with the first connection; those are not the product's."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


def _is_of_an_origin(task: asyncio.Task[Any]) -> bool:
    """A scene's own origin may outlive the product; it is the one to see that nothing of it stays."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and f"{os.sep}tests{os.sep}" in code.co_filename


def open_descriptors() -> dict[str, str]:
    """What each open descriptor leads to, for whoever reads a failure."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found

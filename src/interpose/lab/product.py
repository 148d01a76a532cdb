"""Interpose itself as a part of an experiment: a configuration that runs in a thread of its own, with a loop of its
own, so that an experiment can call blocking sockets one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvloop

from interpose.config.model import Config
from interpose.config.serve import serve
from interpose.lab.scene import Scene

START_S = 10.0
END_S = 10.0


class Thread:
    """Runs a configuration until told to end. `ports` are there when `started` is set, or `error` is."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self.ports: dict[str, int] = {}
        self.error: BaseException | None = None
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._work, name="interpose in an experiment", daemon=True)

    def end(self) -> None:
        """Have it stop."""
        if self._loop is not None and self._over is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self.started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with serve(self._config) as running:
            self.ports = {name: port_of(address) for name, address in running.addresses.items()}
            self.started.set()
            await self._over.wait()


@contextmanager
def running(scene: Scene, who: str, config: Config, *, stand_in: int) -> Iterator[int]:
    """`config` at work as the part `who` of the scene; gives the port of its only listener.

    What the part receives and sends is drawn by those who send it and receive it. Sockets that are made inside are
    closed at its end.
    """
    thread = Thread(config)
    thread.thread.start()
    thread.started.wait(START_S)
    if thread.error is not None:
        raise OSError(f"{who} did not start: {thread.error}") from thread.error
    [port] = thread.ports.values()
    scene.own(port, who, stand_in=stand_in)
    scene.products.add(who)
    scene.did(who, f"listens on port {port}")
    outer, scene.cleanup = scene.cleanup, ExitStack()
    try:
        yield port
    finally:
        scene.cleanup.close()  # it would wait for connections that are open
        scene.cleanup = outer
        thread.end()
        thread.thread.join(END_S)
    if thread.error is not None:
        raise OSError(f"{who} did not end in order: {thread.error}") from thread.error


def port_of(address: str) -> int:
    """The port of `host:port`."""
    return int(address.rpartition(":")[2])

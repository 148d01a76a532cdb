"""A whole instance with a runtime of a few lines: supervisor and worker processes are the real ones.

    python fake_instance.py instance PLAN.json     the supervisor; PLAN.json is read again at each reload
    python fake_instance.py worker DESCRIPTOR      what the supervisor starts

The runtime answers every request on every connection with the text of its configuration, its worker's number and
its process id. Requests are heads without bodies; `/wait` is answered after `slow_s`, `/block` never
but blocks the loop for `slow_s`; both send 102 at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import msgspec

from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.plan import ListenerPlan, Plan
from interpose.engine.worker import Sockets, serve_as_worker


class Behaviour(msgspec.Struct):
    """The configuration of the fake."""

    text: str = "one"
    slow_s: float = 1.0
    start_error: str = ""
    start_s: float = 0.0
    die_at_start: bool = False
    prepare_error: str = ""
    commit_dies: bool = False


class Conversation(asyncio.Protocol):
    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.transport: Any = None
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.runtime.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.runtime.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            if b" /wait " in head:
                self.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                self.runtime.waiting += 1
                asyncio.get_running_loop().call_later(self.runtime.behaviour.slow_s, self.answer_late)
            elif b" /block " in head:
                self.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                asyncio.get_running_loop().call_later(0.01, self.block)
            else:
                self.answer()

    def answer_late(self) -> None:
        self.runtime.waiting -= 1
        self.answer()

    def block(self) -> None:
        time.sleep(self.runtime.behaviour.slow_s)

    def answer(self) -> None:
        runtime = self.runtime
        runtime.requests += 1
        text = f"{runtime.behaviour.text} {runtime.number} {os.getpid()}".encode()
        ends = b"Connection: close\r\n" if runtime.draining else b""
        self.transport.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (ends, len(text), text))
        if ends:
            self.transport.close()


class FakeRuntime:
    def __init__(self, behaviour: Behaviour, number: int) -> None:
        self.behaviour = behaviour
        self.number = number
        self.open: set[Conversation] = set()
        self.servers: dict[Any, asyncio.Server] = {}
        self.requests = 0
        self.waiting = 0
        self.draining = False
        self.levels: list[MemoryLevel] = []

    async def start(self, sockets: Sockets) -> None:
        if self.behaviour.die_at_start:
            os._exit(7)
        await asyncio.sleep(self.behaviour.start_s)
        if self.behaviour.start_error:
            raise ValueError(self.behaviour.start_error)
        await self.listen(sockets)

    async def listen(self, sockets: Sockets) -> None:
        wanted = {sock for group in sockets.values() for sock in group}
        for sock in wanted - self.servers.keys():
            loop = asyncio.get_running_loop()
            self.servers[sock] = await loop.create_server(lambda: Conversation(self), sock=sock.dup(), backlog=4096)
        for sock in self.servers.keys() - wanted:
            self.servers.pop(sock).close()

    def prepare(self, config: Behaviour) -> object:
        if config.prepare_error:
            raise ValueError(config.prepare_error)
        return config

    async def commit(self, prepared: object, sockets: Sockets) -> None:
        assert isinstance(prepared, Behaviour)
        if prepared.commit_dies:
            raise RuntimeError("the commit failed as it was told to")
        self.behaviour = prepared
        await self.listen(sockets)

    def relieve(self, level: MemoryLevel) -> None:
        self.levels.append(level)

    def reopen_logs(self) -> None:
        self.behaviour.text += " reopened"

    def tick(self, now: float) -> None:
        pass

    def counters(self) -> dict[str, float]:
        return {"connections": float(len(self.open)), "requests_total": float(self.requests)}

    def tallies(self) -> list[Any]:
        return []

    async def drain(self, grace_s: float, *, keep_idle: bool = False) -> None:
        self.draining = True
        for server in self.servers.values():
            server.close()
        deadline = time.monotonic() + grace_s
        while (self.open if keep_idle else self.waiting) and time.monotonic() < deadline:  # noqa: ASYNC110 - a fake may be simple
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for conversation in list(self.open):
            conversation.transport.abort()


def decode(encoded: bytes) -> Behaviour:
    return msgspec.json.decode(encoded, type=Behaviour)


def read_plan(path: str) -> Plan:
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)
    raw.pop("interactive", None)
    listeners = tuple(ListenerPlan(**listener) for listener in raw.pop("listeners"))
    config = json.dumps(raw.pop("config", {})).encode()
    return Plan(listeners=listeners, config=config, **raw)


def run_instance(path: str) -> int:
    from interpose.console.control import serve_control
    from interpose.engine.supervisor import Supervisor

    with open(path, encoding="utf-8") as file:
        interactive = json.load(file).get("interactive", False)

    async def run() -> int:
        supervisor = Supervisor(
            read_plan(path),
            command=(sys.executable, __file__, "worker"),
            load=lambda: read_plan(path),
            serve_control=serve_control,
            log_format="json",
            interactive=interactive,
        )
        return await supervisor.run()

    import logging

    logging.basicConfig(level=logging.INFO)
    return asyncio.run(run())


def run_worker(arguments: list[str]) -> int:
    import logging

    import uvloop

    logging.basicConfig(level=logging.INFO)
    return serve_as_worker(
        arguments,
        make_runtime=lambda encoded, number, calls: FakeRuntime(decode(encoded), number),
        decode=decode,
        run=uvloop.run,
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["instance", path]:
            sys.exit(run_instance(path))
        case ["worker", *arguments]:
            sys.exit(run_worker(arguments))

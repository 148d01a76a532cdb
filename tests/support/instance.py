"""A running instance under test: its processes, what it says, its control socket; and a client that counts failures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake_instance.py")
INTERPOSE = str(Path(sys.executable).with_name("interpose"))


class Instance:
    """`async with Instance(directory, plan) as instance` runs an instance of the fake runtime, ready when entered.

    On leaving it must have ended or ends now, with nothing left of it: no process, no traceback.
    """

    def __init__(self, directory: Path, plan: dict[str, Any], *, wait: bool = True) -> None:
        self.plan: dict[str, Any] = {"name": "t", "state_dir": str(directory / "state"), "workers": 2, "grace_s": 5.0}
        self.plan["listeners"] = [{"name": "web", "role": "gateway", "address": "127.0.0.1:0"}]
        self.plan.update(plan)
        self.lines: list[str] = []
        self.may_say_traceback = False
        self._file = directory / "plan.json"
        self._wait = wait
        self._said = asyncio.Event()
        self._pids: set[int] = set()

    @property
    def control(self) -> Path:
        return Path(self.plan["state_dir"], self.plan["name"], "control.sock")

    def write(self, **changes: Any) -> None:
        """Write the plan as the next reload will read it."""
        self._file.write_text(json.dumps({**self.plan, **changes}))

    def command(self) -> list[str]:
        """What is run."""
        return [sys.executable, str(FAKE), "instance", str(self._file)]

    async def start(self) -> Instance:
        self.write()
        self.process = await asyncio.create_subprocess_exec(*self.command(), stderr=asyncio.subprocess.PIPE)
        self._reading = asyncio.create_task(self._read())
        if self._wait:
            await self.says('"event": "ready"')
        return self

    async def __aenter__(self) -> Instance:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(15):
            await self.process.wait()
            await self._reading  # standard error ends with the last worker that has it
        left = left_of(self._pids)
        assert not left, f"processes left behind: {left}"
        assert self.may_say_traceback or "Traceback" not in self.said, self.said

    async def has_a_control_socket(self) -> None:
        """Wait until the control socket is there: signals are handled, workers may be starting."""
        async with asyncio.timeout(15):
            while not self.control.exists():  # noqa: ASYNC110 - no event of ours
                await asyncio.sleep(0.01)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))
            self._said.set()
        self._said.set()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    async def says(self, text: str, *, times: int = 1) -> None:
        """Wait until it has said `text`, so many times."""
        async with asyncio.timeout(15):
            while sum(text in line for line in self.lines) < times:
                assert not self._reading.done(), f"it ended without saying {text!r}: {self.said}"
                self._said.clear()
                await self._said.wait()

    @property
    def ready_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if '"event": "ready"' in line]

    async def serial(self, tls: ssl.SSLContext, name: str) -> str:
        """The number of the certificate that a new connection is shown."""
        async with asyncio.timeout(15):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname=name)
            certificate = writer.get_extra_info("peercert")
            writer.close()
        return str(certificate["serialNumber"])

    @property
    def port(self) -> int:
        return int(self.ready_lines[0]["address"].rpartition(":")[2])

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        """One question to the control API."""
        async with asyncio.timeout(15):
            reader, writer = await asyncio.open_unix_connection(str(self.control))
            writer.write(f"{method} {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
        return int(head.split(b" ")[1]), json.loads(body)

    async def status(self) -> dict[str, Any]:
        status, content = await self.ask("GET", "/v1/status")
        assert status == 200
        self._pids.update(worker["pid"] for worker in content["workers"] if worker["pid"])
        return content

    async def pids(self) -> list[int]:
        """Process ids of the workers that serve, by number."""
        workers = (await self.status())["workers"]
        return [worker["pid"] for worker in workers if worker["state"] == "serving"]

    async def until(self, condition: Any) -> dict[str, Any]:
        """The first status of which `condition` is true."""
        async with asyncio.timeout(20):
            while not condition(status := await self.status()):  # noqa: ASYNC110 - all one can do is ask again
                await asyncio.sleep(0.02)
        return status


class RealInstance(Instance):
    """The real program: `interpose run` on a file. A plan's keys are tables of it, `[process]` keys on their own.

    Its gateway `web` passes everything to `origin`; log lines and messages are JSON.
    """

    PROCESS = ("name", "state_dir", "workers", "grace_s", "pre_drain_s", "memory_limit_bytes", "max_lag_s")

    def __init__(self, directory: Path, origin: str, plan: dict[str, Any] | None = None, **kinds: Any) -> None:
        super().__init__(directory, {"upstreams": [{"name": "o", "servers": [origin]}], **(plan or {})}, **kinds)
        self.file = directory / "interpose.toml"
        for listener in self.plan["listeners"]:
            listener.setdefault("upstream", "o")

    def command(self) -> list[str]:
        return [INTERPOSE, "run", str(self.file)]

    def write(self, **changes: Any) -> None:
        plan = {**self.plan, **changes}
        tables = {
            "process": {key: plan[key] for key in self.PROCESS if key in plan},
            "log": {"access": "off", "format": "json"},
            "listener": plan["listeners"],
            **({"listener.tls": plan["tls"]} if "tls" in plan else {}),
            "upstream": plan["upstreams"],
            "route": plan.get("routes", []),
            "script": plan.get("scripts", []),
        }
        self.file.write_text(toml(tables))


def toml(tables: dict[str, Any]) -> str:
    """Tables and lists of tables with plain values, as TOML (whose plain values are those of JSON)."""
    lines = []
    for name, table in tables.items():
        for one in table if isinstance(table, list) else [table]:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in one.items()]
    return "\n".join(lines) + "\n"


class Client:
    """Requests over TCP, in TLS with the server `name` where there is a context. Raises what goes wrong:
    ConnectionError, ssl.SSLError, EOFError, TimeoutError."""

    def __init__(
        self, port: int, timeout_s: float = 10.0, *, tls: ssl.SSLContext | None = None, name: str | None = None
    ) -> None:
        self.port = port
        self._tls, self._name = tls, name
        self.timeout_s = timeout_s
        self.connections = 0
        self.is_served = asyncio.Event()
        """Set when a worker has begun with a request to `/wait` or `/block`."""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._closed: list[asyncio.StreamWriter] = []

    async def get(self, path: str = "/") -> str:
        """The text of one answer, on the connection of the one before if that may be kept."""
        async with asyncio.timeout(self.timeout_s):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self._tls, server_hostname=self._name
                )
                self.connections += 1
            assert self._reader is not None
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                while head.startswith(b"http/1.1 102"):
                    self.is_served.set()
                    head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            except asyncio.IncompleteReadError as error:
                self.close()
                raise EOFError(f"the connection ended after {error.partial!r}") from None
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            text = (await self._reader.readexactly(length)).decode()
            if b"connection: close" in head:
                self.close()
            assert head.startswith(b"http/1.1 200"), (head, text)
            return text

    async def get_anew(self, path: str = "/") -> str:
        """The text of one answer, on a new connection."""
        self.close()
        try:
            return await self.get(path)
        finally:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._closed.append(self._writer)
        self._reader = self._writer = None

    async def gone(self) -> None:
        """Close, and wait until the loop has nothing of its connections any more."""
        self.close()
        for writer in self._closed:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._closed.clear()


async def started(*clients: Client, path: str = "/wait") -> list[asyncio.Task[str]]:
    """A request to `path` by each of `clients`, once all of them are being served."""
    tasks = [asyncio.create_task(client.get(path)) for client in clients]
    async with asyncio.timeout(15):
        for client in clients:
            await client.is_served.wait()
    return tasks


class Load:
    """`async with Load(port) as load`: clients that ask without pause, half of them on connections they keep.

    `slowest_s` is about requests that were answered.
    """

    def __init__(
        self,
        port: int,
        clients: int = 8,
        *,
        keep: bool = True,
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> None:
        self.port = port
        self._tls, self._name = tls, name
        self.answers: list[str] = []
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self._clients = clients
        self._keep = keep
        self._over = False
        self._enough = asyncio.Condition()

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._ask(keep=self._keep and n % 2 == 0)) for n in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait until so many more answers have come."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(20), self._enough:
            await self._enough.wait_for(lambda: len(self.answers) >= wanted)

    async def _ask(self, keep: bool) -> None:
        client = Client(self.port, tls=self._tls, name=self._name)
        loop = asyncio.get_running_loop()
        while not self._over:
            began = loop.time()
            try:
                self.answers.append(await (client.get if keep else client.get_anew)())
                self.slowest_s = max(self.slowest_s, loop.time() - began)
            except (OSError, EOFError, TimeoutError) as error:
                client.close()
                self.failures.append(repr(error))
            async with self._enough:
                self._enough.notify_all()
        client.close()


def left_of(pids: set[int]) -> list[int]:
    """Those of the processes that are still there."""
    left = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            if file.read().rpartition(")")[2].split()[0] != "Z":  # one whose parent was killed may wait for its reaper
                left.append(pid)
    return left


def kill(pid: int, number: int) -> None:
    """Send a signal to one process of the instance."""
    os.kill(pid, number)

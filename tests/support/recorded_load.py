"""A gateway that records, many requests for it, and what its processes have in memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support.instance import RealInstance, toml

DEADLINE_S = 600
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + b"0123456789abcde\n" * 64


class Page(NamedTuple):
    """The first page of what a query finds, and how long it took."""

    flows: list[dict[str, Any]]
    seconds: float


class Recording(RealInstance):
    """A gateway that records, its journal in `journal` or in its state directory."""

    def __init__(self, directory: Path, origin: str, journal: str = "") -> None:
        super().__init__(directory, origin, {"workers": 1})
        self._journal = journal

    def write(self, **changes: Any) -> None:
        super().write(**changes)
        with self.file.open("a") as file:
            file.write(toml({"journal": {"dir": self._journal, "max_bytes": 1 << 40, "max_age_s": 3e8}}))

    async def found(self, query: str) -> Page:
        begun = time.perf_counter()
        status, page = await self.ask("GET", f"/v1/flows?limit=100&q={quote(query)}")
        assert status == 200, page
        return Page(page["flows"], time.perf_counter() - begun)

    async def takes(self, path: str) -> float:
        """How long the answer to a question takes."""
        begun = time.perf_counter()
        assert (await self.ask("GET", path))[0] == 200
        return time.perf_counter() - begun

    async def has(self, count: int) -> int:
        """Wait until so many records are in the journal, or were dropped; how many were dropped."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = (await self.ask("GET", "/v1/flows/count?q="))[1]["count"]
                at_the_journal = (await self.ask("GET", "/v1/overview"))[1]["journal"]["dropped_total"]
                on_the_way = (await self.status())["counters"].get("records_dropped_total", 0)
                if found + at_the_journal + on_the_way >= count:
                    return int(at_the_journal + on_the_way)
                await asyncio.sleep(0.1)


class Origin:
    """`async with Origin() as origin`: answers each request without content with 1 KiB of text."""

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def exchanges(port: int, count: int, clients: int = 16, per_s: float = 1e9) -> None:
    """So many requests, each for another URL, all answered with 200; not more of them than `per_s` in a second."""
    numbers = iter(range(count))
    begun = time.monotonic()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            if (early_s := begun + number / per_s - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            writer.write(
                b"GET /things/%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: many/1.0\r\nAccept: */*\r\n"
                b"Cookie: session=5b1f0c9a7e3d4f62; theme=dark\r\n\r\n" % number
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(1024)
        writer.close()

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        for _ in itertools.repeat(None, clients):
            group.create_task(ask())


def private_bytes(pid: int) -> int:
    """What this process alone has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def greatest_bytes(pid: int) -> int:
    """The most that this process ever had in memory, shared pages included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

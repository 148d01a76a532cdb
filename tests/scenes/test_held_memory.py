"""Holds that wait cost memory, and little of it: for the worker beside the connections that they come on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from tests.support.instance import RealInstance, toml

HOLDS = 1000
MOST_BYTES_EACH = 4096
POST = b"POST /orders HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nContent-Length: 16\r\n\r\n" + b'{"amount": 1000}'
DEADLINE_S = 60


class Holding(RealInstance):
    """A gateway that answers by itself what it does not hold."""

    def write(self, **changes: object) -> None:
        super().write(**changes)
        with self.file.open("a") as file:
            file.write(toml({"hold": [{"when": "method:POST", "timeout_s": 0.0}]}))
            file.write('[[route]]\npath = "/"\nanswer = { text = "here\\n" }\n')


def private_bytes(pid: int) -> int:
    """What this process alone has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


async def settled(pid: int) -> int:
    """The same, once it has stopped growing."""
    before = private_bytes(pid)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await asyncio.sleep(0.3)
            now = private_bytes(pid)
            if abs(now - before) < 32 << 10:
                return now
            before = now


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("d")


async def test_a_thousand_holds_cost_a_worker_little_more_than_their_connections(place: Path) -> None:
    with contextlib.ExitStack() as clients:
        async with Holding(place, "127.0.0.1:9", {"workers": 1, "grace_s": 0.0}) as instance:
            [pid] = await instance.pids()
            sockets = [clients.enter_context(connected(instance.port)) for _ in range(HOLDS)]
            empty = await settled(pid)
            for sock in sockets:
                sock.sendall(POST)
            async with asyncio.timeout(DEADLINE_S):
                while (await instance.ask("GET", "/v1/desk?limit=1"))[1]["waiting"] < HOLDS:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            each = (await settled(pid) - empty) / HOLDS
            print(f"a hold costs {each:.0f} bytes of its worker's memory")
            assert each <= MOST_BYTES_EACH


def connected(port: int) -> socket.socket:
    """A connection that has had an answer, and may have another."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nhere\n"):
        answer += sock.recv(4096)
        assert answer
    return sock

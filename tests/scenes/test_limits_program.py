"""Limits of the real program with two workers: exact across both, released when one dies, shown and counted."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.support.program import NAME, Program, children_of, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin

CONFIGURATION = """
[process]
workers = 2
[log]
access = "off"
[metrics]
address = "127.0.0.1:0"
[[listener]]
name = "front"
role = "gateway"
address = "127.0.0.1:0"
upstream = "app"
[[upstream]]
name = "app"
servers = ["{origin}"]
[[limit]]
name = "burst"
when = "path:/burst"
requests_per_s = 0.001
burst = 30
[[limit]]
name = "few"
when = "path:/wait"
max_exchanges = 12
[[limit]]
name = "line"
when = "path:/large"
bytes_per_s = 400_000
"""
LARGE = 100_000


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def app(connection: Connection) -> None:
    while True:
        request = await connection.request(None)
        if request.target == "/wait":
            await connection.gone()
        elif request.target == "/large":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
        else:
            await connection.send(OK)


async def test_two_workers_count_as_one_and_one_that_dies_leaves_its_places(tmp_path: Path) -> None:
    async with RawOrigin(app) as origin:
        file = tmp_path / "limits.toml"
        file.write_text(CONFIGURATION.format(origin=origin.address))
        program = Program(tmp_path, "run", str(file), listeners=2)
        await asyncio.to_thread(program.__enter__)
        try:
            address = program.urls["front"].removeprefix("http://")
            answers = await asyncio.gather(*(ask(address, get("/burst")) for _ in range(80)))
            assert Counter(answer.status for answer in answers) == {200: 30, 429: 50}
            refused = {"burst": 50, "few": 0, "line": 0}
            await asyncio.to_thread(wait_until, lambda: hits(program) == refused, "refusals are counted")
            said = await asyncio.to_thread(interpose, "status", "--name", NAME, "--state", str(program.state))
            rows = [line.split() for line in said.stdout.splitlines()]
            assert ["burst", "0.001", "requests/s", "(burst", "30)", "per", "client", "50"] in rows, said
            await places_of_the_dead(program, address, origin)
            await a_line_for_all(address)
        finally:
            await asyncio.to_thread(program.__exit__, None, None, None)


async def places_of_the_dead(program: Program, address: str, origin: RawOrigin) -> None:
    before = len(origin.connections)
    clients = [RawClient(address) for _ in range(14)]
    for client in clients:
        await client.__aenter__()
        client.send(get("/wait"))
    async with asyncio.timeout(10):
        while sum(bool(client.received) for client in clients) < 2:  # noqa: ASYNC110 - by whichever worker
            await asyncio.sleep(0.01)
    refused = [client for client in clients if client.received]
    assert all(client.received.startswith(b"HTTP/1.1 429") for client in refused)
    waiting = [client for client in clients if client not in refused]
    assert len(waiting) == 12
    victim = children_of(program.process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    async with asyncio.timeout(10):
        while not any(client.has_ended for client in waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    lost = [client for client in waiting if client.has_ended]
    clients += await asyncio.gather(*(place(address) for _ in lost))
    extra = await ask(address, get("/wait"))
    assert extra.status == 429
    for client in clients:
        client.reset()
        await client.__aexit__(None, None, None)
    assert len(origin.connections) > before


async def place(address: str) -> RawClient:
    """Who waits in one that has become free; within a moment after the death of a worker it does."""
    async with asyncio.timeout(10):
        while True:
            client = RawClient(address)
            await client.__aenter__()
            client.send(get("/wait"))
            answer = asyncio.ensure_future(client.answers("GET"))
            done, _ = await asyncio.wait([answer], timeout=0.3)
            if not done:
                answer.cancel()
                return client
            await client.__aexit__(None, None, None)
            await asyncio.sleep(0.1)


def hits(program: Program) -> dict[str, float]:
    """Refusals by limit, as a monitor reads them."""
    with urllib.request.urlopen(program.urls["metrics"], timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.labels["rule"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "interpose_rule_hits_total"
    }


async def a_line_for_all(address: str) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers = await asyncio.gather(*(ask(address, get("/large")) for _ in range(8)))
    assert [len(answer.body) for answer in answers] == [LARGE] * 8
    assert loop.time() - began > 1.4  # 800,000 bytes at 400,000 a second, but for what may come at once

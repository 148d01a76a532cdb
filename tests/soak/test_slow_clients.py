"""A26 at its full size: five hundred drips beside twenty honest clients, against the real program and its defaults."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from pathlib import Path

import pytest
from tests.support.program import Program
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
DRIPS = 500
HONEST = 20
REQUESTS = 100
PAUSE_S = 0.05


async def honest(address: str) -> list[float]:
    """How long each request of one client took, which asks twenty times a second."""
    took = []
    async with RawClient(address, deadline_s=20) as client:
        for _ in range(REQUESTS):
            began = time.monotonic()
            client.send(GET)
            [answer] = await client.answers("GET")
            took.append(time.monotonic() - began)
            assert answer.status == 200
            await asyncio.sleep(PAUSE_S)
    return took


async def drips(address: str, number: int) -> float:
    """A head or a body, an octet a second; how long it was put up with."""
    opening = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: "
        if number % 2
        else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"
    )
    async with RawClient(address, deadline_s=60) as client:
        began = time.monotonic()
        client.send(opening)
        while not client.has_ended:
            with contextlib.suppress(ConnectionError):
                client.send(b"x")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await client.rest()
        return time.monotonic() - began


def high(times: list[list[float]]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(itertools.chain(*times), n=100)[98]


async def test_a26_five_hundred_drips_are_gone_in_twelve_seconds_and_nobody_else_notices(tmp_path: Path) -> None:
    async with RawOrigin(answering(OK)) as origin:
        with Program(tmp_path, "gateway", origin.address) as program:
            address = f"127.0.0.1:{program.port}"
            alone = high(await asyncio.gather(*[honest(address) for _ in range(HONEST)]))
            tasks = [asyncio.create_task(drips(address, number)) for number in range(DRIPS)]
            await asyncio.sleep(0.5)
            beside = high(await asyncio.gather(*[honest(address) for _ in range(HONEST)]))
            lasted = await asyncio.gather(*tasks)
            lines = await asyncio.to_thread(program.log, DRIPS + 2 * HONEST * REQUESTS)
    print(f"p99 alone {alone * 1000:.1f} ms, beside the drips {beside * 1000:.1f} ms; drips lasted {max(lasted):.1f} s")
    assert max(lasted) <= 12.5
    assert beside <= max(2 * alone, 0.02)
    assert sum(line["status"] == 408 for line in lines) == DRIPS

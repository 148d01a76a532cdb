"""Limits while Redis misbehaves, at length (F10): no request fails for it, and few wait."""

from __future__ import annotations

import asyncio
import statistics

import pytest
from tests.scenes.test_limits_redis import GET, machine
from tests.support.bad_redis import STATES, BadRedis
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("state", sorted(STATES))
async def test_f10_two_thousand_requests_in_every_state_of_redis(state: str) -> None:
    async with RawOrigin(answering(OK)) as origin, BadRedis(state) as bad:
        config = machine(origin, bad.url, {"requests_per_s": 1_000_000.0})
        async with product(config) as served, RawClient(served.address()) as client:
            loop = asyncio.get_running_loop()
            times = []
            for _ in range(2000):
                began = loop.time()
                client.send(GET)
                [answer] = await client.answers("GET")
                times.append(loop.time() - began)
                assert answer.status == 200
        first, later = times[:500], times[1000:]
        assert statistics.quantiles(first, n=100)[98] < 0.06 + statistics.median(later)
        assert statistics.quantiles(later, n=100)[98] < 0.06

"""Limits that machines share in Redis: exact while it is there, and whatever befalls it, no request fails for it."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from typing import Any

import pytest
from tests.support.bad_redis import BadRedis
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering
from tests.support.redis_server import RedisServer

from interpose import Config, serve
from interpose.config.load import config_of
from interpose.core.limit_book import Terms
from interpose.storage.redis_limits import RedisRates
from interpose.storage.redis_link import LinkOptions

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENT = {"connect_timeout_s": 2.0, "timeout_s": 2.0}
"""For scenes that are not about time, on a machine that is busy."""


def machine(origin: RawOrigin, url: str, limit: dict[str, Any], **redis: Any) -> Config:
    return config_of(
        {
            "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}],
            "upstream": [{"name": "o", "servers": [origin.address]}],
            "limit": [{"name": "limit", **limit}],
            "limit_redis": {"url": url, **redis},
            "log": {"access": "off"},
        }
    )


async def rates(url: str, secret: bytes = b"secret", **more: Any) -> RedisRates:
    made = RedisRates(LinkOptions(url, 2.0, 2.0), secret, "limits", **more)
    made.link.begin()
    await made.link.tried()
    return made


async def test_two_machines_let_through_together_what_one_would() -> None:
    limit = {"requests_per_s": 0.001, "burst": 10, "on_failure": "deny"}
    async with RawOrigin(answering(OK)) as origin:
        with RedisServer() as server:
            config = machine(origin, server.url, limit, **PATIENT)
            async with serve(config) as one, serve(config) as two:
                places = [machine.addresses["web"] for machine in (one, two)]
                async with asyncio.timeout(10):
                    for place in places:
                        while (await ask(place, GET)).status != 200:  # noqa: ASYNC110 - until Redis is asked
                            await asyncio.sleep(0.02)
                results = await asyncio.gather(*(ask(place, GET) for place in places * 20))
        assert Counter(answer.status for answer in results) == {200: 8, 429: 32}


async def test_the_arithmetic_in_the_server_is_that_of_the_book() -> None:
    with RedisServer() as server:
        counting = await rates(server.url)
        terms = Terms(requests_per_s=5, burst=3)
        said = [await counting.take("limit", "a", terms) for _ in range(4)]
        assert [one and one.refusal for one in said] == ["", "", "", "requests"]
        assert [one and one.left for one in said] == [2, 1, 0, 0]
        assert said[3] is not None
        assert 0 < said[3].retry_s <= 0.2
        await asyncio.sleep(said[3].retry_s + 0.01)
        assert [(await counting.take("limit", "a", terms)).refusal for _ in range(2)] == ["", "requests"]  # type: ignore[union-attr]
        client = server.client()
        [name] = client.keys("*")
        assert 0 < client.pttl(name) <= 601
        client.close()
        await counting.close()


async def test_a41_names_are_hashed_tenants_apart_and_garbage_is_nothing_worse_than_used_up() -> None:
    with RedisServer() as server:
        ours, theirs = await rates(server.url), await rates(server.url, b"another")
        terms = Terms(requests_per_s=0.01, burst=1)
        key = "user ann@example.com"
        for counting in (ours, theirs):
            assert (await counting.take("limit", key, terms)).refusal == ""  # type: ignore[union-attr]
        client = server.client()
        names = client.keys("*")
        assert len(names) == 2
        assert not any(b"ann" in name or b"limit" in name for name in names)
        name = ours.name("limit", key)
        for garbage in (b"", b"\x80\x04K\x01.", b"nan", b"-inf", b"inf", b"1e400", b"0x7f", b"-1", b"9" * 400, b"1 2"):
            client.set(name, garbage)
            verdict = await ours.take("limit", key, terms)
            assert verdict is not None, garbage
            assert 0 <= verdict.retry_s <= 100.1
            assert 0 <= verdict.reset_s <= 100.1
        client.delete(name)
        client.hset(name, "a", "b")
        assert await ours.take("limit", key, terms) is None  # another kind of value: as if nobody could be asked
        client.delete(name)
        assert (await ours.take("limit", key, terms)).refusal == ""  # type: ignore[union-attr]
        client.close()
        await ours.close()
        await theirs.close()


@pytest.mark.parametrize(
    "state", ["refuses", "silent", "closes", "garbage", "loading", "wrong-type", "oom", "half", "wrong-shape"]
)
async def test_f10_whatever_befalls_redis_no_request_fails_and_none_waits_long(state: str) -> None:
    async with RawOrigin(answering(OK)) as origin, BadRedis(state) as bad:
        config = machine(origin, bad.url, {"requests_per_s": 1_000_000.0})
        async with product(config) as served, RawClient(served.address()) as client:
            loop = asyncio.get_running_loop()
            times = []
            for _ in range(200):
                began = loop.time()
                client.send(GET)
                [answer] = await client.answers("GET")
                times.append(loop.time() - began)
                assert answer.status == 200
            warnings = [record for record in served.records if "the limits' server" in record.getMessage()]
        assert max(times) < 0.5
        assert statistics.median(times) < 0.06
        assert statistics.median(times[100:]) < 0.06
        assert len(warnings) <= 1


@pytest.mark.parametrize(("on_failure", "passed"), [("share", 2), ("allow", 6), ("deny", 0)])
async def test_f10_away_each_machine_has_its_part_or_what_the_limit_says(on_failure: str, passed: int) -> None:
    async with RawOrigin(answering(OK)) as origin, BadRedis("refuses") as bad:
        limit = {"requests_per_s": 0.01, "burst": 6, "on_failure": on_failure}
        async with product(machine(origin, bad.url, limit, expected_nodes=3)) as served:
            statuses = [(await ask(served.address(), GET)).status for _ in range(6)]
        assert statuses.count(200) == passed
        assert set(statuses) <= {200, 429}


async def test_when_it_is_there_again_it_counts_again() -> None:
    async with RawOrigin(answering(OK)) as origin:
        with RedisServer() as server:
            limit = {"requests_per_s": 0.01, "burst": 1, "on_failure": "deny"}
            async with product(machine(origin, server.url, limit, **PATIENT)) as served:
                async with asyncio.timeout(10):
                    while (await ask(served.address(), GET)).status != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                assert (await ask(served.address(), GET)).status == 429
                server.kill()
                assert (await ask(served.address(), GET)).status == 429
                server.start()  # with nothing in it
                async with asyncio.timeout(15):
                    while (await ask(served.address(), GET)).status != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

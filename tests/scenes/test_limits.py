"""Limits in one process: what clients are told, what waits, what is broken off, and what goes on beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.scenes import judge
from tests.support.intercepting import Intercepting
from tests.support.product import Product, product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent
from tests.support.raw_socks import HELLO, came, code_of, request

from interpose import Config, serve
from interpose.config.load import config_of
from interpose.config.office import Office

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def large(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)


def gateway(origin: RawOrigin, *limits: dict[str, Any], **more: Any) -> Config:
    return config_of(
        {
            "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}],
            "upstream": [{"name": "o", "servers": [origin.address]}],
            "limit": list(limits),
            **more,
        }
    )


def field(answer: judge.Response, name: str) -> str | None:
    values = [value for key, value in answer.fields if key.lower() == name]
    return values[0] if values else None


def get(path: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


async def test_too_many_requests_are_refused_with_when_to_come_again_and_noted() -> None:
    async with RawOrigin(answering(OK)) as origin:
        limit = {"name": "slow", "when": "path:/api*", "requests_per_s": 0.5, "burst": 2}
        async with product(gateway(origin, limit)) as served:
            answers = [await ask(served.address(), get("/api")) for _ in range(3)]
            free = await ask(served.address(), get("/else"))
            lines = await served.logged(4)
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert free.status == 200
        assert field(answers[2], "retry-after") == "2"
        assert field(answers[2], "ratelimit-policy") == '"slow";q=2;w=4'
        assert field(answers[2], "ratelimit") == '"slow";r=0;t=2'
        assert field(answers[0], "ratelimit") is None
        assert lines[2]["notes"]["filter"] == "limit"
        assert lines[2]["notes"]["rule"] == "slow: requests_per_s = 0.5"
        assert "127.0.0.1" in lines[2]["notes"]["why"]
        assert len(origin.requests()) == 3


async def test_who_asks_for_it_is_told_in_every_answer() -> None:
    async with RawOrigin(answering(OK)) as origin:
        limit = {"name": "told", "requests_per_s": 1.0, "burst": 5, "tell": True, "by": "field:X-Key"}
        async with product(gateway(origin, limit)) as served:
            first = await ask(served.address(), get("/", "X-Key: a"))
            second = await ask(served.address(), get("/", "X-Key: a"))
            other = await ask(served.address(), get("/", "X-Key: b"))
        assert field(first, "ratelimit-policy") == '"told";q=5;w=5'
        assert [field(a, "ratelimit") for a in (first, second, other)] == [
            '"told";r=4;t=1', '"told";r=3;t=2', '"told";r=4;t=1',
        ]  # fmt: skip


async def test_exchanges_at_once_are_limited_until_one_ends_or_its_client_leaves() -> None:
    async with RawOrigin(silent) as origin:
        limit = {"name": "two", "max_exchanges": 2}
        async with product(gateway(origin, limit)) as served, RawClient(served.address()) as stays:
            stays.send(get("/1"))
            async with RawClient(served.address()) as leaves:
                leaves.send(get("/2"))
                await origin.connected(2)
                refused = await ask(served.address(), get("/3"))
                assert (refused.status, field(refused, "retry-after")) == (429, "1")
                leaves.reset()
            await served.when(lambda: served.counters["exchanges"] == 1)
            async with RawClient(served.address()) as comes:
                comes.send(get("/4"))
                await origin.connected(3)


async def test_content_is_paced_in_both_directions_and_whole_and_others_do_not_wait() -> None:
    size = 30_000
    async with RawOrigin(answering(large(size))) as origin:
        limit = {"name": "slow", "when": "path:/slow", "bytes_per_s": 50_000}
        async with product(gateway(origin, limit)) as served:
            loop = asyncio.get_running_loop()
            began = loop.time()
            post = f"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)
            slow = asyncio.ensure_future(ask(served.address(), post, "POST"))
            waits = []
            for _ in range(10):
                before = loop.time()
                quick = await ask(served.address(), get("/quick"))
                waits.append(loop.time() - before)
                assert len(quick.body) == size
            answer = await slow
            took = loop.time() - began
        assert (len(answer.body), field(answer, "content-length")) == (size, str(size))
        assert 0.9 <= took < 3  # half a second each way, but for what may come at once
        assert sorted(waits)[5] < 0.3
        [sent] = [request for request in origin.requests() if request.method == "POST"]
        assert len(sent.body) == size


async def test_two_that_share_an_allowance_get_the_same_of_it() -> None:
    limit = {"name": "shared", "bytes_per_s": 200_000, "by": "rule"}
    async with (
        RawOrigin(answering(large(1_000_000))) as origin,
        product(gateway(origin, limit)) as served,
        RawClient(served.address()) as first,
        RawClient(served.address()) as second,
    ):
        first.send(GET)
        second.send(GET)
        await first.wait_for(lambda: len(first.received) > 100_000)
        assert 60_000 < len(second.received) < 150_000


async def test_a_tunnel_is_paced_and_its_end_comes_behind_its_bytes() -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"please")
        await connection.send(bytes(15_000))

    async with RawOrigin(script) as origin:
        config = config_of(
            {
                "listener": [{"name": "web", "role": "proxy", "address": "127.0.0.1:0"}],
                "limit": [{"name": "slow", "bytes_per_s": 20_000}],
            }
        )
        async with product(config) as served, RawClient(served.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            [answer] = await client.answers("CONNECT")
            assert answer.status == 200
            began = asyncio.get_running_loop().time()
            client.send(b"please")
            assert await client.rest() == bytes(15_000)
            assert asyncio.get_running_loop().time() - began > 0.5


def daily(origin: RawOrigin, place: Path, **more: Any) -> Config:
    limit = {"name": "day", "bytes_per_day": 50_000, **more}
    process = {"name": "limited", "state_dir": str(place), "grace_s": 0.0}
    return gateway(origin, limit, process=process, log={"access": "off"})


async def test_the_bytes_of_a_day_outlive_a_restart(tmp_path: Path) -> None:
    async with RawOrigin(answering(large(30_000))) as origin:
        config = daily(origin, tmp_path)
        async with serve(config, office=Office(config)) as running:
            assert [(await ask(running.addresses["web"], GET)).status for _ in range(2)] == [200, 200]
        async with serve(config, office=Office(config)) as running:
            refused = await ask(running.addresses["web"], GET)
            assert refused.status == 429
            assert 1 <= int(field(refused, "retry-after") or 0) <= 86_400
            assert field(refused, "ratelimit-policy") == '"day";q=50000;qu="content-bytes";w=86400'


async def test_what_is_under_way_when_they_are_used_up_is_broken_off_and_seen_to_be(tmp_path: Path) -> None:
    async with RawOrigin(answering(large(10_000_000))) as origin:
        config = daily(origin, tmp_path, bytes_per_s=400_000)
        with patch("interpose.engine.limit_link.TELL_S", 0.02):
            async with serve(config, office=Office(config)) as running, RawClient(running.addresses["web"]) as client:
                client.send(GET)
                received = await client.rest()
                assert 50_000 <= len(received) < 400_000
                assert (await ask(running.addresses["web"], GET)).status == 429


async def test_a_reload_keeps_what_was_counted() -> None:
    async with RawOrigin(answering(OK)) as origin:
        config = gateway(origin, {"name": "once", "requests_per_s": 0.01})
        async with product(config) as served:
            assert [(await ask(served.address(), GET)).status for _ in range(2)] == [200, 429]
            await reload(served, config_of_same(config, origin))
            assert (await ask(served.address(), GET)).status == 429
            await reload(served, gateway(origin))
            assert (await ask(served.address(), GET)).status == 200


def config_of_same(config: Config, origin: RawOrigin) -> Config:
    return gateway(origin, {"name": "once", "requests_per_s": 0.01})


async def reload(served: Product, config: Config) -> None:
    await served.running.reload(config)


@pytest.mark.parametrize(
    ("on_failure", "statuses"), [("allow", [200] * 3), ("deny", [429] * 3), ("share", [200, 429, 429])]
)
async def test_without_who_counts_it_is_as_the_limit_says(on_failure: str, statuses: list[int], tmp_path: Path) -> None:
    async with RawOrigin(answering(OK)) as origin:
        config = daily(origin, tmp_path, requests_per_s=0.1, on_failure=on_failure)
        async with serve(config) as running:  # nobody there
            assert [(await ask(running.addresses["web"], GET)).status for _ in range(3)] == statuses


async def test_socks_on_the_same_port_is_no_way_around() -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"please")
        await connection.send(bytes(15_000))

    async with RawOrigin(script) as origin:
        limit = {"name": "both", "requests_per_s": 0.01, "burst": 2, "bytes_per_s": 20_000}
        listener = {"name": "web", "role": "auto", "address": "127.0.0.1:0"}
        async with product(config_of({"listener": [listener], "limit": [limit]})) as served:
            assert (await ask(served.address(), b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n")).status == 502
            async with RawClient(served.address()) as client:
                client.send(HELLO)
                assert await came(client, 2) == b"\x05\x00"
                client.send(request("127.0.0.1", origin.port))
                assert (await came(client, 12))[3] == 0
                began = asyncio.get_running_loop().time()
                client.send(b"please")
                assert (await client.rest())[-15_000:] == bytes(15_000)
                assert asyncio.get_running_loop().time() - began > 0.5
            assert await code_of(served.address(), request("127.0.0.1", origin.port)) != 0
            lines = await served.logged(3)
        assert lines[-1]["notes"]["rule"] == "both: requests_per_s = 0.01"
        assert len(origin.connections) == 1


async def test_a_relay_is_limited_where_a_limit_names_it() -> None:
    async with RawOrigin(answering(large(15_000))) as origin:
        config = config_of(
            {
                "listener": [{"name": "line", "role": "relay", "address": "127.0.0.1:0", "upstream": "o"}],
                "upstream": [{"name": "o", "servers": [origin.address]}],
                "limit": [
                    {"name": "others", "max_exchanges": 1},
                    {"name": "two", "max_exchanges": 2, "bytes_per_s": 20_000, "listeners": ["line"]},
                ],
            }
        )
        async with (
            product(config) as served,
            RawClient(served.address()) as first,
            RawClient(served.address()) as second,
        ):
            began = asyncio.get_running_loop().time()
            for client in (first, second):
                client.send(GET)
            assert [len(answer.body) for client in (first, second) for answer in await client.answers("GET")] == [
                15_000
            ] * 2
            assert asyncio.get_running_loop().time() - began > 1
            async with RawClient(served.address()) as third:
                third.send(GET)
                with contextlib.suppress(ConnectionError):
                    assert await third.rest() == b""
        assert len(origin.connections) == 2


async def test_what_passes_inside_of_a_tunnel_is_counted_once_and_its_requests_by_themselves(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    tables = {
        "process": {"name": "limited", "state_dir": str(tmp_path), "grace_s": 0.0},
        "log": {"access": "off"},
        "limit": [
            {"name": "line", "bytes_per_s": 50_000, "bytes_per_day": 1_000_000},
            {"name": "few", "when": "-method:CONNECT", "requests_per_s": 0.01, "burst": 1},
        ],
    }
    async with RawOrigin(answering(large(12_000)), tls=world.origin("127.0.0.1")) as origin:
        config = world.config(tables=tables)
        async with serve(config, office=Office(config)) as running:
            [address] = running.addresses.values()
            async with RawClient(address) as client:
                await client.tunnel(origin.address, world.client())
                request = f"GET / HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()
                client.send(request)
                [answer] = await client.answers("GET")
                assert len(answer.body) == 12_000
                client.send(request)
                [answer] = await client.answers("GET")
                assert answer.status == 429
        counted = json.loads((tmp_path / "limited" / "limits.json").read_bytes())
        assert 12_000 < sum(counted["limits"]["line"].values()) < 24_000  # with what TLS adds

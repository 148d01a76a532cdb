"""A cache in Redis between machines: what one stores the others serve, and whatever befalls Redis, no request fails."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.bad_redis import STATES, BadRedis
from tests.support.nginx import Nginx
from tests.support.product import Product, product
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, RawOrigin, answering
from tests.support.redis_server import RedisServer

from interpose import gateway_config, proxy_config
from interpose.config.load import config_of
from interpose.config.model import Config

LOCAL = ["127.0.0.1:0"]
CONTENT = bytes(range(33, 127)) * 20
CLIENTS = 8
BUDGETS = {"redis_connect_timeout_s": 2.0, "redis_timeout_s": 2.0}
"""For scenes that are not about time, on a machine that is busy."""


def answer(content: bytes = CONTENT, *fields: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{field}\r\n" for field in ("Cache-Control: max-age=600", *fields))
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode("latin-1") + content


def get(target: str = "/", method: str = "GET", *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n".encode("latin-1")


def node(origin: RawOrigin, url: str, **keys: Any) -> Config:
    raw = msgspec.to_builtins(gateway_config([origin.address], LOCAL, cache="16MiB"))
    raw["cache"][0].update(redis=url, **keys)
    return config_of(raw, name="gateway")


@asynccontextmanager
async def node_in_use(origin: RawOrigin, url: str, **keys: Any) -> AsyncIterator[Product]:
    """A node that has looked into Redis once."""
    async with product(node(origin, url, **BUDGETS, **keys)) as running:
        await ask(running.address(), get("/"))
        await running.when(lambda: running.counters["cache_away"] == 0)
        yield running


def cache_status(response: Any) -> str:
    return ", ".join(response.values("cache-status"))


@asynccontextmanager
async def load(running: Product, paths: int = 50) -> AsyncIterator[list[tuple[int, float]]]:
    """Requests by CLIENTS connections while inside: the status and the time of each."""
    loop = asyncio.get_running_loop()
    results: list[tuple[int, float]] = []
    is_over = False

    async def one(number: int) -> None:
        async with RawClient(running.address()) as client:
            turn = number
            while not is_over:
                begun = loop.time()
                client.send(get(f"/{turn % paths}"))
                [response] = await client.answers("GET")
                assert response.body == CONTENT
                results.append((response.status, loop.time() - begun))
                turn += CLIENTS + 1

    clients = [asyncio.create_task(one(number)) for number in range(CLIENTS)]
    try:
        yield results
    finally:
        is_over = True
        await asyncio.gather(*clients)


async def so_many(results: list[tuple[int, float]], more: int) -> None:
    """Wait for so many results more."""
    wanted = len(results) + more
    async with asyncio.timeout(30):
        while len(results) < wanted:  # noqa: ASYNC110 - the load sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


# --- machines that share --------------------------------------------------------------------------------------------


async def test_what_one_node_has_stored_the_other_serves(redis: RedisServer) -> None:
    async with (
        RawOrigin(answering(answer())) as origin,
        node_in_use(origin, redis.url) as one,
        node_in_use(origin, redis.url) as two,
    ):
        assert "stored" in cache_status(await ask(one.address(), get("/a")))
        await one.when(lambda: one.counters["cache_stored_total"] == 2)
        for running in (two, two, one):
            response = await ask(running.address(), get("/a"))
            assert "hit" in cache_status(response)
            assert response.body == CONTENT
        assert len([request for request in origin.requests() if request.target == "/a"]) == 1


async def test_what_is_changed_through_one_node_is_not_served_by_the_other(redis: RedisServer) -> None:
    async with (
        RawOrigin(answering(answer())) as origin,
        node_in_use(origin, redis.url) as one,
        node_in_use(origin, redis.url) as two,
    ):
        await ask(one.address(), get("/a"))
        await one.when(lambda: one.counters["cache_stored_total"] == 2)
        await ask(two.address(), get("/a"))
        await two.when(lambda: two.counters["cache_memory_objects"] == 2)
        assert (await ask(one.address(), get("/a", "POST", "Content-Length: 0"), "POST")).status == 200
        await two.when(lambda: two.counters["cache_memory_objects"] == 1)
        assert "uri-miss" in cache_status(await ask(two.address(), get("/a")))


async def test_two_hundred_clients_of_one_key_in_redis_make_one_look(redis: RedisServer) -> None:
    async with RawOrigin(answering(answer())) as origin:
        async with product(node(origin, redis.url, **BUDGETS)) as one:
            await ask(one.address(), get("/a"))
            await one.when(lambda: one.counters["cache_stored_total"] == 1)
        async with product(node(origin, redis.url, **BUDGETS)) as two:
            await ask(two.address(), get("/b"))
            with redis.client() as client:
                client.config_resetstat()
                answers = await asyncio.gather(*[ask(two.address(), get("/a")) for _ in range(200)])
                looks = client.info("commandstats")["cmdstat_hgetall"]["calls"]
        assert all("hit" in cache_status(response) for response in answers)
        assert len(origin.requests()) == 2
        assert looks <= 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a23_the_redis_of_a_cache_is_no_destination(host: str) -> None:
    async with RawOrigin(answering(answer())) as secret:
        port = secret.address.rpartition(":")[2]
        raw = msgspec.to_builtins(proxy_config(LOCAL, cache="16MiB"))
        raw["cache"][0].update(redis=f"redis://localhost:{port}")
        async with product(config_of(raw, name="proxy")) as running:
            for method, target in (("GET", f"http://{host}:{port}/"), ("CONNECT", f"{host}:{port}")):
                response = await ask(running.address(), get(target, method), method)
                assert response.status == 403
        assert not any(b"Host:" in connection.received for connection in secret.connections)


async def test_a41_nodes_with_different_keys_share_nothing(redis: RedisServer, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"the secret of {name}, and no other\n")
    async with (
        RawOrigin(answering(answer())) as origin,
        node_in_use(origin, redis.url, redis_key_file=str(tmp_path / "one")) as one,
        node_in_use(origin, redis.url, redis_key_file=str(tmp_path / "two")) as two,
    ):
        await ask(one.address(), get("/a"))
        await one.when(lambda: one.counters["cache_stored_total"] == 2)
        assert "uri-miss" in cache_status(await ask(two.address(), get("/a")))


def test_two_programs_of_two_workers_each_share_and_purge_as_one(redis: RedisServer, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_bytes(CONTENT)
    (files / "large.bin").write_bytes(CONTENT * 200)
    fresh = "  location / { root ROOT; add_header Cache-Control max-age=600; add_header Cache-Tag both; }\n"
    table = """
[process]
workers = 2
[[cache]]
name = "main"
redis = "URL"
redis_connect_timeout_s = 2
redis_timeout_s = 2
[[upstream]]
name = "app"
servers = ["127.0.0.1:PORT"]
[[listener]]
address = "127.0.0.1:0"
role = "gateway"
upstream = "app"
cache = "main"
"""
    with Nginx(tmp_path / "nginx", files, extra=fresh.replace("ROOT", str(files))) as origin:
        file = tmp_path / "interpose.toml"
        file.write_text(table.replace("URL", redis.url).replace("PORT", str(origin.port)))
        with (
            Program(tmp_path / "one", "run", str(file)) as one,
            Program(tmp_path / "two", "run", str(file)) as two,
        ):

            def everybody_has_it() -> bool:
                heads = []
                for url in (f"{program.url}/{name}" for program in (one, two) for name in ("a.txt", "large.bin")):
                    for _ in range(3):  # both workers get some of them
                        head, content = fetched(url)
                        assert content == CONTENT * (200 if "large" in url else 1)
                        heads.append(head)
                return all("; hit;" in head for head in heads)

            wait_until(everybody_has_it, "all have it")
            asked = len(origin.requests)
            assert asked <= 8  # a worker may ask before what another one fetched is there
            assert everybody_has_it()
            assert len(origin.requests) == asked
            purged = interpose("cache", "purge", "tag:both", "--state", str(one.state))
            assert purged.stdout + purged.stderr == "2 answers forgotten.\n"
            wait_until(lambda: two.status()["counters"]["cache_memory_objects"] == 0, "the other machine has heard")
            assert "uri-miss" in fetched(f"{two.url}/a.txt")[0]


def fetched(url: str) -> tuple[str, bytes]:
    """Head and content, by curl, of a URL on a host that all machines call the same."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-i", "-H", "Host: a.example", url],
        capture_output=True,
        timeout=30,
        check=True,
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    return head.decode("latin-1"), content


# --- when it is not there -------------------------------------------------------------------------------------------


async def test_f10_redis_killed_and_restarted_under_load_fails_no_request(redis: RedisServer) -> None:
    async with (
        RawOrigin(answering(answer())) as origin,
        # little memory, so that Redis is really asked
        product(node(origin, redis.url, memory_bytes=1 << 20)) as running,
    ):
        async with load(running, paths=2000) as results:
            await so_many(results, 300)
            for _ in range(2):
                redis.kill()
                await running.when(lambda: running.counters["cache_away"] == 1)
                await so_many(results, 300)
                redis.start()
                await running.when(lambda: running.counters["cache_away"] == 0, 10)
                stored = running.counters["cache_stored_total"]
                await so_many(results, 300)
                await running.when(lambda stored=stored: running.counters["cache_stored_total"] > stored)
        assert {status for status, _ in results} == {200}
        complaints = [record.getMessage() for record in running.records if "is away" in record.getMessage()]
        assert len(complaints) == 1


async def test_f10_redis_stopped_under_load_delays_few_requests_and_fails_none(redis: RedisServer) -> None:
    async with (
        RawOrigin(answering(answer())) as origin,
        product(node(origin, redis.url, memory_bytes=1 << 20)) as running,
    ):
        async with load(running, paths=2000) as results:
            await so_many(results, 300)
            redis.stop()
            try:
                before = len(results)
                await running.when(lambda: running.counters["cache_away"] == 1)
                late = running.counters["cache_late"]
                first = len(results)
                await so_many(results, 500)
                assert running.counters["cache_late"] <= late + CLIENTS  # nobody waits for it any more
                without = [seconds for _, seconds in results[first + CLIENTS :]]
                assert statistics.median(without) < 0.03
                assert first - before < 200
            finally:
                redis.go_on()
            await running.when(lambda: running.counters["cache_away"] == 0, 10)
            await so_many(results, 100)
        assert {status for status, _ in results} == {200}


@pytest.mark.parametrize("state", STATES)
async def test_f10_no_state_of_redis_fails_a_request(state: str) -> None:
    async with (
        BadRedis(state) as bad,
        RawOrigin(answering(answer())) as origin,
        product(node(origin, bad.url)) as running,
    ):
        async with load(running, paths=500) as results:
            await so_many(results, 600)
        assert {status for status, _ in results} == {200}
        slow = [seconds for _, seconds in results if seconds > 0.5]
        assert len(slow) <= CLIENTS
        assert running.counters["cache_hits_total"] > 0  # from memory, which goes on
        assert len([record for record in running.records if "is away" in record.getMessage()]) <= 1


async def test_f10_what_was_posted_while_redis_was_away_is_not_served_when_it_is_back(redis: RedisServer) -> None:
    async def counting(connection: Connection) -> None:
        while True:
            request = await connection.request(None)
            count = sum(asked.method == "POST" for asked in origin.requests())
            content = b"" if request.method == "POST" else b"%d" % count
            await connection.send(answer(content))

    async with RawOrigin(counting) as origin, product(node(origin, redis.url)) as running:
        await ask(running.address(), get("/a"))
        await running.when(lambda: running.counters["cache_stored_total"] == 1)
        redis.stop()
        try:
            # paths that are not in memory have it noticed that Redis is away
            async with asyncio.timeout(10):
                number = 0
                while running.counters["cache_away"] == 0:
                    number += 1
                    await ask(running.address(), get(f"/other{number}"))
            assert (await ask(running.address(), get("/a"))).body == b"0"
            await ask(running.address(), get("/a", "POST", "Content-Length: 0"), "POST")
            assert running.counters["cache_owed"] >= 1
        finally:
            redis.go_on()
        await running.when(lambda: running.counters["cache_away"] == 0, 10)
        assert running.counters["cache_owed"] == 0
        assert (await ask(running.address(), get("/a"))).body == b"1"

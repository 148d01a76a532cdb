"""What a reload leaves behind goes on in order, and then it goes: exchanges, pools, logs, resolvers (F15, F16)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.event_loops import descriptors
from tests.support.name_server import NameServer, Reply
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent
from tests.support.websocket import handshake

from interpose import gateway_config, proxy_config
from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def reload(running: Product, **tables: dict[str, Any]) -> None:
    """Change keys of the tables of what runs."""
    await running.running.reload(settings(running.running._runtime._config, **tables))


async def test_f16_an_exchange_that_a_reload_overtakes_keeps_its_deadlines() -> None:
    async with RawOrigin(silent) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"answer_timeout_s": 0.5})
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(GET)
            await origin.connected()
            await reload(running, connections={"answer_timeout_s": 60.0})
            [answer] = await client.answers("GET")
            assert answer.status == 504
            await origin.connections[0].gone()


async def test_f16_connections_of_a_pool_that_is_gone_are_closed_after_their_answer() -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await release.wait()
        await connection.send(OK)
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(GET)
        await origin.connected()
        await origin.connections[0].until(b"\r\n\r\n")
        await reload(running, connections={"max_idle": 7})
        assert running.counters["upstream_connections"] == 1
        release.set()
        [answer] = await client.answers("GET")
        assert (answer.status, answer.closes) == (200, False)
        await origin.connections[0].gone()
        await running.when(lambda: running.counters["upstream_connections"] == 0)
        client.send(GET)
        [answer] = await client.answers("GET")
        assert answer.status == 200


@pytest.mark.parametrize("change", [{"access": ""}, {"format": "combined"}], ids=["another file", "another format"])
async def test_f16_f27_an_exchange_that_a_reload_overtakes_is_still_written_down_as_it_began(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await release.wait()
        await answering(OK)(connection)

    if "access" in change:
        change = {"access": str(tmp_path / "new.log")}
    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(GET.replace(b"/ ", b"/old "))
            await origin.connected()
            await origin.connections[0].until(b"\r\n\r\n")
            await reload(running, log=change)
            release.set()
            await client.answers("GET")
            client.send(GET.replace(b"/ ", b"/new "))
            await client.answers("GET")
        if "access" in change:
            [line] = await running.logged(1)
            await running.when(lambda: (tmp_path / "new.log").read_bytes().count(b"\n") == 1)
            assert line["target"] == "http://x/old"
            assert json.loads((tmp_path / "new.log").read_text())["target"] == "http://x/new"
        else:
            await running.when(lambda: running._log_file.read_bytes().count(b"\n") == 2)
            old, new = running._log_file.read_text().splitlines()
            running._log_file.write_bytes(b"")
            assert json.loads(old)["target"] == "http://x/old"
            assert '"GET http://x/new HTTP/1.1" 200' in new or '"GET /new HTTP/1.1" 200' in new


async def test_f16_a_lookup_that_a_reload_overtakes_is_finished() -> None:
    asked = asyncio.Event()
    answer_now = False

    def answer(name: str, kind: int) -> Reply:
        asked.set()
        return Reply(("127.0.0.1",)) if answer_now else Reply(silent=True)

    async with RawOrigin(answering(OK)) as origin, NameServer(answer) as names, NameServer(answer) as others:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address], "timeout_s": 0.5})
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(f"GET http://slow.example:{origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asked.wait()
            await reload(running, dns={"servers": [others.address]})
            answer_now = True  # the second try of the old resolver gets it
            [response] = await client.answers("GET")
            assert response.status == 200


async def test_f16_reloads_that_change_everything_leave_no_descriptor_behind(tmp_path: Path) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        counts = []
        for number in range(12):
            await reload(
                running,
                dns={"servers": [f"127.0.0.1:{1000 + number}"]},
                connections={"max_idle": 10 + number},
                log={"access": str(tmp_path / f"{number % 2}.log")},
            )
            client.send(GET)
            await client.answers("GET")
            await asyncio.sleep(0.25)  # a tick or two
            counts.append(descriptors())
        assert max(counts[6:]) <= max(counts[:3])


async def test_f15_reloads_that_come_to_nothing_leave_no_descriptor_behind(tmp_path: Path) -> None:
    async with product(gateway_config(["127.0.0.1:1"], LOCAL)) as running:
        await reload(running)
        before = descriptors()
        runtime = running.running._runtime
        for number in range(5):  # what an instance does whose workers do not agree: prepared, never committed
            runtime.prepare(settings(runtime._config, log={"access": str(tmp_path / f"{number}.log")}))
        await reload(running)
        await running.when(lambda: descriptors() <= before)


async def test_f16_limits_and_timeouts_of_a_listener_change_with_a_reload() -> None:
    async with product(gateway_config(["127.0.0.1:1"], LOCAL)) as running:
        await reload(running, limits={"max_connections_per_client": 2}, timeouts={"head_timeout_s": 0.3})
        async with RawClient(running.address()) as one, RawClient(running.address()) as two:
            await running.when(lambda: running.counters["connections"] == 2)
            async with RawClient(running.address()) as three:
                await three.rest()
                assert running.counters["refused_connections_total"] == 1
            await one.rest()
            await two.rest()


async def test_f16_connections_of_a_listener_that_is_gone_keep_their_deadlines_and_their_counts() -> None:
    listener = {"role": "gateway"}
    both = [{"name": name, "address": LOCAL[0], **listener} for name in ("stays", "goes")]
    tables = {"route": [{"answer": {"text": "hello"}}], "timeouts": {"keep_alive_timeout_s": 0.4}}
    config = config_of({"listener": both, **tables}, name="t")
    async with product(config) as running, RawClient(running.address("goes")) as idle:
        idle.send(GET)
        await idle.answers("GET")
        async with RawClient(running.address("goes")) as used:
            used.send(GET)
            await used.answers("GET")
            await running.running.reload(
                settings(config_of({"listener": both[:1], **tables}, name="t"), log={"access": str(running._log_file)})
            )
            used.send(GET)
            [answer] = await used.answers("GET")
            assert answer.closes
        assert await idle.rest() == b""
        await running.when(lambda: running.counters["connections"] == 0)
        assert running.counters["requests_total"] == 3
        await asyncio.sleep(0.25)  # a tick or two
        assert running.counters["requests_total"] == 3
        running._log_file.write_bytes(b"")


@pytest.mark.parametrize("kind", ["CONNECT", "websocket"])
async def test_f16_a_tunnel_lives_on_through_reloads(kind: str) -> None:
    async def script(connection: Connection) -> None:
        if kind == "websocket":
            await connection.until(b"\r\n\r\n")
            await connection.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        for number in range(3):
            await connection.until(b"hello", times=number + 1)
            await connection.send(b"hello yourself")
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = proxy_config(LOCAL) if kind == "CONNECT" else gateway_config([origin.address], LOCAL)
        async with product(config) as running:
            async with RawClient(running.address()) as client:
                if kind == "CONNECT":
                    client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
                else:
                    client.send(handshake("/", "x"))
                await client.until(b"\r\n\r\n")
                for number in range(3):
                    await reload(running, connections={"max_idle": 10 + number})
                    client.send(b"hello")
                    await client.until(b"hello yourself", times=number + 1)
            await origin.connections[0].gone()
            [line] = await running.logged(1)
    assert line["status"] == (200 if kind == "CONNECT" else 101)


async def test_f12_the_patience_with_idle_tunnels_changes_with_a_reload() -> None:
    async with RawOrigin(silent) as origin, product(proxy_config(LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            await client.answers("CONNECT")
            await reload(running, timeouts={"tunnel_timeout_s": 0.3})
            await client.rest()
            assert client.was_reset
        await origin.connections[0].gone()


async def test_f12_the_patience_with_event_streams_is_the_configured_one() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = settings(
            gateway_config([origin.address], LOCAL),
            timeouts={"tunnel_timeout_s": 0.8},
            connections={"body_timeout_s": 0.2},
        )
        loop = asyncio.get_running_loop()
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(GET)
            await client.until(b"data: 1")
            began = loop.time()
            await client.rest()
            assert 0.7 < loop.time() - began < 2.0
            assert client.was_reset

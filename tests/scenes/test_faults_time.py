"""Names that hang, peers that vanish, clocks that jump, loops that stand still (THREATS F11, F12, F20, F21)."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from tests.support.name_server import NXDOMAIN, SERVFAIL, NameServer, Reply
from tests.support.product import product, settings
from tests.support.program import Program
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering

from interpose import gateway_config, proxy_config

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def proxied(host: str, port: int) -> bytes:
    return f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def test_f11_names_that_hang_delay_nobody_who_asks_for_another() -> None:
    def answer(name: str, kind: int) -> Reply:
        return Reply(silent=True) if name.startswith("hangs") else Reply(("127.0.0.1",))

    async with RawOrigin(answering(OK)) as origin, NameServer(answer) as names:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address], "timeout_s": 0.4})
        async with product(config) as running:
            loop = asyncio.get_running_loop()
            hanging = [
                asyncio.create_task(ask(running.address(), proxied(f"hangs{number}.example", origin.port)))
                for number in range(50)
            ]
            await running.when(lambda: running.counters["exchanges"] == 50)
            slowest_s = 0.0
            for number in range(50):
                began = loop.time()
                answered = await ask(running.address(), proxied(f"good{number % 10}.example", origin.port))
                assert answered.status == 200
                slowest_s = max(slowest_s, loop.time() - began)
            assert slowest_s < 0.2
            assert {answered.status for answered in await asyncio.gather(*hanging)} == {504}
            failures = {line.get("failure") for line in await running.logged(100)}
            assert failures == {None, "dns_timeout"}


@pytest.mark.parametrize(
    ("reply", "status", "failure"),
    [
        (Reply(status=NXDOMAIN), 502, "dns_error"),
        (Reply(status=SERVFAIL), 502, "dns_error"),
        (Reply(()), 502, "dns_error"),
        (Reply(silent=True), 504, "dns_timeout"),
        (Reply(("127.0.0.1",), wrong_id=True), 504, "dns_timeout"),
        (Reply(("127.0.0.1",), truncated=True), 200, None),
        (Reply(tuple(f"127.0.{n // 250}.{n % 250 + 1}" for n in range(1000)), truncated=True), 200, None),
    ],
    ids=["no such name", "broken", "no address", "silent", "spoofed", "by TCP", "a thousand addresses"],
)
async def test_f11_what_a_name_server_says_is_what_the_client_is_told(
    reply: Reply, status: int, failure: str | None
) -> None:
    async with RawOrigin(answering(OK)) as origin, NameServer(lambda name, kind: reply) as names:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address], "timeout_s": 0.3})
        async with product(config) as running:
            answer = await ask(running.address(), proxied("name.example", origin.port))
            [line] = await running.logged(1)
    assert (answer.status, line.get("failure")) == (status, failure)


async def test_f12_a_tunnel_whose_far_end_vanished_with_full_buffers_is_let_go() -> None:
    vanished = asyncio.Event()

    async def script(connection: Connection) -> None:
        connection._reading.cancel()  # as a stopped process: the kernel takes what fits, and nobody reads
        await vanished.wait()

    async with RawOrigin(script) as origin:
        config = settings(proxy_config(LOCAL), timeouts={"tunnel_timeout_s": 0.6})
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            [answer] = await client.answers("CONNECT")
            assert answer.status == 200
            client.send(b"x" * (32 << 20))
            await client.rest()
            assert client.was_reset
            vanished.set()
            [line] = await running.logged(1)
            await running.when(lambda: running.counters["tunnels"] == 0)
    assert line["notes"]["why"] == "nothing moved in the tunnel for 0.6 s"


async def test_f12_a_client_that_vanished_in_its_answer_is_let_go() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n" + b"x" * (1 << 25))
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), timeouts={"body_timeout_s": 0.6})
        async with product(config) as running, RawClient(running.address()) as client:
            client._reading.cancel()
            client.send(GET)
            [line] = await running.logged(1)
            await running.when(lambda: running.counters["connections"] == 0)
            await running.when(lambda: running.counters["upstream_connections"] == 0)
    assert (line["failure"], line["side"]) == ("connection_terminated", "downstream")
    assert line["notes"]["why"].startswith("the client stopped reading")


@pytest.mark.parametrize("hours", [1, -1])
async def test_f20_a_clock_that_jumps_ends_nothing(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()
    questions = 0

    def answer(name: str, kind: int) -> Reply:
        nonlocal questions
        questions += 1
        return Reply(("127.0.0.1",), ttl=60)

    async def script(connection: Connection) -> None:
        while True:
            if (await connection.request()).target == "/slow":
                await release.wait()
            await connection.send(OK)

    async with RawOrigin(script) as origin, NameServer(answer) as names:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address]})
        async with (
            product(config) as running,
            RawClient(running.address()) as idle,
            RawClient(running.address()) as busy,
            RawClient(running.address()) as tunnel,
        ):
            idle.send(proxied("name.example", origin.port))
            await idle.answers("GET")
            busy.send(proxied("name.example", origin.port).replace(b"/ HTTP", b"/slow HTTP"))
            tunnel.send(f"CONNECT name.example:{origin.port} HTTP/1.1\r\nHost: name.example\r\n\r\n".encode())
            await tunnel.answers("CONNECT")
            await running.when(lambda: running.counters["exchanges"] == 1)
            connections = running.counters["upstream_connections"]
            asked = questions

            now = time.time
            monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
            await asyncio.sleep(0.5)  # some ticks
            release.set()
            for client in (busy, idle):
                if client is idle:
                    client.send(proxied("name.example", origin.port))
                [answered] = await client.answers("GET")
                assert answered.status == 200
            tunnel.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await tunnel.until(b"ok")
            assert running.counters["upstream_connections"] == connections
            assert questions == asked
            assert running.counters["failures_total"] == 0


def test_f21_a_script_that_sleeps_delays_others_by_its_sleep_and_is_named(tmp_path: Path) -> None:
    script = tmp_path / "sleepy.py"
    script.write_text(
        "import time\nimport interpose\n\n@interpose.filter\n"
        "async def sleepy(exchange, request, forward):\n"
        "    if request.target.path == '/sleep':\n"
        "        time.sleep(0.5)\n"
        "    return await forward(exchange, request)\n"
    )

    async def load(address: str, until: asyncio.Event) -> float:
        slowest_s = 0.0
        async with RawClient(address) as client:
            while not until.is_set():
                began = time.monotonic()
                client.send(GET)
                await client.answers("GET")
                slowest_s = max(slowest_s, time.monotonic() - began)
        return slowest_s

    async def scene(address: str) -> float:
        over = asyncio.Event()
        loads = [asyncio.create_task(load(address, over)) for _ in range(4)]
        for _ in range(4):
            assert (await ask(address, GET.replace(b"/ ", b"/sleep "))).status == 502
        over.set()
        return max(await asyncio.gather(*loads))

    with Program(tmp_path, "gateway", "127.0.0.1:1", "--script", str(script)) as program:
        slowest_s = asyncio.run(scene(f"127.0.0.1:{program.port}"))
        program.says("time.sleep(0.5)")
        [worker] = program.status()["workers"]
        assert worker["restarts"] == 0
        wait = time.monotonic() + 5
        while (stalls := program.status()["counters"]["stalls_total"]) < 4:
            assert time.monotonic() < wait, stalls
            time.sleep(0.1)
    assert 0.4 < slowest_s < 1.3  # two of them may come one right after the other
    assert "sleepy.py" in program.said
    assert "worker 0: its event loop was blocked for 0." in program.said


async def test_f12_an_origin_that_never_accepts_is_a_504_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        config = settings(
            gateway_config([f"127.0.0.1:{full.getsockname()[1]}"], LOCAL), connections={"connect_timeout_s": 0.3}
        )
        async with product(config) as running:
            answer = await ask(running.address(), GET)
            [line] = await running.logged(1)
        for sock in waiting:
            sock.close()
    assert (answer.status, line["failure"]) == (504, "connection_timeout")

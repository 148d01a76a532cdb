"""Faults that were asked for: on relays, datagrams and routes, from files, from flags, and while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.datagrams import client as datagram_client
from tests.support.datagrams import target
from tests.support.nginx import Nginx
from tests.support.product import Product, product
from tests.support.program import NAME, Program, children_of, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent

from interpose import Config, proxy_config
from interpose.config.load import config_of
from interpose.config.roles import echo_config, relay_config

LOCAL = ["127.0.0.1:0"]
BIG = bytes(range(256)) * 8192  # 2 MiB
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def say_hash_at_end(connection: Connection) -> None:
    """Says how much came and its hash, once the client has ended its side; then as much back."""
    await connection.gone()
    await connection.send(hashlib.sha256(connection.received).hexdigest().encode() + connection.received)


@contextlib.asynccontextmanager
async def relayed(*faults: str, script: Any = say_hash_at_end) -> AsyncIterator[tuple[RawClient, RawOrigin, Product]]:
    async with (
        RawOrigin(script) as origin,
        product(relay_config([origin.address], LOCAL, faults=faults)) as running,
        RawClient(running.address()) as client,
    ):
        yield client, origin, running


# --- relays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        ["latency latency_s=0.05 jitter_s=0.05"],
        ["slicer average_bytes=700 variation_bytes=600"],
        ["bandwidth rate_bytes_per_s=20000000"],
        ["latency latency_s=0.02", "slicer average_bytes=5000", "bandwidth rate_bytes_per_s=30000000"],
        ["slow_close delay_s=0.1"],
    ],
)
async def test_f13_every_byte_arrives_both_ways_through_faults_that_only_delay(faults: list[str]) -> None:
    async with relayed(*faults) as (client, _, running):
        client.send(BIG)
        client.end()
        assert await client.rest() == hashlib.sha256(BIG).hexdigest().encode() + BIG
        assert not client.was_reset
        await running.when(lambda: running.counters["connections"] == 0)
    [line] = running.log
    assert (line["status"], line["bytes_in"]) == (200, len(BIG))
    assert "failure" not in line


async def test_latency_is_of_both_directions_or_of_one() -> None:
    async def answer(connection: Connection) -> None:
        await connection.until(b"ping")
        await connection.send(b"pong")
        await connection.gone()

    loop = asyncio.get_running_loop()
    for direction, least_s in [("both", 0.2), ("inbound", 0.1), ("outbound", 0.1)]:
        fault = f"latency latency_s=0.1 direction={direction}"
        async with relayed(fault, script=answer) as (client, _, _):
            before = loop.time()
            client.send(b"ping")
            await client.until(b"pong")
            assert loop.time() - before >= least_s - 0.005
            client.end()


async def test_a_reset_is_a_reset_on_both_sides() -> None:
    async with relayed("reset_peer after_s=0.05", script=silent) as (client, origin, running):
        client.send(b"hello")
        await client.rest()
        assert client.was_reset
        await origin.connections[0].gone()
        assert origin.connections[0].was_reset
        await running.when(lambda: running.counters["connections"] == 0)
        assert running.counters["faults_total"] == 1


async def test_a_limit_closes_in_order_behind_its_last_byte() -> None:
    async with relayed("limit_data bytes=1000 direction=inbound", script=silent) as (client, origin, _):
        client.send(bytes(3000))
        assert await client.rest() == b""
        assert not client.was_reset
        await origin.connections[0].gone()
        assert (origin.connections[0].received, origin.connections[0].was_reset) == (bytes(1000), False)


async def test_a_black_hole_keeps_silent_and_then_closes() -> None:
    async with relayed("timeout after_s=0.3", script=silent) as (client, origin, _):
        before = asyncio.get_running_loop().time()
        client.send(BIG)
        assert await client.rest() == b""
        assert asyncio.get_running_loop().time() - before >= 0.29
        await origin.connected(1)
        await origin.connections[0].gone()
        assert origin.connections[0].received == b""


async def test_a_black_hole_without_end_ends_with_its_client() -> None:
    async with relayed("timeout", script=silent) as (client, origin, running):
        client.send(b"anybody there?")
        await origin.connected(1)
        client.reset()
        await origin.connections[0].gone()
        await running.when(lambda: running.counters["connections"] == 0)
    assert origin.connections[0].received == b""


async def test_a_seed_repeats_a_run() -> None:
    async def run(seed: int) -> list[bool]:
        config = echo_config(LOCAL, faults=[f"limit_data bytes=0 probability=0.5 seed={seed}"])
        came = []
        async with product(config) as running:
            for _ in range(24):
                async with RawClient(running.address()) as client:
                    client.send(b"x")
                    client.end()
                    came.append(await client.rest() == b"x")
        return came

    first = await run(11)
    assert first == await run(11)
    assert set(first) == {True, False}


async def test_what_a_fault_holds_back_keeps_no_instance_from_ending() -> None:
    async with RawOrigin(silent) as origin:
        config = relay_config([origin.address], LOCAL, faults=["latency latency_s=60"])
        async with product(config) as running:
            client = RawClient(running.address())
            await client.__aenter__()
            client.send(b"on its way for a minute")
            await running.when(lambda: running.counters["connections"] == 1)
        await client.rest()
        await client.__aexit__()


@pytest.mark.parametrize("tls_first", [True, False])
async def test_tls_passes_before_faults_and_inside_them(tmp_path: Path, tls_first: bool) -> None:
    """A listener that speaks TLS takes it off before its faults; `auto` finds it among what came through them."""
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    faults = ["slicer average_bytes=50 variation_bytes=49", "latency latency_s=0.01"]
    async with RawOrigin(answering(OK)) as origin:
        config = proxy_config(LOCAL, faults=faults, socks=not tls_first, **files)
        async with product(config) as running:
            host, _, port = running.address().rpartition(":")
            trust = ssl.create_default_context(cafile=str(authority.file))
            reader, writer = await asyncio.open_connection(host, int(port), ssl=trust, server_hostname="localhost")
            writer.write(f"GET http://{origin.address}/ HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                assert await reader.readexactly(2) == b"ok"
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def test_a_tunnel_through_a_proxy_has_the_faults_of_its_connection() -> None:
    async with (
        RawOrigin(say_hash_at_end) as origin,
        product(proxy_config(LOCAL, faults=["slicer average_bytes=999"])) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        await client.answers("CONNECT")
        client.send(BIG[:100_000])
        client.end()
        assert await client.rest() == hashlib.sha256(BIG[:100_000]).hexdigest().encode() + BIG[:100_000]


# --- datagrams -----------------------------------------------------------------------------------------------------


def udp(role: str, *faults: str, server: str = "") -> Config:
    if role == "relay":
        return relay_config([server], LOCAL, udp=True, faults=faults)
    return echo_config(LOCAL, udp=True, faults=faults)


@pytest.mark.parametrize("role", ["relay", "echo"])
async def test_datagrams_get_lost_as_often_as_was_said(role: str) -> None:
    async with target() as server:
        config = udp(role, "loss probability=0.3 seed=1 direction=inbound", server=server.address)
        async with product(config) as running:
            with datagram_client(running.address()) as client:
                came = []
                for number in range(1, 301):
                    client.send(b"%d" % number)
                    if number % 20 == 0:  # no more at once than any buffer holds
                        await running.when(lambda sent=number: running.counters["datagrams_received_total"] == sent)
                        while len(came) < number - running.counters["faults_total"]:
                            came.append(await client.receive())
                assert not client.has_more
    assert came == sorted(came, key=int)
    assert 180 < len(came) < 240


@pytest.mark.parametrize("role", ["relay", "echo"])
async def test_datagrams_come_twice(role: str) -> None:
    async with (
        target() as server,
        product(udp(role, "duplicate direction=outbound", server=server.address)) as running,
    ):
        with datagram_client(running.address()) as client:
            for text in (b"a", b"", b"b"):
                client.send(text)
                assert [await client.receive(), await client.receive()] == [text, text]


@pytest.mark.parametrize("role", ["relay", "echo"])
async def test_datagrams_overtake_each_other(role: str) -> None:
    async with target() as server:
        fault = "reorder direction=inbound"
        async with product(udp(role, fault, server=server.address)) as running:
            with datagram_client(running.address()) as client:
                for text in (b"1", b"2", b"3", b"4"):
                    client.send(text)
                assert [await client.receive() for _ in range(4)] == [b"2", b"1", b"4", b"3"]


async def test_datagrams_are_late() -> None:
    async with target() as server, product(udp("relay", "latency latency_s=0.1", server=server.address)) as running:
        with datagram_client(running.address()) as client:
            before = asyncio.get_running_loop().time()
            assert await client.ask(b"ping") == b"ping"
            assert asyncio.get_running_loop().time() - before >= 0.195


# --- routes --------------------------------------------------------------------------------------------------------


def gateway(origin: str, **routes: dict[str, Any] | list[dict[str, Any]]) -> Config:
    """A gateway with a route /NAME/ with those faults for each name."""
    return config_of(
        {
            "listener": [{"address": "127.0.0.1:0", "role": "gateway", "upstream": "site"}],
            "upstream": [{"name": "site", "servers": [origin]}],
            "route": [
                {
                    "name": name,
                    "path": f"/{name}",
                    "upstream": "site",
                    "fault": faults if isinstance(faults, list) else [faults],
                }
                for name, faults in routes.items()
            ],
        }
    )


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def test_a_route_fails_and_the_others_do_not() -> None:
    async with RawOrigin(answering(OK)) as origin:
        config = gateway(origin.address, bad={"kind": "status", "status": 418})
        async with product(config) as running:
            assert (await ask(running.address(), get("/bad"))).status == 418
            assert (await ask(running.address(), get("/good"))).status == 200
    assert [line["status"] for line in running.log] == [418, 200]
    assert running.log[0]["notes"]["filter"] == "faults"
    assert len(origin.connections) == 1


async def test_f1_a_truncated_answer_is_seen_to_be_one() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    async with RawOrigin(answering(answer)) as origin:
        config = gateway(origin.address, cut={"kind": "truncate", "bytes": 4}, none={"kind": "truncate"})
        async with product(config) as running:
            for path, expected in [("/cut", b"0123"), ("/none", b"")]:
                async with RawClient(running.address()) as client:
                    client.send(get(path))
                    received = await client.rest()
                    head, _, body = received.partition(b"\r\n\r\n")
                    assert (b"Content-Length: 10" in head, body, client.was_reset) == (True, expected, True)
    assert [line["failure"] for line in running.log] == ["http_response_incomplete"] * 2


async def test_faults_of_a_whole_listener_are_of_every_exchange() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(proxy_config(LOCAL, faults=["status status=500 direction=outbound"])) as running,
    ):
        request = f"GET http://{origin.address}/ HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()
        assert (await ask(running.address(), request)).status == 500
        assert b"GET / HTTP/1.1" in origin.connections[0].received


async def test_a_route_takes_its_time_and_then_answers() -> None:
    async with RawOrigin(answering(OK)) as origin:
        late = [
            {"kind": "latency", "latency_s": 0.05},
            {"kind": "slow_head", "delay_s": 0.2},
            {"kind": "bandwidth", "rate_bytes_per_s": 100_000},
        ]
        async with product(gateway(origin.address, late=late)) as running:
            before = asyncio.get_running_loop().time()
            async with RawClient(running.address()) as client:
                client.send(get("/late"))
                await client.wait_for(lambda: len(client.received) in range(1, 10))  # the head, byte by byte
                [answer] = await client.answers("GET")
                assert answer.body == b"ok"
                assert asyncio.get_running_loop().time() - before >= 0.29
                client.send(get("/fine"))
                [answer] = await client.answers("GET")
                assert answer.body == b"ok"


# --- curl and nginx ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    directory = tmp_path_factory.mktemp("nginx")
    root = directory / "root"
    for name in ("fine", "status", "truncate", "reset", "silent", "head", "slow"):
        (root / name).mkdir(parents=True)
        (root / name / "file.txt").write_bytes(BIG[:50_000])
    with Nginx(directory, root) as origin:
        yield origin


def curl(*arguments: str) -> tuple[int, bytes]:
    """curl's exit status, and what it printed."""
    done = subprocess.run(
        ["curl", "-s", "--max-time", "20", *arguments], capture_output=True, env=ENVIRONMENT, timeout=30, check=False
    )
    return done.returncode, done.stdout


def test_curl_meets_every_fault_of_a_route(tmp_path: Path, nginx: Nginx) -> None:
    file = tmp_path / "faults.toml"
    faults = {
        "status": 'kind = "status"\nstatus = 503',
        "truncate": 'kind = "truncate"\nbytes = 1000',
        "reset": 'kind = "reset_peer"',
        "silent": 'kind = "timeout"\ndirection = "outbound"\nafter_s = 1.5',
        "head": 'kind = "slow_head"\ndelay_s = 0.3',
        "slow": 'kind = "bandwidth"\nrate_bytes_per_s = 200000',
    }
    file.write_text(
        f"""
[log]
access = "{tmp_path / "access.log"}"
format = "json"
[[listener]]
name = "site"
address = "127.0.0.1:0"
role = "gateway"
upstream = "nginx"
[[upstream]]
name = "nginx"
servers = ["127.0.0.1:{nginx.port}"]
"""
        + "".join(
            f'[[route]]\nname = "{name}"\npath = "/{name}"\nupstream = "nginx"\n[[route.fault]]\n{fault}\n'
            for name, fault in faults.items()
        )
    )
    checked = interpose("check", str(file))
    assert checked.returncode == 0, checked.stderr
    assert "reset_peer" in checked.stdout
    with Program(tmp_path, "run", str(file)) as program:
        assert curl(f"{program.url}/fine/file.txt") == (0, BIG[:50_000])
        assert curl("-w", "%{http_code}", "-o", "/dev/null", f"{program.url}/status/file.txt") == (0, b"503")
        status, content = curl(f"{program.url}/truncate/file.txt")
        assert (status in (18, 56), content) == (True, BIG[:1000])
        assert curl(f"{program.url}/reset/file.txt")[0] in (52, 56)
        assert curl("--max-time", "0.5", f"{program.url}/silent/file.txt")[0] == 28
        assert curl(f"{program.url}/head/file.txt") == (0, BIG[:50_000])
        before = time.monotonic()
        assert curl(f"{program.url}/slow/file.txt") == (0, BIG[:50_000])
        assert time.monotonic() - before >= 0.2
        lines = program.log(7)
    said = {line["target"].split("/")[3]: line["status"] for line in lines}
    assert said == {"fine": 200, "status": 503, "truncate": 200, "reset": 0, "silent": 0, "head": 200, "slow": 200}
    assert "GET /status/file.txt" not in "\n".join(nginx.requests)
    assert "GET /silent/file.txt 200" in nginx.requests


# --- while it runs -------------------------------------------------------------------------------------------------


def faults(program: Program, *arguments: str, expect: int = 0) -> str:
    """`interpose faults` on that program."""
    done = interpose("faults", *arguments, "--name", NAME, "--state", str(program.state))
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stderr


def answers(port: int) -> bool:
    """Whether an echo server answers on a new connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"x")
        with contextlib.suppress(ConnectionResetError):
            return client.recv(10) == b"x"
    return False


def test_live_faults_are_of_new_connections_of_all_workers_until_they_are_cleared(tmp_path: Path) -> None:
    with Program(tmp_path, "echo", "--listen", "127.0.0.1:0", "--workers", "2", "-q") as program:
        old = socket.create_connection(("127.0.0.1", program.port), 10)
        old.sendall(b"before")
        assert old.recv(10) == b"before"
        assert "From now on echo has limit_data bytes=0." in faults(program, "set", "echo", "limit_data bytes=0")
        assert not any(answers(program.port) for _ in range(8))  # whichever worker it is that answers
        old.sendall(b"after")
        assert old.recv(10) == b"after"
        old.close()
        listed = json.loads(faults(program, "list", "--json"))["faults"]
        assert listed == [{"of": "listener", "name": "echo", "faults": ["limit_data bytes=0"], "live": True}]
        assert "limit_data bytes=0" in faults(program, "list")

        reloaded = interpose("reload", "--name", NAME, "--state", str(program.state))
        assert reloaded.returncode == 0, reloaded.stderr
        assert not any(answers(program.port) for _ in range(4))

        workers = {worker["pid"] for worker in program.status()["workers"]}
        for pid in workers:
            assert pid in children_of(program.process.pid)
            os.kill(pid, signal.SIGKILL)

        def is_replaced() -> bool:
            present = program.status()["workers"]
            return len(present) == 2 and all(w["state"] == "serving" and w["pid"] not in workers for w in present)

        wait_until(is_replaced, "the workers are replaced")
        assert not any(answers(program.port) for _ in range(8))

        faults(program, "clear", "echo")
        assert all(answers(program.port) for _ in range(8))
        faults(program, "set", "echo", "off")
        assert all(answers(program.port) for _ in range(4))
        faults(program, "clear")


def test_what_cannot_be_set_is_said_and_changes_nothing(tmp_path: Path) -> None:
    with Program(tmp_path, "echo", "--listen", "127.0.0.1:0", "-q") as program:
        for arguments, sentence in [
            (("set", "echo", "loss"), 'fault[1].kind = "loss": does not befall connections; here there are latency,'),
            (("set", "ecko", "timeout"), 'there is no listener or route of that name; did you mean "echo"?'),
            (("set", "echo", "latency latency_s=200ms"), "write 0.2: latency_s is in seconds."),
            (("set", "echo", "bandwidth", "x y"), 'has "y", which is no option with a value;'),
            (("clear", "echo"), "'echo' has no live faults;"),
        ]:
            assert sentence in faults(program, *arguments, expect=2)
        assert answers(program.port)
        assert program.status()["generation"] == 1


def test_a_live_fault_of_a_route_outlasts_a_reload_of_its_file(tmp_path: Path, nginx: Nginx) -> None:
    file = tmp_path / "site.toml"
    before = f"""
[[listener]]
name = "site"
address = "127.0.0.1:0"
role = "gateway"
upstream = "nginx"
[[upstream]]
name = "nginx"
servers = ["127.0.0.1:{nginx.port}"]
[[route]]
name = "page"
path = "/fine"
upstream = "nginx"
[log]
access = "off"
"""
    file.write_text(before)
    code = ("-w", "%{http_code}", "-o", "/dev/null")
    with Program(tmp_path, "run", str(file)) as program:
        page = f"{program.url}/fine/file.txt"
        assert curl(*code, page) == (0, b"200")
        faults(program, "set", "page", "status status=418")
        assert curl(*code, page) == (0, b"418")
        assert curl(*code, f"{program.url}/slow/file.txt") == (0, b"200")
        file.write_text(before + '[[route]]\nname = "new"\npath = "/new"\nanswer = { status = 200, text = "new" }\n')
        assert interpose("reload", "--name", NAME, "--state", str(program.state)).returncode == 0
        assert curl(f"{program.url}/new") == (0, b"new")
        assert curl(*code, page) == (0, b"418")
        faults(program, "clear", "page")
        assert curl(*code, page) == (0, b"200")
        assert curl(f"{program.url}/new") == (0, b"new")


def test_flags_make_faults_that_nc_meets(tmp_path: Path) -> None:
    program_of_nc = shutil.which("nc")
    assert program_of_nc is not None, "nc is not installed; script/packages nc"
    with Program(
        tmp_path, "upper", "--listen", "127.0.0.1:0", "-q", "--fault", "slicer average_bytes=2 delay_s=0.01"
    ) as program:
        done = subprocess.run(
            [program_of_nc, "-N", "127.0.0.1", str(program.port)],
            input=b"Foobar & more\n", capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.stdout == b"FOOBAR & MORE\n"
        wait_until(lambda: program.status()["counters"]["faults_total"] == 1, "the fault is counted")

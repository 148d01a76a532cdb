"""The long versions of the faults: many exchanges, many deaths, many reloads (THREATS F1-F27)."""

import asyncio
import contextlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.scenes.test_balancing import Load as PacedLoad
from tests.scenes.test_faults_client import is_over
from tests.scenes.test_faults_origin import CHUNKED, GET, GET_1_0, WITH_LENGTH, cut, exchange, is_visibly_cut
from tests.support.certificates import CertificateAuthority
from tests.support.instance import Client, Load, RealInstance, kill
from tests.support.name_server import NameServer, Reply
from tests.support.product import product, settings
from tests.support.program import INTERPOSE, Program
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent
from tests.support.small_origin import SmallOrigin

from interpose import gateway_config, proxy_config

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
LOCAL = ["127.0.0.1:0"]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("i")


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    """An origin that answers at once, or after two seconds when it is asked for `/slow`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                if b" /slow " in await reader.readuntil(b"\r\n\r\n"):
                    await asyncio.sleep(2)
                writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("answer", [WITH_LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_f1_an_answer_cut_at_every_octet_is_seen_to_be(answer: bytes, reset: bool) -> None:
    async with RawOrigin(silent) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for place in range(len(answer)):
            for request in (GET, GET_1_0):
                origin.script = cut(answer, place, reset=reset)
                client = await exchange(running, request)
                assert client.received.startswith(b"HTTP/1.1 502 ") or is_visibly_cut(client), place
    assert len(origin.requests()) == 2 * len(answer)


async def test_f3_ten_thousand_gets_to_an_origin_that_closes_after_each_answer_all_succeed() -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(OK)

    async def client(address: str) -> None:
        async with RawClient(address) as client:
            for _ in range(1000):
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await client.until(OK[-4:])
                assert client.received.startswith(b"HTTP/1.1 200 ")
                client.received = b""

    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        await asyncio.gather(*(client(running.address()) for _ in range(10)))
        assert running.counters["failures_total"] == 0


async def test_f3_no_post_to_an_origin_that_closes_after_each_answer_is_delivered_twice() -> None:
    delivered: Counter[str] = Counter()

    async def script(connection: Connection) -> None:
        for _ in range(2):
            request = await connection.request()
            delivered[request.target] += 1
            if random.random() < 0.5:
                return
            await connection.send(OK)

    async def client(address: str, number: int) -> list[int]:
        statuses = []
        for count in range(100):
            post = f"POST /{number}-{count} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
            statuses.append((await ask(address, post.encode(), "POST")).status)
        return statuses

    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        statuses = await asyncio.gather(*(client(running.address(), number) for number in range(10)))
    assert set(itertools.chain(*statuses)) == {200, 502}
    assert set(delivered.values()) == {1}


async def test_f4_a_minute_of_killed_workers_refuses_nobody(place: Path, origin: str) -> None:
    kills = 10
    async with RealInstance(place, origin, {"workers": 2}) as instance, Load(instance.port, clients=16) as load:
        for number in range(kills):
            await asyncio.sleep(5.5)  # one that has served for ten seconds is restarted at once
            await load.more(500)
            victim = (await instance.pids())[number % 2]
            kill(victim, signal.SIGKILL)
            await instance.until(lambda status: victim not in pids(status) and len(pids(status)) == 2)  # noqa: B023
        await load.more(1000)
    assert [failure for failure in load.failures if "refused" in failure.lower()] == []
    assert len(load.failures) <= kills * 16
    assert load.slowest_s < 2.0


async def test_f16_f17_a_hundred_reloads_in_ten_seconds_fail_nothing_and_add_no_process(
    place: Path, origin: str
) -> None:
    async with RealInstance(place, origin, {"workers": 2}) as instance, Load(instance.port) as load:
        before = await instance.pids()
        most = 0
        for number in range(100):
            instance.write(routes=[{"path": f"/{number}", "upstream": "o"}])
            instance.process.send_signal(signal.SIGHUP)
            most = max(most, len((await instance.status())["workers"]))
            await asyncio.sleep(0.1)
        await load.more(500)
        assert await instance.pids() == before
        assert most <= 4
    assert load.failures == []


async def test_f16_f19_a_minute_of_new_certificates_and_reloads_fails_nothing_in_tls(place: Path, origin: str) -> None:
    authority = CertificateAuthority(place)
    pair, trust = authority.issue("one.example"), authority.client()
    tls = {"certificate": pair.certificate, "key": pair.key}
    serials = set()
    async with (
        RealInstance(place, origin, {"tls": tls, "workers": 2}) as instance,
        Load(instance.port, clients=16, tls=trust, name="one.example") as load,
    ):
        for number in range(60):
            renewed = authority.issue("one.example")
            shutil.move(renewed.key, pair.key)
            shutil.move(renewed.certificate, pair.certificate)
            if number % 2:
                instance.write(routes=[{"path": f"/{number}", "upstream": "o"}])
                assert (await instance.ask("POST", "/v1/reload"))[0] == 200
            await asyncio.sleep(1)
            serials.add(await instance.serial(trust, "one.example"))
            await load.more(50)
    assert load.failures == []
    assert len(serials) > 20


async def test_f24_servers_that_are_killed_again_and_again_cost_only_what_was_under_way(tmp_path: Path) -> None:
    """POSTs, 500 a second from 16 clients, which nobody may send a second time: those under way at each death fail, and
    those of one interval of checks at most; none is delivered twice."""
    deaths, interval_s = 12, 1.0
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(SmallOrigin(name, delay_s=0.01)) for name in "abc"]
        names = [server.address for server in servers]
        program = stack.enter_context(Program(tmp_path, "gateway", *names, "--workers", "2"))
        died: list[float] = []
        async with PacedLoad(f"127.0.0.1:{program.port}", 16, rate=500, method="POST") as load:
            for number in range(deaths):
                await load.more(1000)
                victim = servers[number % 3]
                died.append(time.monotonic())
                await asyncio.to_thread(victim.kill)
                await load.more(1500)
                await asyncio.to_thread(victim.start)
        failed = [began for began, status, _ in load.answers if status != 200]
        assert len(load.answers) >= deaths * 2500
        assert len(failed) <= deaths * 16
        assert all(any(when - 1.0 < began < when + interval_s for when in died) for began in failed)


async def test_f16_workers_that_come_and_go_for_a_minute_fail_nothing(place: Path, origin: str) -> None:
    async with RealInstance(place, origin, {"workers": 1}) as instance, Load(instance.port, clients=12) as load:
        for workers in (2, 1, 3, 1, 2, 3, 2, 1, 2, 1):
            instance.write(workers=workers)
            assert (await instance.ask("POST", "/v1/reload"))[0] == 200
            await instance.until(lambda status: len(pids(status)) == len(status["workers"]) == workers)  # noqa: B023
            await load.more(500)
    assert load.failures == []
    assert load.slowest_s < 2.0


async def test_f18_two_hundred_slow_exchanges_survive_sigterm_ten_times(place: Path, origin: str) -> None:
    for _ in range(10):
        async with RealInstance(place, origin, {"workers": 2, "grace_s": 10.0}) as instance:
            waiting = [asyncio.create_task(Client(instance.port).get("/slow")) for _ in range(200)]
            await instance.until(lambda status: status["counters"].get("exchanges") == 200)
            instance.process.terminate()
            assert await asyncio.gather(*waiting) == ["ok"] * 200
            assert await instance.process.wait() == 0


async def test_clients_that_leave_anywhere_for_a_minute_leave_nothing() -> None:
    chance = random.Random(4)

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        match chance.randrange(6):
            case 0:
                return
            case 1:
                connection.reset()
            case 2:
                await connection.send(WITH_LENGTH[: chance.randrange(len(WITH_LENGTH))])
            case 3:
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
                await asyncio.sleep(30)
            case 4:
                await asyncio.sleep(30)
            case _:
                await answering(WITH_LENGTH)(connection)

    async def client(address: str) -> None:
        for _ in range(200):
            with contextlib.suppress(OSError):  # the other side may have been first
                async with RawClient(address) as client:
                    size = chance.choice([0, 10, 5000, 200_000])
                    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size
                    client.send(request[: chance.choice([len(request), chance.randrange(len(request) + 1)])])
                    for _ in range(chance.randrange(20)):
                        await asyncio.sleep(0)
                    chance.choice([client.reset, client.end, lambda: None])()

    async with RawOrigin(script) as origin:
        config = settings(
            gateway_config([origin.address], LOCAL),
            timeouts={"head_timeout_s": 1.0, "body_timeout_s": 1.0},
            connections={"answer_timeout_s": 2.0, "idle_timeout_s": 1.0},
        )
        async with product(config) as running:
            await asyncio.gather(*(client(running.address()) for _ in range(25)))
            await running.when(lambda: is_over(running), 60.0)  # who half-closed is waited for
            assert running.counters["connections_total"] == 5000


def test_f7_waves_of_a_thousand_clients_and_a_quick_recovery(tmp_path: Path) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    async def client(port: int) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
        writer.close()
        return loop.time() - began

    async def scene(program: Program) -> None:
        for _ in range(3):
            hogs = [await asyncio.open_connection("127.0.0.1", program.port) for _ in range(200)]
            wave = [asyncio.create_task(client(program.port)) for _ in range(800)]
            await asyncio.sleep(0.5)
            status = await asyncio.to_thread(program.status)
            assert status["ready"]
            for _, writer in hogs:
                writer.close()
            released = asyncio.get_running_loop().time()
            await asyncio.gather(*wave)
            assert asyncio.get_running_loop().time() - released < 4.0
            assert await client(program.port) < 2.0

    with Program(tmp_path, "gateway", "127.0.0.1:1", preexec_fn=few_descriptors) as program:
        asyncio.run(scene(program))
        assert len(program.lines) < 100
        assert program.status()["restarts"] == 0


async def test_f11_a_name_that_hangs_does_not_change_how_long_others_take() -> None:
    def answer(name: str, kind: int) -> Reply:
        return Reply(silent=True) if name.startswith("hangs") else Reply(("127.0.0.1",), ttl=1)

    async def p99_s(address: str, port: int) -> float:
        loop = asyncio.get_running_loop()
        times = []
        for number in range(2000):
            began = loop.time()
            request = f"GET http://n{number % 20}.example:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            assert (await ask(address, request)).status == 200
            times.append(loop.time() - began)
        return sorted(times)[1980]

    async def hang(address: str) -> None:
        for number in itertools.count():
            await ask(address, f"GET http://hangs{number}.example/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async with RawOrigin(answering(OK)) as origin, NameServer(answer) as names:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address], "timeout_s": 1.0})
        async with product(config) as running:
            alone_s = await p99_s(running.address(), origin.port)
            hanging = [asyncio.create_task(hang(running.address())) for _ in range(20)]
            beside_s = await p99_s(running.address(), origin.port)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            await running.when(lambda: running.counters["exchanges"] == 0, 10.0)
    assert beside_s < 2 * alone_s + 0.005


@pytest.fixture
def piped(place: Path, origin: str) -> Iterator[subprocess.Popen[str]]:
    """A gateway that writes its log into a pipe that nobody reads."""
    command = [INTERPOSE, "gateway", origin, "--no-console", "--listen", LOCAL[0], "--state", str(place / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def test_f27_a_sleeping_reader_of_the_log_changes_nothing_for_twenty_thousand_requests(
    piped: subprocess.Popen[str],
) -> None:
    assert piped.stderr is not None
    port = int((await asyncio.to_thread(piped.stderr.readline)).rpartition(":")[2])
    async with Load(port, clients=8) as load:
        for _ in range(10):
            await load.more(2000)
    assert load.failures == []
    assert load.slowest_s < 0.5
    piped.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(piped.wait, 10) == 0


async def test_reloads_deaths_and_load_leave_no_descriptor_and_no_memory_behind(place: Path, origin: str) -> None:
    async with RealInstance(place, origin, {"workers": 1}) as instance:
        supervisor = instance.process.pid
        (worker,) = await instance.pids()
        sizes, counts = [], []
        async with Load(instance.port, clients=4) as load:
            for number in range(60):
                instance.write(
                    upstreams=[{"name": "o", "servers": [origin]}],
                    routes=[{"path": f"/{number}", "upstream": "o"}],
                )
                assert (await instance.ask("POST", "/v1/reload"))[0] == 200
                await load.more(200)
                sizes.append(resident(worker))
                counts.append([len(os.listdir(f"/proc/{pid}/fd")) for pid in (supervisor, worker)])
        assert load.failures == []
        assert (await instance.pids()) == [worker]
    assert sizes[-1] - sizes[20] < 4 << 20, sizes
    assert [max(values) for values in zip(*counts[40:], strict=True)] <= [
        max(values) + 4 for values in zip(*counts[:20], strict=True)
    ]


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def pids(status: dict[str, object]) -> list[int]:
    workers = status["workers"]
    assert isinstance(workers, list)
    return [worker["pid"] for worker in workers if worker["state"] == "serving"]

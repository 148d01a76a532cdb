"""The real program as an instance: killed, reloaded and drained under load, on the way to an origin."""

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.support.certificates import CertificateAuthority
from tests.support.instance import INTERPOSE, Client, Load, RealInstance, kill


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("i")


class Origin:
    """Answers everything with `origin`; `/wait` when `release` is set."""

    def __init__(self) -> None:
        self.waiting = 0
        self.came = asyncio.Condition()
        self.release = asyncio.Event()
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b" /wait " in head:
                    async with self.came:
                        self.waiting += 1
                        self.came.notify_all()
                    await self.release.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin")
        writer.close()

    async def is_asked(self, times: int) -> None:
        async with asyncio.timeout(15), self.came:
            await self.came.wait_for(lambda: self.waiting >= times)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield origin
    origin.release.set()
    server.close()


def pids(status: dict[str, Any]) -> list[int]:
    return [worker["pid"] for worker in status["workers"] if worker["state"] == "serving"]


async def test_f4_a_worker_killed_under_load_costs_only_what_it_was_doing(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address) as instance, Load(instance.port) as load:
        for _ in range(2):
            await load.more(100)
            (victim, _) = await instance.pids()
            kill(victim, signal.SIGKILL)
            await instance.until(lambda status: len(pids(status)) == 2 and victim not in pids(status))  # noqa: B023
        await load.more(100)
        assert [failure for failure in load.failures if "refused" in failure.lower()] == []
        assert len(load.failures) <= 2 * 8
        assert load.slowest_s < 2.0


async def test_f5_a_killed_supervisor_takes_no_exchange_with_it_and_can_be_started_again_at_once(
    place: Path, origin: Origin
) -> None:
    async with RealInstance(place, origin.address) as first:
        port = first.port
        waiting = asyncio.create_task(Client(port).get("/wait"))
        await origin.is_asked(1)
        await first.pids()
        first.process.kill()
        await first.process.wait()
        listeners = [{"name": "web", "role": "gateway", "address": f"127.0.0.1:{port}"}]
        async with RealInstance(place, origin.address, {"listeners": listeners}) as second:
            assert await Client(second.port).get_anew() == "origin"
            origin.release.set()
            assert await waiting == "origin"


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "binary": (b"\xff\xfe\x00", ""),
    "no TOML": ("[process\n", ":1: column 9: "),
    "a stray quote": ('[process]\nname = "t\n', ":2: column "),
    "a key twice": ("[process]\nworkers = 1\nworkers = 2\n", ""),
    "a table twice": ("[log]\n[log]\n", ""),
    "a value that is none": ("[process]\nworkers =\n", ":2: column "),
    "an unknown table": ("[prozess]\n", "prozess"),
    "an unknown key": ("[process]\nworker = 2\n", "workers"),
    "a text for a number": ('[process]\nworkers = "two"\n', "process.workers"),
    "a negative number": ("[process]\nworkers = -1\n", "process.workers"),
    "a number far too large": ("[process]\nworkers = 99999\n", "process.workers"),
    "a number that is none": ("[process]\ngrace_s = nan\n", "process.grace_s"),
    "an unknown level": ('[log]\nlevel = "loud"\n', "log.level"),
    "an unknown role": ('[[listener]]\naddress = ":1"\nrole = "wall"\n', "listener[1].role"),
    "no address": ('[[listener]]\nrole = "proxy"\n', "listener[1].address"),
    "a port that is none": ('[[listener]]\naddress = "127.0.0.1:99999"\nrole = "proxy"\n', "listener[1].address"),
    "an address that is none": ('[[listener]]\naddress = "nowhere"\nrole = "proxy"\n', "listener[1].address"),
    "a network that is none": (
        '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\nallow_from = ["10.0.0.0/33"]\n',
        "listener[1].allow_from",
    ),
    "an open proxy": ('[[listener]]\naddress = "0.0.0.0:0"\nrole = "proxy"\n', "listener[1]"),
    "a missing certificate": (
        '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\n'
        'tls = { certificate = "/nowhere/c.pem", key = "/nowhere/k.pem" }\n',
        "listener[1].tls.certificate",
    ),
    "a missing file of users": (
        '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\nauth = "/nowhere/users"\n',
        "listener[1].auth",
    ),
    "an unknown upstream": (
        '[[listener]]\naddress = "127.0.0.1:0"\nrole = "gateway"\nupstream = "nobody"\n',
        "listener[1].upstream",
    ),
    "a route to nowhere": ('[[route]]\npath = "/"\nupstream = "nobody"\n', "route[1].upstream"),
    "a server that is none": ('[[upstream]]\nname = "u"\nservers = ["ftp://x"]\n', "upstream[1].servers"),
    "no servers": ('[[upstream]]\nname = "u"\nservers = []\n', "upstream[1].servers"),
    "a missing script": ('[[script]]\nfile = "/nowhere/s.py"\n', "script[1].file"),
    "two of one name": (
        '[[upstream]]\nname = "u"\nservers = ["h:1"]\n[[upstream]]\nname = "u"\nservers = ["h:2"]\n',
        "upstream[2].name",
    ),
    "another name": (
        '[process]\nname = "other"\n[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\n',
        "process.name",
    ),
    "nested without end": ("x = " + "[" * 5000 + "]" * 5000, ""),
}


async def test_f15_thirty_bad_files_change_nothing_and_each_is_explained(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address) as instance, Load(instance.port, clients=4) as load:
        before = await instance.pids()
        for name, (content, place_of_error) in BAD_FILES.items():
            instance.file.write_bytes(content if isinstance(content, bytes) else content.encode())
            status, answer = await instance.ask("POST", "/v1/reload")
            assert (name, status, answer["generation"]) == (name, 422, 1)
            assert any(place_of_error in error for error in answer["errors"]), (name, answer)
        await load.more(20)
        instance.file.unlink()
        assert (await instance.ask("POST", "/v1/reload"))[0] == 422
        instance.file.mkdir()
        assert (await instance.ask("POST", "/v1/reload"))[0] == 422
        instance.file.rmdir()
        instance.file.touch()
        os.truncate(instance.file, 100 << 20)
        status, answer = await instance.ask("POST", "/v1/reload")
        assert status == 422
        assert "larger than 1048576 bytes" in answer["errors"][0]
        reload = await asyncio.create_subprocess_exec(
            INTERPOSE, "reload", "--state", instance.plan["state_dir"], stderr=asyncio.subprocess.PIPE
        )
        _, complaint = await reload.communicate()
        assert reload.returncode == 2
        assert complaint.startswith(b"interpose: t: ")
        assert await instance.pids() == before
        assert (await instance.status())["reloads"]["failed"] == len(BAD_FILES) + 4
    assert load.failures == []


async def test_f15_a_port_that_is_taken_and_a_script_that_is_broken_change_nothing(place: Path, origin: Origin) -> None:
    script = place / "script.py"
    async with RealInstance(place, origin.address) as instance, Load(instance.port, clients=4) as load:
        web = instance.plan["listeners"]
        taken = {"name": "taken", "role": "gateway", "upstream": "o", "address": origin.address}
        instance.write(listeners=[*web, taken])
        status, answer = await instance.ask("POST", "/v1/reload")
        assert status == 422
        assert "in use" in answer["errors"][0]
        script.write_text("def nonsense(:\n")
        instance.write(scripts=[{"file": str(script)}], workers=3)
        status, answer = await instance.ask("POST", "/v1/reload")
        assert status == 422
        assert "script.py" in answer["errors"][0]
        await load.more(20)
        assert len(await instance.pids()) == 2
    assert load.failures == []


async def test_f16_a_reload_under_load_fails_no_request_and_counters_survive(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address) as instance, Load(instance.port) as load:
        before = await instance.pids()
        for number in range(2, 7):
            answer = {"status": 200, "text": f"fixed {number}"}
            route = f'path = "/fixed"\nanswer = {{ status = 200, text = "{answer["text"]}" }}'
            instance.write()
            instance.file.write_text(f"{instance.file.read_text()}\n[[route]]\n{route}\n")
            assert await instance.ask("POST", "/v1/reload") == (200, {"generation": number, "errors": []})
            assert await Client(instance.port).get_anew("/fixed") == f"fixed {number}"
            await load.more(50)
        answered = len(load.answers)
        assert await instance.pids() == before
        await instance.until(lambda status: status["counters"]["requests_total"] >= answered)
    assert load.failures == []


async def test_f16_f19_certificates_and_configurations_change_under_load_of_clients_in_tls(
    place: Path, origin: Origin
) -> None:
    """Clients on connections that they keep and on new ones, while both change: each by itself, and together."""
    authority = CertificateAuthority(place)
    pair, trust = authority.issue("one.example"), authority.client()
    tls = {"certificate": pair.certificate, "key": pair.key}
    async with (
        RealInstance(place, origin.address, {"tls": tls}) as instance,
        Load(instance.port, tls=trust, name="one.example") as load,
    ):
        await load.more(50)
        for number in range(4):
            if number != 1:
                renewed = authority.issue("one.example")
                shutil.move(renewed.key, pair.key)
                shutil.move(renewed.certificate, pair.certificate)
            if number:
                instance.write(routes=[{"path": f"/{number}", "upstream": "o"}])
                assert (await instance.ask("POST", "/v1/reload"))[0] == 200
            if number != 1:
                issued = Path(pair.certificate).read_bytes()  # noqa: ASYNC240 - a test waits for nobody
                wanted = x509.load_pem_x509_certificate(issued).serial_number
                async with asyncio.timeout(15):
                    while int(await instance.serial(trust, "one.example"), 16) != wanted:
                        await load.more(1)
            await load.more(100)
    assert load.failures == []


async def test_f16_workers_come_and_go_under_load_without_a_failed_request(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address, {"workers": 1}) as instance:
        idle = Client(instance.port)
        assert await idle.get() == "origin"
        async with Load(instance.port) as load:
            for workers in (3, 1, 2):
                instance.write(workers=workers)
                assert (await instance.ask("POST", "/v1/reload"))[0] == 200
                await instance.until(lambda status: len(pids(status)) == workers)  # noqa: B023
                await load.more(50)
        assert await idle.get() == "origin"
        idle.close()
    assert load.failures == []


async def test_f17_fifty_reloads_at_once_are_few_and_no_process_is_added(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address) as instance, Load(instance.port, clients=2) as load:
        before = await instance.pids()
        for _ in range(50):
            instance.process.send_signal(signal.SIGHUP)
        answers = await asyncio.gather(*(instance.ask("POST", "/v1/reload") for _ in range(50)))
        assert {status for status, _ in answers} == {200}
        assert max(answer["generation"] for _, answer in answers) < 30
        assert await instance.pids() == before
        await load.more(20)
    assert load.failures == []


async def test_f18_two_hundred_exchanges_survive_sigterm(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address, {"grace_s": 10.0}) as instance:
        clients = [Client(instance.port) for _ in range(200)]
        waiting = [asyncio.create_task(client.get("/wait")) for client in clients]
        await origin.is_asked(200)
        instance.process.terminate()
        await instance.until(lambda status: status["state"] == "draining")
        assert await instance.ask("GET", "/v1/ready") == (503, {"ready": False})
        origin.release.set()
        assert await asyncio.gather(*waiting) == ["origin"] * 200
        assert await instance.process.wait() == 0
        await asyncio.gather(*(client.gone() for client in clients))


async def test_f21_a_script_that_blocks_is_named_and_its_worker_replaced(place: Path, origin: Origin) -> None:
    script = place / "slow.py"
    script.write_text(
        "import time\nimport interpose\n\n"
        "@interpose.filter\n"
        "async def slow(exchange, request, forward):\n"
        "    if request.target.path == '/slow':\n"
        "        time.sleep(30)\n"
        "    return await forward(exchange, request)\n"
    )
    plan = {"max_lag_s": 2.5, "scripts": [{"file": str(script)}]}
    async with RealInstance(place, origin.address, plan) as instance:
        before = await instance.pids()
        blocked = asyncio.create_task(Client(instance.port).get("/slow"))
        async with Load(instance.port, clients=4, keep=False) as load:
            with pytest.raises((ConnectionError, EOFError)):
                await blocked
            assert load.slowest_s < 2.0
        status = await instance.until(lambda status: len(pids(status)) == 2 and pids(status) != before)
        assert len(set(pids(status)) & set(before)) == 1
        assert "slow.py" in instance.said
        assert "time.sleep(30)" in instance.said
        assert len(load.failures) <= 4


async def test_f22_near_the_memory_limit_new_requests_get_503_until_there_is_room_again(
    place: Path, origin: Origin
) -> None:
    async with RealInstance(place, origin.address, {"workers": 1}) as instance:
        for _ in range(5):
            assert await Client(instance.port).get_anew() == "origin"
        status = await instance.until(lambda status: status["counters"]["requests_total"] == 5)
        instance.write(memory_limit_bytes=int(status["workers"][0]["memory_bytes"] / 0.935))
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: status["counters"]["memory_level"] == 2)
        with pytest.raises(AssertionError, match="503 service unavailable"):
            await Client(instance.port).get_anew()
        instance.write()
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: status["counters"]["memory_level"] == 0)
        assert await Client(instance.port).get_anew() == "origin"
        assert (await instance.status())["restarts"] == 0


async def test_f22_a_worker_above_its_memory_limit_answers_503_and_is_replaced(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address, {"workers": 1}) as instance:
        (before,) = await instance.pids()
        instance.write(memory_limit_bytes=1 << 20)
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.says("is replaced: its memory is above the limit")
        instance.write(memory_limit_bytes=0)
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: pids(status) and before not in pids(status))
        assert await Client(instance.port).get_anew() == "origin"


async def test_f19_tls_and_its_certificate_come_and_go_with_a_reload(place: Path, origin: Origin) -> None:
    authority = CertificateAuthority(place)
    trust = ssl.create_default_context(cafile=authority.file)
    async with RealInstance(place, origin.address, {"workers": 1}) as instance:
        for name in ("one.example", "two.example", None, "three.example"):
            instance.write()
            if name is not None:
                pair = authority.issue(name)
                tls = f'tls = {{ certificate = "{pair.certificate}", key = "{pair.key}" }}'
                text = instance.file.read_text().replace("[[upstream]]", f"{tls}\n[[upstream]]", 1)
                instance.file.write_text(text)
            assert (await instance.ask("POST", "/v1/reload"))[0] == 200
            if name is None:
                assert await Client(instance.port).get_anew() == "origin"
                continue
            _, writer = await asyncio.open_connection(
                "127.0.0.1", instance.port, ssl=trust, server_hostname=name
            )  # fails unless the certificate is for this name
            writer.close()
        assert (await instance.status())["listeners"][0]["url"].startswith("https://")


async def test_f16_connections_of_a_listener_that_is_gone_end_with_their_next_answer_and_stay_counted(
    place: Path, origin: Origin
) -> None:
    also = {"name": "also", "role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}
    async with RealInstance(place, origin.address, {"workers": 1}) as instance:
        web = instance.plan["listeners"]
        instance.write(listeners=[*web, also])
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        port = int((await instance.status())["listeners"][1]["address"].rpartition(":")[2])
        client = Client(port)
        assert await client.get() == "origin"
        instance.write()
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        with pytest.raises(ConnectionRefusedError):
            await Client(port).get()
        assert await client.get() == "origin"
        with pytest.raises(ConnectionRefusedError):
            await client.get()
        await instance.until(
            lambda status: status["counters"]["connections"] == 0 and status["counters"]["requests_total"] == 2
        )


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_reloads_and_deaths_leave_no_descriptors_behind(place: Path, origin: Origin) -> None:
    async with RealInstance(place, origin.address) as instance:
        await Client(instance.port).get_anew()
        supervisor = instance.process.pid
        (_, worker) = await instance.pids()
        before = [descriptors(supervisor), descriptors(worker)]
        for _ in range(10):
            assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        for _ in range(2):
            victim = (await instance.pids())[0]
            kill(victim, signal.SIGKILL)
            await instance.until(lambda status: len(pids(status)) == 2 and victim not in pids(status))  # noqa: B023
        assert descriptors(supervisor) <= before[0]
        assert descriptors(worker) <= before[1] + 2  # it may keep a connection to the origin

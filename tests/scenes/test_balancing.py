"""A gateway before several servers: killed and restarted under load, slow, erring, full, drained (THREATS F24)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.name_server import SRV, NameServer, Reply
from tests.support.product import product
from tests.support.program import NAME, Program, interpose, wait_until
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, Connection, RawOrigin, answering
from tests.support.small_origin import SmallOrigin

from interpose.config.load import config_of
from interpose.config.model import Config

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def gateway(servers: Sequence[str], **upstream: Any) -> Config:
    listener = {"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}
    return config_of(
        {"listener": [listener], "upstream": [{"name": "app", "servers": list(servers), **upstream}]}, name="gateway"
    )


class Load:
    """Clients that ask again and again, each on its connection, and what each was answered and when."""

    def __init__(self, address: str, clients: int, *, rate: float, method: str = "GET") -> None:
        self.address = address
        self.method = method
        self.answers: list[tuple[float, int, str]] = []
        self._pause_s = clients / rate
        self._clients = clients
        self._number = 0
        self._is_ending = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._is_ending = True
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        async with RawClient(self.address) as client:
            while not self._is_ending:
                began = time.monotonic()
                self._number += 1
                client.send(f"{self.method} / HTTP/1.1\r\nHost: a\r\nX-Id: {self._number}\r\n".encode())
                client.send(b"Content-Length: 1\r\n\r\nx" if self.method == "POST" else b"\r\n")
                [answer] = await client.answers(self.method)
                self.answers.append((began, answer.status, answer.body.decode()))
                await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - began)))

    async def more(self, count: int) -> list[tuple[float, int, str]]:
        """The next so many answers to what is asked from now on."""
        now = time.monotonic()
        async with asyncio.timeout(20):
            while len(self.since(now)) < count:  # noqa: ASYNC110 - the clients set no event
                await asyncio.sleep(0.01)
        return self.since(now)

    def since(self, when: float) -> list[tuple[float, int, str]]:
        return [answer for answer in self.answers if answer[0] >= when]


def names(answers: Sequence[tuple[float, int, str]]) -> Counter[str]:
    return Counter(body if status == 200 else str(status) for _, status, body in answers)


@pytest.mark.parametrize("balance", ["round_robin", "least_active", "fastest"])
async def test_f24_one_of_three_is_killed_under_load_and_nobody_notices_and_it_comes_back(balance: str) -> None:
    """GETs that were under way on it are sent to another one; then nobody asks it, and when it is there again it is
    found by one request."""
    with SmallOrigin("a") as a, SmallOrigin("b") as b, SmallOrigin("c") as c:
        config = gateway([a.address, b.address, c.address], balance=balance, eject_s=0.3, most_eject_s=0.6)
        async with product(config) as running, Load(running.address(), 16, rate=500) as load:
            assert set(names(await load.more(300))) == {"a", "b", "c"}
            b.kill()
            without = await load.more(300)
            assert set(names(without)) == {"a", "c"}
            b.start()
            async with asyncio.timeout(10):
                while "b" not in names(await load.more(20)):
                    pass
            assert names(load.answers).keys() == {"a", "b", "c"}  # all were answered, and none by an error of ours


async def test_f24_what_may_not_be_repeated_fails_at_most_where_it_was_under_way(tmp_path: Path) -> None:
    """POSTs: no more than the 16 clients have under way fail when a server dies, none twice, none later."""
    with SmallOrigin("a", delay_s=0.01) as a, SmallOrigin("b", delay_s=0.01) as b, SmallOrigin("c", delay_s=0.01) as c:
        config = gateway([a.address, b.address, c.address], eject_s=0.3)
        async with product(config) as running, Load(running.address(), 16, rate=500, method="POST") as load:
            await load.more(200)
            killed = time.monotonic()
            b.kill()
            await load.more(300)
            failed = [answer for answer in load.answers if answer[1] != 200]
            assert len(failed) <= 16
            assert all(status == 502 and began < killed + 0.5 for began, status, _ in failed)
            load._is_ending = True
            await asyncio.gather(*load._tasks)
            async with RawClient(running.address()) as client:
                received: Counter[str] = Counter()
                for _ in range(2):
                    client.send(b"GET /posts HTTP/1.1\r\nHost: a\r\n\r\n")
                    [answer] = await client.answers("GET")
                    received.update(json.loads(answer.body))
    assert received
    assert max(received.values()) == 1


async def test_f24_when_all_are_down_the_answer_is_503_within_50_ms_and_says_when_to_come_again() -> None:
    with SmallOrigin("a") as a, SmallOrigin("b") as b:
        async with product(gateway([a.address, b.address], eject_s=5.0)) as running:
            async with RawClient(running.address()) as client:
                a.kill()
                b.kill()
                took = []
                for _ in range(10):
                    began = time.monotonic()
                    client.send(GET)
                    [answer] = await client.answers("GET")
                    took.append((answer.status, time.monotonic() - began))
                last = answer
            assert [status for status, _ in took[:1]] == [502]
            assert [status for status, _ in took[6:]] == [503] * 4
            assert min(seconds for _, seconds in took[6:]) < 0.05
            assert dict(last.fields).get(b"retry-after", dict(last.fields).get("Retry-After")) is not None
            lines = await running.logged(10)
        a.start()
        b.start()
    assert lines[-1]["filter"] == "balance" if "filter" in lines[-1] else "balance" in json.dumps(lines[-1])


async def test_f24_one_that_answers_errors_is_left_out_while_the_others_do_well() -> None:
    with SmallOrigin("a") as a, SmallOrigin("b", status=500) as b, SmallOrigin("c") as c:
        config = gateway([a.address, b.address, c.address], eject_s=30.0)
        async with product(config, tick_s=1.0) as running, Load(running.address(), 8, rate=400) as load:
            await load.more(200)
            later = await load.more(200)
            assert set(names(later)) == {"a", "c"}
            assert 1 <= names(load.answers)["500"] <= 30


async def test_f24_one_that_hangs_gets_less_and_less() -> None:
    """A stopped process accepts connections and says nothing: by least active it gets no more than others have."""
    with SmallOrigin("a") as a, SmallOrigin("b") as b:
        config = gateway([a.address, b.address], balance="least_active")
        async with product(config) as running, Load(running.address(), 12, rate=300) as load:
            await load.more(100)
            a.process.send_signal(signal.SIGSTOP)
            answers = await load.more(100)
            assert names(answers)["b"] >= 99
            a.process.send_signal(signal.SIGCONT)
            await load.more(50)
            assert set(names(load.answers)) == {"a", "b"}


async def test_who_is_full_lets_wait_and_the_line_is_answered_in_its_order() -> None:
    hold: asyncio.Queue[Connection] = asyncio.Queue()

    async def hesitate(connection: Connection) -> None:
        for number in range(1, 10):
            await connection.until(b"\r\n\r\n", number)
            await hold.put(connection)

    async with RawOrigin(hesitate) as origin:
        config = gateway([origin.address], max_active=1, max_waiting=2, queue_timeout_s=10.0)
        async with product(config) as running:
            clients = [RawClient(running.address()) for _ in range(4)]
            for number, client in enumerate(clients):
                await client.__aenter__()
                client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
                if number == 0:
                    connection = await asyncio.wait_for(hold.get(), 5)
                elif number < 3:
                    await running.when(lambda number=number: running.counters["exchanges"] == number + 1)
            [refused] = await clients[3].answers("GET")
            assert refused.status == 503
            for client in clients[:3]:
                await connection.send(OK)
                [answer] = await client.answers("GET")
                assert answer.status == 200
                if client is not clients[2]:
                    connection = await asyncio.wait_for(hold.get(), 5)
            for client in clients:
                await client.__aexit__(None, None, None)
    paths = [request.target for request in origin.requests()]
    assert paths == ["/0", "/1", "/2"]


async def test_the_same_comes_to_the_same_server_and_to_another_one_only_when_that_is_gone() -> None:
    with SmallOrigin("a") as a, SmallOrigin("b") as b, SmallOrigin("c") as c:
        config = gateway([a.address, b.address, c.address], balance="hash", hash_on="field:X-User")
        async with product(config) as running, RawClient(running.address()) as client:

            async def asks() -> dict[int, str]:
                found = {}
                for user in range(40):
                    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-User: %d\r\n\r\n" % user)
                    [answer] = await client.answers("GET")
                    found[user] = answer.body.decode()
                return found

            before = await asks()
            assert set(before.values()) == {"a", "b", "c"}
            assert await asks() == before
            a.kill()
            after = await asks()
            assert {user: name for user, name in after.items() if before[user] != "a"} == {
                user: name for user, name in before.items() if name != "a"
            }
            assert "a" not in after.values()
        a.start()


async def test_weights_are_kept_and_a_cookie_stays_with_its_server(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef\n")
    async with RawOrigin(answering(OK)) as a, RawOrigin(answering(OK)) as b:
        config = gateway([a.address, b.address], server=[{"address": b.address, "weight": 3.0}])
        async with product(config) as running, RawClient(running.address()) as client:
            for _ in range(40):
                client.send(GET)
                await client.answers("GET")
        assert abs(len(b.requests()) - 30) <= 1
    with SmallOrigin("a") as first, SmallOrigin("b") as second:
        config = gateway([first.address, second.address], sticky_cookie="at", sticky_key_file=str(key))
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(GET)
            [answer] = await client.answers("GET")
            cookie = client.received.partition(b"Set-Cookie: ")[2].partition(b";")[0]
            assert cookie.startswith(b"at=")
            stays = {answer.body}
            for _ in range(10):
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % cookie)
                [answer] = await client.answers("GET")
                stays.add(answer.body)
            assert len(stays) == 1
            assert client.received.count(b"Set-Cookie: ") == 1
            (first if stays == {b"a"} else second).kill()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % cookie)
            [answer] = await client.answers("GET")
            assert answer.status == 200
            assert answer.body not in stays
            assert client.received.count(b"Set-Cookie: ") == 2
        (first if stays == {b"a"} else second).start()


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_f24_checks_find_out_that_a_server_is_down_and_up_again_without_any_request(kind: str) -> None:
    check = {"kind": kind, "interval_s": 0.1, "timeout_s": 1.0, "rise": 2, "fall": 2, "path": "/health"}
    with SmallOrigin("a") as a, SmallOrigin("b") as b:
        async with product(gateway([a.address, b.address], check=check), may_log_errors=True) as running:

            async def told(*states: str) -> None:
                async with asyncio.timeout(10):
                    while states != tuple(row["state"] for row in await rows()):  # noqa: ASYNC110
                        await asyncio.sleep(0.02)

            async def rows() -> list[dict[str, Any]]:
                answer = await running.running.ask_a_worker(b"upstreams ", 5.0)
                found: list[dict[str, Any]] = json.loads(answer)
                return found

            await told("up", "up")
            b.kill()
            await told("up", "down")
            assert (await rows())[1]["why"]
            async with RawClient(running.address()) as client:
                for _ in range(4):
                    client.send(GET)
                    [answer] = await client.answers("GET")
                    assert (answer.status, answer.body) == (200, b"a")
            b.start()
            await told("up", "up")
            assert [row["failures"] for row in await rows()] == [0, 0]


async def test_f24_a_check_that_is_answered_with_an_error_or_not_at_all_has_failed() -> None:
    check = {"interval_s": 0.1, "timeout_s": 0.3, "rise": 1, "fall": 1}
    with SmallOrigin("a") as a, SmallOrigin("b", status=500) as b, SmallOrigin("c", delay_s=5.0) as c:
        config = gateway([a.address, b.address, c.address], check=check)
        async with product(config, may_log_errors=True) as running:
            async with asyncio.timeout(10):
                while True:
                    rows = json.loads(await running.running.ask_a_worker(b"upstreams ", 5.0))
                    if [row["state"] for row in rows] == ["up", "down", "down"]:
                        break
                    await asyncio.sleep(0.02)
    assert [row["why"] for row in rows] == [
        "",
        "it answered a check with 500",
        "it did not answer a check within 0.3 s",
    ]


async def test_f24_a_check_is_not_about_how_long_an_answer_is_and_leaves_nothing_open() -> None:
    """Of one that is long, or never ends, only the beginning is read."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    check = {"interval_s": 0.1, "timeout_s": 0.3, "rise": 1, "fall": 1}
    async with (
        RawOrigin(answering(long)) as a,
        RawOrigin(answering(endless)) as b,
        product(gateway([a.address, b.address], check=check), may_log_errors=True) as running,
    ):
        async with asyncio.timeout(10):
            while True:
                rows = json.loads(await running.running.ask_a_worker(b"upstreams ", 5.0))
                if [row["state"] for row in rows] == ["up", "down"] and len(b.connections) > 2:
                    break
                await asyncio.sleep(0.02)
        assert running.counters["upstream_connections"] <= 2


def test_a_server_is_drained_in_all_workers_also_in_those_that_start_later_and_let_in_again(tmp_path: Path) -> None:
    def asked(program: Program, times: int) -> set[str]:
        found = set()
        for _ in range(times):
            with urllib.request.urlopen(program.url, timeout=10) as answer:  # each time on a connection of its own
                found.add(answer.read().decode())
        return found

    with SmallOrigin("a") as a, SmallOrigin("b") as b:
        arguments = ("gateway", a.address, b.address, "--workers", "2")
        with Program(tmp_path, *arguments) as program:
            where = ("--state", str(tmp_path / "state"), "--name", NAME)
            assert asked(program, 12) == {"a", "b"}
            said = interpose("drain", a.address, *where)
            assert (said.returncode, said.stderr) == (0, "")
            assert "no new requests" in said.stdout
            assert asked(program, 8) == {"b"}
            rows = json.loads(interpose("status", "--json", *where).stdout)["upstreams"]
            assert {row["server"]: row["state"] for row in rows} == {
                f"http://{a.address}": "drained",
                f"http://{b.address}": "up",
            }
            assert f"http://{a.address}" in interpose("status", *where).stdout
            worker = program.status()["workers"][0]["pid"]
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: worker not in (pids := serving(program)) and len(pids) == 2, "a new worker")
            assert asked(program, 12) == {"b"}
            wrong = interpose("drain", "127.0.0.1:1", *where)
            assert wrong.returncode == 2
            assert "no server of an upstream" in wrong.stderr
            assert interpose("drain", a.address, "--undo", *where).returncode == 0
            assert asked(program, 12) == {"a", "b"}


def serving(program: Program) -> list[int]:
    """The processes of the workers that serve."""
    return [worker["pid"] for worker in program.status()["workers"] if worker["state"] == "serving"]


def named(name: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode())


async def asked(address: str, times: int = 1) -> Counter[str]:
    """What so many requests were answered, each on a connection of its own."""
    bodies: Counter[str] = Counter()
    for _ in range(times):
        async with RawClient(address) as client:
            client.send(GET)
            [answer] = await client.answers("GET")
            bodies[answer.body.decode() if answer.status == 200 else str(answer.status)] += 1
    return bodies


async def test_servers_of_a_service_are_followed_and_those_of_a_higher_priority_come_first() -> None:
    async with RawOrigin(answering(named("a"))) as a, RawOrigin(answering(named("b"))) as b:
        first, second = (int(one.address.rpartition(":")[2]) for one in (a, b))
        services = [(0, 1, first, "one.internal"), (5, 1, second, "two.internal")]

        def answer(name: str, kind: int) -> Reply:
            if kind == SRV:
                return Reply(services=tuple(services), ttl=1)
            return Reply(("127.0.0.1",))

        async with NameServer(answer) as names:
            tables = {
                "dns": {"servers": [names.address]},
                "listener": [{"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}],
                "upstream": [{"name": "app", "srv": ["_http._tcp.app.internal"]}],
            }
            async with product(config_of(tables, name="gateway")) as running:
                assert await asked(running.address(), 4) == {"a": 4}
                del services[0]
                async with asyncio.timeout(10):
                    while await asked(running.address()) != {"b": 1}:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)


async def test_a_name_with_several_addresses_is_as_many_servers() -> None:
    hosts = ["127.0.0.2", "127.0.0.3"]
    async with RawOrigin(answering(named("a")), host=hosts[0]) as a:
        port = int(a.address.rpartition(":")[2])
        async with (
            RawOrigin(answering(named("b")), host=hosts[1], port=port),
            NameServer(lambda name, kind: Reply(tuple(hosts))) as names,
        ):
            tables = {
                "dns": {"servers": [names.address]},
                "listener": [{"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}],
                "upstream": [{"name": "app", "servers": [f"app.internal:{port}"], "resolve": "each"}],
            }
            async with product(config_of(tables, name="gateway")) as running:
                async with asyncio.timeout(10):
                    while len(await asked(running.address(), 4)) < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                assert await asked(running.address(), 4) == {"a": 2, "b": 2}


async def test_a_backup_serves_while_nobody_else_can_and_a_mirror_gets_copies() -> None:
    async with RawOrigin(answering(named("backup"))) as backup, RawOrigin(answering(named("shadow"))) as shadow:
        main = RawOrigin(answering(named("main")))
        async with main:
            upstream = [
                {"name": "app", "servers": [main.address], "backup": "spare", "mirror": "next", "eject_failures": 1},
                {"name": "spare", "servers": [backup.address]},
                {"name": "next", "servers": [shadow.address]},
            ]
            listener = {"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}
            running = product(config_of({"listener": [listener], "upstream": upstream}, name="gateway"))
            started = await running.__aenter__()
            assert await asked(started.address()) == {"main": 1}
            await shadow.connected()
            await shadow.connections[0].until(b"Interpose-Mirrored: 1\r\n")
        try:
            assert await asked(started.address(), 5) == {"backup": 5}
        finally:
            await running.__aexit__(None, None, None)

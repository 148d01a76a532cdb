"""The supervisor and its workers as processes: who dies is replaced, who changes over does, nothing is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.instance import FAKE, Client, Instance, Load, kill, started


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("i")


async def test_an_instance_says_where_it_listens_serves_and_ends(place: Path) -> None:
    listeners = [
        {"name": "web", "role": "gateway", "address": "127.0.0.1:0"},
        {"name": "out", "role": "proxy", "address": "127.0.0.1:0", "scheme": "https"},
        {"name": "local", "role": "gateway", "address": f"unix:{place}/web.sock"},
    ]
    async with Instance(place, {"listeners": listeners}) as instance:
        await instance.says('"ready"', times=3)
        web, out, local = instance.ready_lines
        assert web == {
            "event": "ready",
            "role": "gateway",
            "name": "web",
            "address": web["address"],
            "url": f"http://{web['address']}",
        }
        assert out["url"].startswith("https://127.0.0.1:")
        assert local["address"] == local["url"] == f"unix:{place}/web.sock"
        assert (await Client(instance.port).get_anew()).startswith("one ")
        reader, writer = await asyncio.open_unix_connection(f"{place}/web.sock")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
        assert await instance.ask("GET", "/v1/ready") == (200, {"ready": True})
        state = instance.control.parent
        assert [os.stat(path).st_mode & 0o777 for path in (state, instance.control)] == [0o700, 0o600]
        instance.process.terminate()
        assert await instance.process.wait() == 0
        assert os.listdir(state) == ["lock"]
        assert "web.sock" not in os.listdir(place)


async def test_f4_a_worker_killed_under_load_costs_only_what_it_was_doing(place: Path) -> None:
    async with Instance(place, {"workers": 2}) as instance, Load(instance.port, clients=8) as load:
        for _ in range(3):
            await load.more(200)
            victim = (await instance.pids())[0]
            kill(victim, signal.SIGKILL)
            status = await instance.until(lambda status: len(serving(status)) == 2 and victim not in pids(status))  # noqa: B023
        await load.more(200)
        assert [failure for failure in load.failures if "refused" in failure.lower()] == []
        assert len(load.failures) <= 3 * 8
        assert load.slowest_s < 2.0
        assert status["restarts"] == 3


async def test_f4_the_only_worker_killed_is_replaced_within_a_second_and_nobody_is_refused(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance:
        (victim,) = await instance.pids()
        kill(victim, signal.SIGKILL)
        began = time.monotonic()
        assert await Client(instance.port).get_anew() != f"one 0 {victim}"
        assert time.monotonic() - began < 1.5
        await instance.until(lambda status: status["ready"])


async def test_f4_workers_that_keep_dying_are_restarted_more_slowly_and_clients_told_at_once(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance:
        instance.write(config={"die_at_start": True})
        assert await instance.ask("POST", "/v1/reload") == (200, {"generation": 2, "errors": []})
        kill((await instance.pids())[0], signal.SIGKILL)
        await instance.says("it is restarted in 2 s")
        assert [line.rpartition("restarted in ")[2] for line in instance.lines if "restarted in" in line] == [
            "1 s",
            "2 s",
        ]
        assert await instance.ask("GET", "/v1/ready") == (503, {"ready": False})
        assert [worker["state"] for worker in (await instance.status())["workers"]] == ["dead"]
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert time.monotonic() - began < 2.0
        writer.close()
        instance.write(config={"text": "well again"})
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: status["ready"])
        assert (await Client(instance.port).get_anew()).startswith("well again 0 ")


async def test_f5_workers_of_a_killed_supervisor_finish_and_end_and_the_next_one_starts_at_once(place: Path) -> None:
    async with Instance(place, {"config": {"slow_s": 0.7}}) as first:
        port = first.port
        (waiting,) = await started(Client(port))
        first.process.kill()
        await first.process.wait()
        listeners = [{"name": "web", "role": "gateway", "address": f"127.0.0.1:{port}"}]
        async with Instance(place, {"listeners": listeners, "config": {"text": "next"}}) as second:
            assert second.port == port
            assert (await Client(port).get_anew()).startswith("next ")
            assert (await waiting).startswith("one ")


async def test_f15_a_reload_that_fails_anywhere_leaves_everything_as_it_was(place: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        async with Instance(place, {}) as instance, Load(instance.port) as load:
            before = await instance.status()
            web = instance.plan["listeners"]
            also = [*web, {"name": "also", "role": "gateway", "address": f"127.0.0.1:{taken}"}]
            bad: list[tuple[dict[str, Any], str]] = [
                ({"config": {"prepare_error": "this cannot be\nnor can that"}}, "this cannot be"),
                ({"config": {"text": 7}}, "Expected `str`, got `int`"),
                ({"listeners": also}, "is in use already"),
                ({"name": "other"}, "process.name is 't' while it runs"),
                ({"workers": 4, "config": {"prepare_error": "no"}}, "no"),
                ({"nonsense": 1}, "nonsense"),
            ]
            for changes, why in bad:
                instance.write(**changes)
                status, content = await instance.ask("POST", "/v1/reload")
                assert status == 422
                assert why in content["errors"][0]
                assert content["generation"] == 1
                await load.more(20)
            after = await instance.status()
            assert after["reloads"]["failed"] == len(bad)
            assert pids(after) == pids(before)
            assert after["listeners"] == before["listeners"]
            instance.may_say_traceback = True  # an unknown key of a plan is nothing that configurations can cause
        assert load.failures == []
        assert {answer.split(" ")[0] for answer in load.answers} == {"one"}


async def test_f16_a_reload_under_load_fails_no_request(place: Path) -> None:
    async with Instance(place, {}) as instance, Load(instance.port) as load:
        web = instance.plan["listeners"]
        before = await instance.pids()
        for number in range(2, 8):
            also = {"name": "also", "role": "gateway", "address": "127.0.0.1:0"}
            instance.write(config={"text": f"text-{number}"}, listeners=[*web, also] if number % 2 else web)
            assert await instance.ask("POST", "/v1/reload") == (200, {"generation": number, "errors": []})
            assert (await Client(instance.port).get_anew()).startswith(f"text-{number} ")
            assert len((await instance.status())["listeners"]) == 1 + number % 2
            await load.more(50)
        assert await instance.pids() == before
        assert load.failures == []


async def test_f16_workers_come_and_go_under_load_without_a_failed_request(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance, Load(instance.port) as load:
        for workers in (3, 1, 2):
            instance.write(workers=workers)
            assert (await instance.ask("POST", "/v1/reload"))[0] == 200
            await instance.until(lambda status: len(serving(status)) == len(status["workers"]) == workers)  # noqa: B023
            await load.more(100)
        assert load.failures == []
        assert load.slowest_s < 2.0


async def test_f17_reloads_that_pile_up_are_made_one_and_workers_stay(place: Path) -> None:
    async with Instance(place, {}) as instance, Load(instance.port, clients=2) as load:
        before = await instance.pids()
        instance.write(config={"text": "last"})
        answers = await asyncio.gather(*(instance.ask("POST", "/v1/reload") for _ in range(50)))
        for _ in range(50):
            instance.process.send_signal(signal.SIGHUP)
        assert {status for status, _ in answers} == {200}
        assert max(content["generation"] for _, content in answers) < 30
        assert await instance.pids() == before
        assert (await Client(instance.port).get_anew()).startswith("last ")
        await load.more(20)
        assert load.failures == []


async def test_f18_sigterm_lets_running_exchanges_finish_and_refuses_new_ones(place: Path) -> None:
    async with Instance(place, {"config": {"slow_s": 1.0}}) as instance:
        waiting = await started(*(Client(instance.port) for _ in range(100)))
        instance.process.terminate()
        answers = await asyncio.gather(*waiting)
        assert all(answer.startswith("one ") for answer in answers)
        assert await instance.process.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            await Client(instance.port).get()


async def test_f18_before_a_drain_new_connections_are_still_served_though_readiness_says_no(place: Path) -> None:
    async with Instance(place, {"pre_drain_s": 1.0}) as instance:
        assert await instance.ask("POST", "/v1/drain") == (202, {"draining": True})
        assert await instance.ask("GET", "/v1/ready") == (503, {"ready": False})
        assert (await Client(instance.port).get_anew()).startswith("one ")
        assert await instance.process.wait() == 0


async def test_f18_the_grace_is_the_limit(place: Path) -> None:
    async with Instance(place, {"grace_s": 0.3, "config": {"slow_s": 30.0}}) as instance:
        (waiting,) = await started(Client(instance.port))
        began = time.monotonic()
        instance.process.terminate()
        with pytest.raises((ConnectionError, EOFError)):
            await waiting
        assert await instance.process.wait() == 0
        assert time.monotonic() - began < 1.3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_f18_a_second_signal_is_immediate(place: Path, number: signal.Signals) -> None:
    async with Instance(place, {"grace_s": 60, "config": {"slow_s": 30.0}}) as instance:
        (waiting,) = await started(Client(instance.port))
        instance.process.send_signal(number)
        await instance.until(lambda status: status["state"] == "draining")
        began = time.monotonic()
        instance.process.send_signal(number)
        assert await instance.process.wait() == 0
        assert time.monotonic() - began < 1.0
        with pytest.raises((ConnectionError, EOFError)):
            await waiting


async def test_f21_a_worker_that_stands_still_gets_help_then_a_successor(place: Path) -> None:
    plan = {"workers": 2, "max_lag_s": 3.0, "config": {"slow_s": 30.0}}
    async with Instance(place, plan) as instance:
        before = await instance.pids()
        (blocked,) = await started(Client(instance.port), path="/block")
        async with Load(instance.port, clients=4, keep=False) as load:
            with pytest.raises((ConnectionError, EOFError)):
                await blocked
            assert load.slowest_s < 2.0
            assert len(load.failures) <= 4
            status = await instance.until(lambda status: len(serving(status)) == 2 and pids(status) != before)
        assert len(set(before) & set(pids(status))) == 1
        assert "stood still for 3 s and is ended" in instance.said
        assert "time.sleep(self.runtime.behaviour.slow_s)" in instance.said


async def test_f21_a_stopped_worker_is_replaced(place: Path) -> None:
    async with Instance(place, {"workers": 1, "max_lag_s": 2.0}) as instance:
        (stopped,) = await instance.pids()
        kill(stopped, signal.SIGSTOP)
        status = await instance.until(lambda status: pids(status) and pids(status) != [stopped])
        assert status["restarts"] == 1


async def test_f22_a_worker_above_its_memory_limit_is_replaced_without_a_failed_request(place: Path) -> None:
    async with Instance(place, {"workers": 2}) as instance, Load(instance.port) as load:
        before = await instance.pids()
        instance.write(memory_limit_bytes=1 << 20)
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.says("is replaced: its memory is above the limit", times=2)
        instance.write(memory_limit_bytes=0)
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: len(serving(status)) == 2 and not set(before) & set(pids(status)))
        await load.more(50)
        assert load.failures == []


async def test_a_worker_that_is_sent_sigterm_is_replaced_first(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance, Load(instance.port) as load:
        (before,) = await instance.pids()
        kill(before, signal.SIGTERM)
        await instance.until(lambda status: pids(status) and before not in pids(status))
        await load.more(50)
        assert load.failures == []


async def test_f16_an_idle_connection_outlives_the_change_of_workers_and_ends_with_its_next_answer(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance:
        (before,) = await instance.pids()
        client = Client(instance.port)
        assert await client.get() == f"one 0 {before}"
        kill(before, signal.SIGTERM)
        await instance.until(lambda status: pids(status) and before not in pids(status))
        assert await client.get() == f"one 0 {before}"
        assert client.connections == 1
        assert await client.get() != f"one 0 {before}"
        assert client.connections == 2
        client.close()


async def test_a_worker_that_cannot_commit_is_replaced_by_one_with_the_new_configuration(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance:
        instance.may_say_traceback = True
        (before,) = await instance.pids()
        instance.write(config={"text": "new", "commit_dies": True})
        assert (await instance.ask("POST", "/v1/reload"))[0] == 200
        await instance.until(lambda status: status["ready"] and pids(status) != [before])
        assert (await Client(instance.port).get_anew()).startswith("new ")


async def test_f16_a_listener_can_be_widened_while_it_runs(place: Path) -> None:
    async with Instance(place, {}) as instance:
        port = instance.port
        for address in (f"0.0.0.0:{port}", f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
            instance.write(listeners=[{"name": "web", "role": "gateway", "address": address}])
            status, content = await instance.ask("POST", "/v1/reload")
            assert (status, content["errors"]) == (200, [])
            assert (await instance.status())["listeners"][0]["address"] == address
            assert (await Client(port).get_anew()).startswith("one ")


async def test_a_command_whose_terminal_is_closed_ends(place: Path) -> None:
    ours, theirs = os.openpty()
    instance = Instance(place, {"interactive": True})
    instance.write()
    process = await asyncio.create_subprocess_exec(*instance.command(), stderr=theirs)
    os.close(theirs)
    said = b""
    while b'"ready"' not in said:
        said += await asyncio.to_thread(os.read, ours, 4096)
    process.send_signal(signal.SIGHUP)
    while b"generation 2" not in said:
        said += await asyncio.to_thread(os.read, ours, 4096)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert await process.wait() == 0


async def test_an_instance_that_is_ended_before_it_is_ready_ends(place: Path) -> None:
    async with Instance(place, {"config": {"start_s": 30.0}}, wait=False) as instance:
        await instance.has_a_control_socket()
        instance.process.terminate()
        assert await instance.process.wait() == 0
        assert instance.ready_lines == []


async def test_sigusr1_reaches_every_worker(place: Path) -> None:
    async with Instance(place, {}) as instance:
        instance.process.send_signal(signal.SIGUSR1)
        seen: set[str] = set()
        async with asyncio.timeout(10):
            while len(seen) < 2:
                text, number, _ = (await Client(instance.port).get_anew()).rsplit(" ", 2)
                if text == "one reopened":
                    seen.add(number)


async def test_signals_of_a_terminal_do_not_end_workers(place: Path) -> None:
    async with Instance(place, {}) as instance:
        before = await instance.pids()
        for pid in before:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                kill(pid, number)
        assert (await Client(instance.port).get_anew()).startswith("one ")
        assert await instance.pids() == before


async def test_counters_survive_the_worker_that_counted(place: Path) -> None:
    async with Instance(place, {"workers": 1}) as instance:
        client = Client(instance.port)
        for _ in range(10):
            await client.get()
        await instance.until(lambda status: status["counters"].get("requests_total") == 10)
        (pid,) = await instance.pids()
        kill(pid, signal.SIGKILL)
        status = await instance.until(lambda status: status["ready"] and pids(status) != [pid])
        assert status["counters"]["requests_total"] == 10
        client.close()


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"config": {"start_error": "The certificate is no certificate."}}, 1, "The certificate is no certificate."),
        ({"config": {"die_at_start": True}}, 1, "A worker ended with status 7 before it served."),
        ({"name": "a/b"}, 1, "'a/b' cannot be the name of an instance"),
        ({"listeners": [{"name": "web", "role": "gateway", "address": "192.0.2.1:80"}]}, 2, "is not an address of th"),
    ],
)
async def test_what_keeps_an_instance_from_starting_is_said_and_it_ends(
    place: Path, changes: dict[str, Any], status: int, sentence: str
) -> None:
    async with Instance(place, changes, wait=False) as instance:
        assert await instance.process.wait() == status
        await instance.says(sentence)


async def test_a_second_instance_of_the_same_name_is_told_so(place: Path) -> None:
    async with Instance(place, {}) as first, Instance(place, {}, wait=False) as second:
        assert await second.process.wait() == 1
        await second.says(f"An instance named 't' is already running as process {first.process.pid}")
        assert (await Client(first.port).get_anew()).startswith("one ")


@pytest.mark.parametrize("arguments", [[], ["x"], ["99"], ["0", "1"]])
def test_a_worker_started_by_hand_says_what_it_is_for(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(FAKE), "worker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "This is started by `interpose` for each worker, not by hand; see `interpose run`.\n"


def serving(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [worker for worker in status["workers"] if worker["state"] == "serving"]


def pids(status: dict[str, Any]) -> list[int]:
    return [worker["pid"] for worker in serving(status)]

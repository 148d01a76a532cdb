"""Targets of the log that are slow, full, moved away or gone: traffic does not notice (THREATS F27, F6)."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.product import product, settings
from tests.support.program import INTERPOSE, Program, is_alive, wait_until
from tests.support.raw_client import RawClient

from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: %b\r\n\r\n" % (b"u" * 8000)
FIXED = {"listener": [{"role": "gateway", "address": LOCAL[0]}], "route": [{"answer": {"text": "hello"}}]}


def asked(port: int, count: int, request: bytes = GET) -> float:
    """The longest of so many requests, in seconds; all must be answered."""
    slowest_s = 0.0
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(5)
        file = client.makefile("rb")
        for _ in range(count):
            began = time.monotonic()
            client.sendall(request)
            length = 0
            while (line := file.readline()) != b"\r\n":
                assert line, "the connection ended"
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            file.read(length)
            slowest_s = max(slowest_s, time.monotonic() - began)
    return slowest_s


async def test_f27_a_pipe_whose_reader_sleeps_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    config = settings(config_of(FIXED, name="t"), log={"access": str(tmp_path / "log")})
    loop = asyncio.get_running_loop()
    async with product(config, log=False) as running:
        async with RawClient(running.address()) as client:
            slowest_s = 0.0
            for _ in range(700):  # more than the pipe and the queue before it hold
                began = loop.time()
                client.send(LONG)
                [answer] = await client.answers("GET")
                assert answer.status == 200
                slowest_s = max(slowest_s, loop.time() - began)
            await running.when(lambda: running.counters["log_lines_dropped_total"] > 0)
            assert slowest_s < 0.2
        began = loop.time()
        await running.running._runtime.stop()
        assert loop.time() - began < 0.5
        os.close(reader)  # what the thread that writes waits for


async def test_f27_a_reload_does_not_wait_for_a_log_that_is_stuck(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    config = settings(config_of(FIXED, name="t"), log={"access": str(tmp_path / "log")})
    loop = asyncio.get_running_loop()
    async with product(config, log=False) as running, RawClient(running.address()) as client:
        for _ in range(20):
            client.send(LONG)
            await client.answers("GET")
        await asyncio.sleep(0.3)  # until the lines are on their way into the pipe
        began = loop.time()
        await running.running.reload(settings(config, log={"access": str(tmp_path / "new")}))
        assert loop.time() - began < 0.3
        client.send(GET)
        await client.answers("GET")
        await running.when(lambda: (tmp_path / "new").read_bytes().count(b"\n") == 1)
        os.close(reader)


async def test_f6_f27_a_full_disk_costs_lines_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    config = settings(config_of(FIXED, name="t"), log={"access": "/dev/full"})
    async with product(config, log=False) as running, RawClient(running.address()) as client:
        for number in range(3):
            for _ in range(10):
                client.send(GET)
                [answer] = await client.answers("GET")
                assert answer.status == 200
            await running.when(lambda: running.counters["log_lines_dropped_total"] == (number + 1) * 10)  # noqa: B023
        said = [record.getMessage() for record in running.records]
    assert said == ["cannot write to '/dev/full': No space left on device; 10 lines lost so far"]


def test_f6_f27_a_log_at_its_limit_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))

    with Program(tmp_path, "gateway", "127.0.0.1:1", preexec_fn=small_files) as program:
        asked(program.port, 20, LONG)
        wait_until(lambda: program.status()["counters"]["log_lines_dropped_total"] > 0, "lines are lost")
        [worker] = program.status()["workers"]
        resource.prlimit(worker["pid"], resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        asked(program.port, 3)
        wait_until(lambda: program.log_file.stat().st_size > 65536, "the log goes on")
        *_, last = program.log_file.read_text().splitlines()
        assert json.loads(last)["status"] == 502
        assert program.status()["restarts"] == 0


@pytest.mark.parametrize("tell", [True, False], ids=["told by SIGUSR1", "by its own look"])
def test_f27_a_log_that_was_moved_away_is_begun_anew_and_no_line_is_lost(tmp_path: Path, tell: bool) -> None:
    with Program(tmp_path, "gateway", "127.0.0.1:1") as program:
        asked(program.port, 10)
        program.log(10)
        old = program.log_file.rename(tmp_path / "old.log")
        if tell:
            program.process.send_signal(signal.SIGUSR1)
        else:
            time.sleep(1.1)  # it looks once a second, when it writes
        asked(program.port, 10)
        program.log(1)
        wait_until(lambda: lines(old) + lines(program.log_file) == 20, "all lines are written")
        assert lines(old) in (range(10, 20) if tell else (10,))  # a signal is on its way for a moment


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def test_f27_messages_that_nobody_reads_stop_nothing(tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(
        "import interpose\n\n@interpose.filter\nasync def noisy(exchange, request, forward):\n"
        "    raise RuntimeError('x' * 250)\n"
    )
    command = [INTERPOSE, "gateway", "127.0.0.1:1", "--no-console", "--script", str(script), "--listen", LOCAL[0]]
    command += ["--name", "quiet", "--state", str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert asked(port, 2000) < 0.5  # several times what both pipes hold
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3.0
        wait_until(lambda: not any(is_alive(int(child)) for child in children), "its worker ends", 5)
        assert "Traceback" not in process.stderr.read()

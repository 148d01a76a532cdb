"""The program as people meet it: what they type, what it prints, its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERPOSE = str(Path(sys.executable).with_name("interpose"))
DEADLINE_S = 30.0


class Said(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """An environment with a state directory of its own, and nothing of the tester's that changes output or proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "INTERPOSE_STATE": str(tmp_path / "state"), "COLUMNS": "100", "NO_COLOR": "1"}


async def interpose(*arguments: str, env: dict[str, str], cwd: Path | None = None) -> Said:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        INTERPOSE, *arguments, env=env, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


class Started:
    """A command that goes on: its process, and what it has said on standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line_with(self, pattern: str) -> re.Match[str]:
        """The first line from now on that the pattern is found in."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"ended without {pattern!r}: {''.join(self.lines)}")

    async def ends(self) -> int:
        """Its exit status; everything it said is in `lines` then."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            self.lines.append((await self.process.stderr.read()).decode())
            return await self.process.wait()


@asynccontextmanager
async def started(*arguments: str, env: dict[str, str], cwd: Path | None = None) -> AsyncIterator[Started]:
    """A command that goes on, ended on leaving; it must not have said anything like a traceback."""
    process = await asyncio.create_subprocess_exec(
        INTERPOSE, *arguments, env=env, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=-3, stderr=-1
    )
    running = Started(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
            await running.ends()
    assert "Traceback" not in "".join(running.lines)


@asynccontextmanager
async def origin() -> AsyncIterator[str]:
    """A server on loopback that answers every request with the path that was asked for."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"asked for " + head.split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def fetch(address: str, target: str, host: str) -> bytes:
    """What is answered to a GET on a new connection."""
    name, _, port = address.rpartition(":")
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    return answer


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("proxy --listen :99999", "--listen \":99999\": '99999' in ':99999' is not a port; write a number from 0 "
         "(any free port) to 65535"),
        ("proxy --listen nowhere", "--listen \"nowhere\": 'nowhere' has no port; write host:port, :port, [v6]:port or "
         "unix:path"),
        ("proxy --listen 0.0.0.0:8080", '--listen "0.0.0.0:8080": would let everybody who can reach this machine use '
         "it to reach others; say who may with --allow-from (networks) or --auth (a file of users), or listen on "
         "127.0.0.1"),
        ("proxy --lisen :0", "no such option: --lisen"),
        ("proxy --capture x", "no such option: --capture"),
        ("proxy extra", "got unexpected extra argument"),
        ("proxy --workers many", "invalid value for '--workers': "),
        ("proxy --listen", "option '--listen' requires an argument."),
        ("proxy --script /none.py", '--script "/none.py": there is no file /none.py'),
        ("proxy --tls-key /dev/null", "--tls-certificate: is missing; give the path of a file"),
        ("gateway", "missing argument 'UPSTREAM'."),
        ("gateway http://127.0.0.1:1/path", 'UPSTREAM "http://127.0.0.1:1/path": must be a server without a path'),
        ("run /none.toml", "/none.toml: there is no such file"),
        ("run /", "/: is a directory; name a file in it"),
        ("check /none.toml", "/none.toml: there is no such file"),
        ("exec", "missing argument 'COMMAND'."),
        ("exec --log /none/x.log true", '--log "/none/x.log": there is no directory /none; make it first'),
        ("rewrite", "no such command 'rewrite'."),
        ("status --nme x", "no such option: --nme"),
    ],
)  # fmt: skip
async def test_a19_bad_usage_ends_with_status_2_and_one_sentence(
    arguments: str, sentence: str, state: dict[str, str]
) -> None:
    said = await interpose(*arguments.split(), env=state)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"interpose: {sentence}")
    assert said.err.count("\n") == 1


async def test_f15_every_error_of_a_file_is_printed(state: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "interpose.toml").write_text('[log]\nformat = "xml"\n[[listener]]\nrole = "proxy"\naddress = ":x"\n')
    for command in ("run", "check"):
        said = await interpose(command, env=state, cwd=tmp_path)
        assert said.status == 2
        assert said.err.splitlines() == [
            "interpose: 2 problems:",
            'interpose: interpose.toml:2: log.format = "xml": must be "combined" or "json"',
            "interpose: interpose.toml:5: listener[1].address = \":x\": 'x' in ':x' is not a port; write a number from "
            "0 (any free port) to 65535",
        ]


async def test_the_version_is_printed(state: dict[str, str]) -> None:
    said = await interpose("--version", env=state)
    assert said == Said(0, "interpose 0.1.0\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["proxy", "--help"], ["exec", "-h"], ["status", "--help"]])
async def test_help_is_printed(arguments: list[str], state: dict[str, str]) -> None:
    said = await interpose(*arguments, env=state)
    assert (said.status, said.err) == (0, "")
    assert "Usage: interpose" in said.out


@pytest.mark.parametrize(
    ("words", "offered"), [("interpose g", ["gateway", "get"]), ("interpose proxy --log", ["--log", "--log-format"])]
)
async def test_a_shell_completes_commands_and_options(words: str, offered: list[str], state: dict[str, str]) -> None:
    completing = {
        "_INTERPOSE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    said = await interpose(env={**state, **completing})
    assert said.out.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_the_script_that_makes_a_shell_complete_is_printed(shell: str, state: dict[str, str]) -> None:
    said = await interpose(env={**state, "_INTERPOSE_COMPLETE": f"source_{shell}"})
    assert said.status == 0
    assert "_INTERPOSE_COMPLETE=complete_" in said.out


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
async def test_an_example_is_checked_and_its_filters_are_printed_in_order(example: Path, state: dict[str, str]) -> None:
    if "[interception]" in example.read_text():  # noqa: ASYNC240 - a test waits for nobody
        assert (await interpose("ca", "init", env=state)).status == 0
    said = await interpose("check", str(example), env=state)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"{example} is valid.\n")
    phases = ["OBSERVE", "ADMIT", "SHAPE", "INSPECT", "EDIT", "STORE", "SELECT", "end"]
    for route in said.out.split("Phase")[1:]:
        seen = [
            phases.index(word[0]) for line in route.splitlines()[1:] if (word := line.split()) and word[0] in phases
        ]
        assert seen == sorted(seen)
        assert seen[-1] == phases.index("end")


async def test_a_reader_that_leaves_early_is_no_error(state: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(INTERPOSE, "check", "--schema", env=state, stdout=write, stderr=-1)
    os.close(write)
    async with asyncio.timeout(DEADLINE_S):
        _, err = await process.communicate()
    assert err == b""


async def test_a_port_in_use_is_told_in_one_sentence(state: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await interpose("proxy", "--listen", f":{port}", env=state)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert str(port) in said.err


async def test_commands_for_an_instance_say_when_there_is_none(state: dict[str, str]) -> None:
    for command in ("status", "reload", "drain"):
        said = await interpose(command, env=state)
        assert said.status == 1
        assert said.err == f"interpose: no instance is running, going by {state['INTERPOSE_STATE']}; see --state.\n"


async def test_a_proxy_runs_is_asked_for_its_status_and_drains(state: dict[str, str]) -> None:
    async with origin() as server, started("proxy", "--listen", ":0", env=state) as proxy:
        ready = await proxy.line_with(r"^interpose: proxy listening on http://(127\.0\.0\.1:[0-9]+)$")
        answer = await fetch(ready[1], f"http://{server}/some/page", server)
        assert answer.endswith(b"asked for /some/page")

        said = await interpose("status", env=state)
        assert (said.status, said.err) == (0, "")
        assert f"http://{ready[1]}" in said.out
        status = json.loads((await interpose("status", "--json", "--name", "proxy", env=state)).out)
        assert status["name"] == "proxy"
        assert [worker["state"] for worker in status["workers"]] == ["serving"]

        said = await interpose("status", "--name", "other", env=state)
        assert (said.status, said.err) == (1, "interpose: no instance named 'other' is running; running: proxy.\n")

        said = await interpose("drain", env=state)
        assert said == Said(0, "Draining: it accepts no more, finishes what it has begun, and ends.\n", "")
        assert await proxy.ends() == 0


async def test_a_gateway_runs_with_ready_lines_in_json(state: dict[str, str]) -> None:
    arguments = ("--listen", ":0", "--log-format", "json", "--name", "front", "--log", "off")
    async with origin() as server, started("gateway", server, *arguments, env=state) as gateway:
        ready = json.loads((await gateway.line_with('"ready"')).string)
        assert (ready["event"], ready["role"], ready["name"]) == ("ready", "gateway", "gateway")
        answer = await fetch(ready["address"], "/page", "front.example")
        assert answer.endswith(b"asked for /page")
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.ends() == 0


async def test_f15_a_bad_file_is_refused_by_reload_and_a_good_one_is_taken(
    state: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "site.toml"
    good = '[[listener]]\naddress = ":0"\nrole = "gateway"\n[[route]]\nanswer = { text = "first" }\n'
    file.write_text(good)
    async with started("run", str(file), env=state) as running:
        ready = await running.line_with(r"gateway listening on http://(\S+)")
        assert (await fetch(ready[1], "/", "a.example")).endswith(b"first")

        file.write_text(good.replace("gateway", "gatway") + "colour = 1\n")
        said = await interpose("reload", env=state)
        assert said.status == 2
        role, colour = said.err.splitlines()
        assert role == (
            f'interpose: site: {file}:3: listener[1].role = "gatway": must be one of "auto", "echo", '
            '"gateway", "proxy", "relay", "sink", "socks", "spool", "upper"; did you mean "gateway"?'
        )
        assert colour.startswith(
            f"interpose: site: {file}:6: route[1].colour = 1: is not known here; known are name, listeners, hosts, "
        )
        assert (await fetch(ready[1], "/", "a.example")).endswith(b"first")
        assert "The last reload failed; the old configuration goes on." in (await interpose("status", env=state)).out

        file.write_text(good.replace("first", "second"))
        said = await interpose("reload", env=state)
        assert said == Said(0, "Reloaded: generation 2 runs.\n", "")
        assert (await fetch(ready[1], "/", "a.example")).endswith(b"second")


async def test_of_several_instances_one_has_to_be_named(state: dict[str, str]) -> None:
    async with (
        started("proxy", "--listen", ":0", "--name", "one", env=state) as one,
        started("proxy", "--listen", ":0", "--name", "two", env=state) as two,
    ):
        await one.line_with("listening")
        await two.line_with("listening")
        said = await interpose("status", env=state)
        assert (said.status, said.err) == (
            2,
            "interpose: several instances are running; choose one with --name: one, two.\n",
        )
        assert (await interpose("drain", "--name", "two", env=state)).status == 0
        assert await two.ends() == 0
        assert json.loads((await interpose("status", "--json", env=state)).out)["name"] == "one"


async def test_the_same_name_twice_is_told_in_one_sentence(state: dict[str, str]) -> None:
    async with started("proxy", "--listen", ":0", env=state) as first:
        await first.line_with("listening")
        said = await interpose("proxy", "--listen", ":0", env=state)
        assert said.status in (1, 2)
        assert said.err.count("\n") == 1
        assert "'proxy' is already running" in said.err


ASK = """
import os, sys, urllib.request
for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    assert os.environ[name].startswith("http://127.0.0.1:"), name
assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == ""
with urllib.request.urlopen(sys.argv[1]) as answer:
    print(answer.read().decode(), answer.headers["Via"])
"""


async def test_exec_runs_a_command_through_a_proxy_of_its_own(state: dict[str, str]) -> None:
    async with origin() as server:
        said = await interpose("exec", "--", sys.executable, "-c", ASK, f"http://{server}/x", env=state)
    assert said == Said(0, "asked for /x 1.1 interpose\n", "")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -9 $$"], 137),
        (["--", "sh", "-c", "kill -TERM $$"], 143),
    ],
)
async def test_exec_ends_with_the_status_of_its_command(command: list[str], status: int, state: dict[str, str]) -> None:
    assert await interpose("exec", *command, env=state) == Said(status, "", "")


async def test_exec_says_when_there_is_no_such_command(state: dict[str, str], tmp_path: Path) -> None:
    said = await interpose("exec", "no-such-command", env=state)
    assert said == Said(127, "", "interpose: there is no command 'no-such-command'.\n")
    file = tmp_path / "not-a-program"
    file.write_text("#!/no/such/interpreter\n")
    file.chmod(0o755)
    said = await interpose("exec", str(file), env=state)
    assert (said.status, said.err) == (126, f"interpose: {str(file)!r} cannot be run: no such file or directory.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_exec_passes_signals_on_and_leaves_the_answer_to_its_command(
    number: signal.Signals, state: dict[str, str]
) -> None:
    script = "trap 'exit 7' INT TERM; echo waiting >&2; while read line <&3; do :; done; exit 9"
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        INTERPOSE, "exec", "sh", "-c", f"exec 3<&0; {script}", env=state, stdin=read, stderr=-1, start_new_session=True
    )
    os.close(read)
    running = Started(process)
    await running.line_with("waiting")
    process.send_signal(number)
    assert await running.ends() == 7
    os.close(write)


async def test_a_watched_file_is_read_again_when_it_changes(state: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    good = '[[listener]]\naddress = ":0"\nrole = "gateway"\n[[route]]\nanswer = { text = "first" }\n'
    file.write_text(good)
    async with started("run", str(file), "--watch", env=state) as running:
        ready = await running.line_with(r"gateway listening on http://(\S+)")
        file.write_text("colour = 1\n")
        await running.line_with("the reload failed, generation 1 goes on")
        assert (await fetch(ready[1], "/", "a.example")).endswith(b"first")
        file.write_text(good.replace("first", "second"))
        await running.line_with("generation 2 serves")
        assert (await fetch(ready[1], "/", "a.example")).endswith(b"second")

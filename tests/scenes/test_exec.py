"""`interpose exec`: programs that know nothing of Interpose, each with a proxy of its own around it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.nginx import Nginx
from tests.support.program import INTERPOSE, is_alive

DEADLINE_S = 30
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class Origin(NamedTuple):
    url: str
    tls_url: str
    ca_file: str


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    directory = tmp_path_factory.mktemp("exec")
    (directory / "root").mkdir()
    (directory / "root/a.txt").write_text("a text\n")
    authority = CertificateAuthority(directory)
    with Nginx(directory / "nginx", directory / "root", certificate=authority.issue("127.0.0.1")) as nginx:
        yield Origin(f"http://127.0.0.1:{nginx.port}", f"https://127.0.0.1:{nginx.tls_port}", authority.file)


def execute(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INTERPOSE, "exec", *arguments],
        input=stdin, capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def test_curl_goes_through_it_and_the_log_tells(origin: Origin, tmp_path: Path) -> None:
    log = tmp_path / "exec.log"
    done = execute(
        "--log", str(log), "--log-format", "json", "--",
        "curl", "-sS", "--cacert", origin.ca_file, f"{origin.url}/a.txt", f"{origin.tls_url}/a.txt",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "a text\na text\n", "")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["method"], line["target"]) for line in lines] == [
        ("GET", f"{origin.url}/a.txt"),
        ("CONNECT", origin.tls_url.removeprefix("https://")),
    ]


PYTHON = """
import http.client, os, ssl, sys, urllib.parse, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode(), end="")
proxy = urllib.parse.urlsplit(os.environ["https_proxy"])
there = urllib.parse.urlsplit(sys.argv[2])
trust = ssl.create_default_context(cafile=sys.argv[3])
connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=trust)
connection.set_tunnel(there.hostname, there.port)
connection.request("GET", there.path)
print(connection.getresponse().read().decode(), end="")
sys.exit(5)
"""


def test_python_goes_through_it_and_its_status_passes(origin: Origin) -> None:
    done = execute("--", sys.executable, "-c", PYTHON, f"{origin.url}/a.txt", f"{origin.tls_url}/a.txt", origin.ca_file)
    assert (done.returncode, done.stdout, done.stderr) == (5, "a text\na text\n", "")


SCRIPT = """
import interpose

@interpose.filter
async def shout(exchange, request, forward):
    response = await forward(exchange, request)
    response.fields.set("X-Seen-By", "a script")
    return response
"""


def test_a_script_sees_what_the_command_is_answered(origin: Origin, tmp_path: Path) -> None:
    script = tmp_path / "shout.py"
    script.write_text(SCRIPT)
    done = execute("--script", str(script), "--", "curl", "-sSI", f"{origin.url}/a.txt")
    assert done.returncode == 0, done.stderr
    assert "X-Seen-By: a script" in done.stdout


def test_the_command_has_the_standard_streams_to_itself() -> None:
    done = execute("--", "sh", "-c", "cat; echo error >&2; exit 1", stdin="what is typed\n")
    assert (done.returncode, done.stdout, done.stderr) == (1, "what is typed\n", "error\n")


def test_options_behind_the_command_are_the_commands() -> None:
    done = execute("echo", "--log", "x", "--help")
    assert (done.returncode, done.stdout) == (0, "--log x --help\n")


WAITS = """
import os, signal, sys, time
def heard(number, frame):
    os.write(1, b"heard %d\\n" % number)  # print cannot be interrupted by another signal
    if number == signal.SIGTERM:
        sys.exit(9)
signal.signal(signal.SIGINT, heard)
signal.signal(signal.SIGTERM, heard)
print("waiting", os.getpid(), flush=True)
for _ in range(3000):
    time.sleep(0.01)
"""


def test_ctrl_c_on_a_terminal_reaches_the_command_once() -> None:
    command = [INTERPOSE, "exec", "--", sys.executable, "-c", WAITS]
    with subprocess.Popen(
        ["script", "-qec", f"exec {shlex.join(command)}", "/dev/null"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pid = int(line_with("waiting", process.stdout).split()[1])
            for _ in range(2):
                process.stdin.write("\x03")
                process.stdin.flush()
                line_with("heard 2", process.stdout)
            os.kill(pid, signal.SIGTERM)
            assert process.stdout.read().split() == ["heard", "15"]
            assert process.wait(DEADLINE_S) == 9
        finally:
            process.kill()


def line_with(text: str, lines: IO[str]) -> str:
    """The next line, which must have `text`."""
    line = lines.readline()
    assert text in line, line + lines.read()
    return line


def test_the_proxy_ends_with_the_command() -> None:
    done = execute("--", "sh", "-c", 'echo "$http_proxy $PPID"')
    url, _, parent = done.stdout.strip().rpartition(" ")
    assert not is_alive(int(parent))
    refused = subprocess.run(["curl", "-sS", url], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert refused.returncode == 7

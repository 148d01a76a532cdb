"""Whether the unit for systemd lets a whole shop do what it does: system calls, kinds of sockets, memory."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.program import INTERPOSE, NAME, Program, children_of, interpose, wait_until
from tests.support.small_origin import SmallOrigin

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REFUSED_AND_DONE_WITHOUT = {"setpriority": "the journal's thread asks to be less important"}
ONLY_OF_ROOT = {"fchown": "SQLite gives its files to who owns the database; the unit's user is never root"}
LIKE_THE_UNIT = (
    "import ctypes, os, sys\n"
    "assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, 'no PR_SET_MDWE: Linux 6.3 is needed'\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""MemoryDenyWriteExecute=yes."""


def of_unit(key: str) -> list[str]:
    """All words that the unit has for a key, line by line."""
    text = (EXAMPLES / "deploy" / "interpose.service").read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def allowed_calls() -> set[str]:
    """The system calls that the unit's filter lets through: lists of systemd's, one after the other."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    lists: dict[str, set[str]] = {}
    for line in said.splitlines():
        if line.startswith("@"):
            members = lists.setdefault(line.strip(), set())
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            members.add(line.strip())

    def calls(name: str) -> set[str]:
        return {name} if name[0] != "@" else set().union(*map(calls, lists[name]))

    allowed: set[str] = set()
    for line in of_unit("SystemCallFilter"):
        named = set().union(*map(calls, line.lstrip("~").split()))
        allowed = allowed - named if line[0] == "~" else allowed | named
    return allowed


def ask(port: int, authority: Path, target: str) -> int:
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    plain = socket.create_connection(("127.0.0.1", port), 60)
    connection.sock = ssl.create_default_context(cafile=authority).wrap_socket(plain, server_hostname="localhost")
    connection.request("GET", target)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_shop_asks_for_nothing_that_the_unit_refuses(tmp_path: Path) -> None:
    text = re.sub(r"127.0.0.1:(8\d\d\d|9464)\b", "127.0.0.1:0", (EXAMPLES / "shop" / "interpose.toml").read_text())
    assert "memory_bytes = 67_108_864" in text
    text = text.replace("memory_bytes = 67_108_864", f'dir = "{tmp_path}/cache"')
    trace, file = tmp_path / "trace", tmp_path / "shop.toml"
    command = ("strace", "-D", "-f", "-qq", "-o", str(trace), sys.executable, "-c", LIKE_THE_UNIT, INTERPOSE)
    with SmallOrigin("shop") as origin:
        file.write_text(re.sub(r"127.0.0.1:900\d", origin.address, text).replace(f'"{origin.address}", ', "", 1))
        with Program(tmp_path / "run", "run", str(file), command=command, console=True, listeners=4) as program:
            [port] = [int(one["address"].rpartition(":")[2]) for one in program.ready if one["name"] == "shop"]
            authority = program.state / "development" / "authority.pem"
            assert [ask(port, authority, path) for path in ("/", "/", "/cart")] == [200] * 3
            assert ask(port, authority, "/?id=1%27%20union%20select%20name%20from%20users%20--") == 403
            assert interpose("reload", "--state", str(program.state), "--name", NAME).returncode == 0
            before = children_of(program.process.pid)
            worker = next(pid for pid in before if children_of(pid))
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: set(children_of(program.process.pid)) - set(before) != set(), "another worker starts")
            assert ask(port, authority, "/cart") == 200
    seen = trace.read_text(errors="replace")
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", seen, re.MULTILINE))
    assert {"execve", "epoll_ctl", "sendmsg"} <= used
    assert used - allowed_calls() - set(ONLY_OF_ROOT) <= set(REFUSED_AND_DONE_WITHOUT)
    families = set(re.findall(r"\bsocket(?:pair)?\((AF_\w+)", seen))
    assert "AF_INET" in families
    assert families <= set(of_unit("RestrictAddressFamilies")[0].split())
    assert "CLONE_NEW" not in seen

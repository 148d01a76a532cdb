"""`interpose echo` and `interpose upper` as people meet them: nc, socat and Python's sockets against the program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import select
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.program import INTERPOSE, Program, interpose, wait_until

DEADLINE_S = 20.0
LOCAL = ("--listen", "127.0.0.1:0")
CLIENTS = 500
CAPITALS = bytes(byte - 32 if ord("a") <= byte <= ord("z") else byte for byte in range(256))
STUCK_S = 1.0


class Narrated:
    """A running program and the file that has its standard output."""

    def __init__(self, program: Program, output: Path) -> None:
        self.program = program
        self.output = output

    @property
    def port(self) -> int:
        return self.program.port

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def lines(self) -> list[str]:
        """What it told so far, without the time of day."""
        whole, _, _ = self.output.read_bytes().rpartition(b"\n")
        lines = whole.decode().split("\n") if whole else []
        assert all(re.match(r"[0-9]{2}:[0-9]{2}:[0-9]{2}  ", line) for line in lines), lines
        return [line[10:] for line in lines]

    def tells(self, text: str, times: int = 1) -> list[str]:
        """Its lines, as soon as so many have `text`."""
        wait_until(
            lambda: sum(text in line for line in self.lines) >= times, f"{text!r} {times} times told: {self.lines}"
        )
        return self.lines


@contextmanager
def running(directory: Path, *arguments: str, listeners: int = 1) -> Iterator[Narrated]:
    directory.mkdir(exist_ok=True)
    output = directory / "narration"
    with output.open("wb") as file, Program(directory, *arguments, listeners=listeners, stdout=file) as program:
        yield Narrated(program, output)


def connected(address: tuple[str, int] | str) -> socket.socket:
    """A client's socket that gives up at the deadline."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(DEADLINE_S)
    client.connect(address)
    return client


def everything(client: socket.socket) -> bytes:
    """What comes until the server ends its side."""
    received = bytearray()
    while data := client.recv(65536):
        received += data
    return bytes(received)


def asked(client: socket.socket, data: bytes) -> bytes:
    """Send, end our side, and read to the end."""
    with client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return everything(client)


def shell(command: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=DEADLINE_S, check=False, **options)  # type: ignore[call-overload]


# --- what everybody tries first ------------------------------------------------------------------------------------


def test_nc_gets_back_what_it_sends_and_the_server_tells_of_it(tmp_path: Path) -> None:
    with running(tmp_path, "echo", *LOCAL) as echo:
        said = shell(f'echo "Foobar" | nc localhost {echo.port} -q 1')
        assert said.stdout == b"Foobar\n"
        lines = echo.tells("ended after")
    client, _, rest = lines[0].partition("  ")
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]+", client)
    assert rest == f"connected to 127.0.0.1:{echo.port} over IPv4"
    assert lines[1:3] == [f'{client}  sent 7 bytes: "Foobar\\n"', f"{client}  sends no more"]
    assert re.fullmatch(
        re.escape(client) + r"  ended after [0-9]+\.[0-9]{3} s: 7 bytes came, 7 were sent back", lines[3]
    )


def test_nc_gets_capitals(tmp_path: Path) -> None:
    with running(tmp_path, "upper", *LOCAL) as upper:
        said = shell(f"printf 'Foobar 12 &*! gr\\303\\274n \\377' | nc -N 127.0.0.1 {upper.port}")
    assert said.stdout == b"FOOBAR 12 &*! GR\xc3\xbcN \xff"


def test_socat_gets_back_a_file_of_any_length(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(5_000_000)
    (tmp_path / "sent").write_bytes(content)
    with running(tmp_path, "echo", "-q", *LOCAL) as echo:
        said = shell(f"socat -t 10 - TCP:127.0.0.1:{echo.port} < {tmp_path}/sent")
    assert said.returncode == 0, said.stderr
    assert said.stdout == content


# --- streams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_500_clients_at_once_get_every_byte_right(tmp_path: Path, workers: str) -> None:
    async def client(number: int, address: tuple[str, int], all_there: asyncio.Barrier) -> None:
        chance = random.Random(number)
        content = chance.randbytes(chance.randrange(1, 30_000))
        reader, writer = await asyncio.open_connection(*address)
        await all_there.wait()

        async def send() -> None:
            left = content
            while left:
                size = chance.choice((1, 2, 7, 100, 1460, 5000))
                writer.write(left[:size])
                left = left[size:]
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read())
        writer.close()
        await writer.wait_closed()
        assert received == content.translate(CAPITALS), f"client {number}"

    async def clients(address: tuple[str, int]) -> None:
        all_there = asyncio.Barrier(CLIENTS)
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number, address, all_there))

    with running(tmp_path, "upper", "--workers", workers, *LOCAL) as upper:
        asyncio.run(clients(upper.address))
        lines = upper.tells("ended after", CLIENTS)
    told = {kind: {line.partition("  ")[0] for line in lines if f"  {kind}" in line} for kind in ("connected", "ended")}
    assert len(told["connected"]) == CLIENTS
    assert told["ended"] == told["connected"]
    assert {line.partition("  ")[0] for line in lines} == told["connected"]


def test_who_ends_its_side_still_gets_everything_and_then_the_end(tmp_path: Path) -> None:
    with running(tmp_path, "echo", *LOCAL) as echo, connected(echo.address) as client:
        client.sendall(b"first")
        assert client.recv(100) == b"first"
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == b"x" * 100_000


def test_f13_who_does_not_read_costs_no_memory(tmp_path: Path) -> None:
    """What such a client sends stays in the kernel's buffers, and then with the client."""
    with running(tmp_path, "echo", "-q", *LOCAL) as echo, connected(echo.address) as client:
        assert asked(connected(echo.address), b"warm") == b"warm"
        before = memory_of_workers(echo.program)
        sent = send_until_stuck(client, most=256 << 20)
        grown = memory_of_workers(echo.program) - before
        assert sent > 256 << 10
        assert grown < 4 << 20, grown
        client.settimeout(DEADLINE_S)
        received = 0
        while received < sent:
            received += len(client.recv(1 << 20))
        client.shutdown(socket.SHUT_WR)
        assert (received, everything(client)) == (sent, b"")


def send_until_stuck(client: socket.socket, most: int) -> int:
    """Send until nothing is taken for a while; how much it was."""
    client.setblocking(False)
    piece = b"y" * 65536
    sent = 0
    while select.select([], [client], [], STUCK_S)[1]:
        with contextlib.suppress(BlockingIOError):
            sent += client.send(piece)
        assert sent < most, "it takes everything"
    return sent


def memory_of_workers(program: Program) -> int:
    pages = [Path(f"/proc/{worker['pid']}/statm").read_text().split()[1] for worker in program.status()["workers"]]
    return sum(map(int, pages)) * os.sysconf("SC_PAGESIZE")


def test_a_client_that_resets_is_told_of(tmp_path: Path) -> None:
    with running(tmp_path, "echo", *LOCAL) as echo:
        client = connected(echo.address)
        client.sendall(b"Foobar")
        assert client.recv(6) == b"Foobar"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        lines = echo.tells("ended after")
    assert lines[-1].endswith("6 bytes came, 6 were sent back. The client broke the connection off.")
    assert not any("sends no more" in line for line in lines)


# --- what is told --------------------------------------------------------------------------------------------------


def test_what_would_move_a_cursor_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    hostile = b"\x1b[2J\x1b]0;mine\x07\r\n00:00:00  192.0.2.1:1  left\x9b\xc2\x9b1m\xe2\x80\xae\x00\x7f"
    with running(tmp_path, "echo", *LOCAL) as echo:
        assert asked(connected(echo.address), hostile) == hostile
        lines = echo.tells("ended after")
        raw = echo.output.read_bytes()
    assert lines[1].partition("  ")[2] == (
        'sent 52 bytes: "\\x1b[2J\\x1b]0;mine\\x07\\r\\n00:00:00  192.0.2.1:1  left\\x9b\\u009b1m\\u202e\\x00\\x7f"'
    )
    assert not [byte for byte in raw if (byte < 0x20 and byte != 0x0A) or byte == 0x7F]
    assert len(lines) == 4


def test_hexadecimal_and_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "1", "echo", "--hex", *LOCAL) as echo:
        assert asked(connected(echo.address), b"Foobar\n\xff") == b"Foobar\n\xff"
        lines = echo.tells("ended after")
    assert lines[2].endswith("  00000000  46 6f 6f 62 61 72 0a ff                           |Foobar..|")
    with running(tmp_path / "2", "upper", "-q", *LOCAL) as upper:
        assert asked(connected(upper.address), b"Foobar") == b"FOOBAR"
    assert upper.output.read_bytes() == b""


def test_a_log_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(tmp_path, "echo", "-q", *LOCAL, "--log", str(log)) as echo:
        assert asked(connected(echo.address), b"Foobar") == b"Foobar"
        wait_until(lambda: log.read_bytes().count(b"\n") == 1, "a line in the log")
    line = json.loads(log.read_text())
    assert (line["listener"], line["status"], line["bytes_in"], line["bytes"]) == ("echo", 200, 6, 6)


def test_who_is_in_no_allowed_network_is_cut_off_and_told_of(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = (*LOCAL, "--allow-from", "192.0.2.0/24", "--log", str(log))
    with running(tmp_path, "upper", *arguments) as upper:
        with connected(upper.address) as client, contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
        [line] = upper.tells("was turned away")
        assert line.endswith("  was turned away: 127.0.0.1 is in none of the networks that this listener serves.")
        wait_until(lambda: log.read_bytes().count(b"\n") == 1, "a line in the log")
    assert '"filter":"allow"' in log.read_text()
    assert '"status":403' in log.read_text()


def test_what_was_begun_is_told_to_its_end_when_a_reload_turns_telling_off(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    listener = '[[listener]]\nrole = "echo"\naddress = "127.0.0.1:0"\nshow = "{}"\n[log]\naccess = "off"\n'
    file.write_text(listener.format("text"))
    with running(tmp_path, "run", str(file)) as echo:
        client = connected(echo.address)
        client.sendall(b"before")
        assert client.recv(100) == b"before"
        file.write_text(listener.format("off"))
        said = interpose("reload", "--state", str(echo.program.state))
        assert said.returncode == 0, said
        assert asked(connected(echo.address), b"untold") == b"untold"
        assert asked(client, b"after") == b"after"
        lines = echo.tells("ended after")
    assert [line.partition("  ")[2].partition(" after ")[0] for line in lines] == [
        f"connected to 127.0.0.1:{echo.port} over IPv4",
        'sent 6 bytes: "before"',
        'sent 5 bytes: "after"',
        "sends no more",
        "ended",
    ]


# --- addresses -----------------------------------------------------------------------------------------------------


def test_ipv6_and_unix_sockets(tmp_path: Path) -> None:
    path = f"{tmp_path}/echo.sock"
    arguments = ("--listen", "[::1]:0", "--listen", f"unix:{path}")
    with running(tmp_path, "echo", *arguments, listeners=2) as echo:
        assert asked(connected(("::1", echo.port)), b"six") == b"six"
        for _ in range(2):
            assert asked(connected(path), b"unix") == b"unix"
        lines = echo.tells("ended after", 3)
    assert [
        line for line in lines if re.fullmatch(rf"\[::1\]:[0-9]+  connected to \[::1\]:{echo.port} over IPv6", line)
    ]
    named = {line.partition("  ")[0] for line in lines if "over a Unix socket" in line}
    assert len(named) == 2
    assert all(name.startswith("unix:#") for name in named)


def test_tls_is_spoken_when_there_is_a_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    arguments = (*LOCAL, "--tls-certificate", pair.certificate, "--tls-key", pair.key)
    with running(tmp_path, "upper", *arguments) as upper:
        with authority.client().wrap_socket(connected(upper.address), server_hostname="localhost") as client:
            client.sendall(b"Foobar")
            assert client.recv(100) == b"FOOBAR"
            client.unwrap().close()
        lines = upper.tells("ended after")
        assert lines[0].endswith("over IPv4 with TLSv1.3")
        with connected(upper.address) as client:
            client.sendall(b"this is no handshake\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"THIS" not in everything(client)


def test_f5_the_same_port_is_had_again_at_once_after_connections(tmp_path: Path) -> None:
    with running(tmp_path / "1", "echo", *LOCAL) as echo:
        address = echo.address
        client = connected(address)
        client.sendall(b"Foobar")
        assert client.recv(100) == b"Foobar"
        echo.program.process.terminate()  # the server ends first, and its side of the connection stays in TIME_WAIT
        assert client.recv(100) == b""
        client.close()
        echo.program.process.wait(DEADLINE_S)
    arguments = ("--listen", f"127.0.0.1:{address[1]}")
    with running(tmp_path / "2", "echo", *arguments) as echo:
        assert echo.address == address
        assert asked(connected(address), b"again") == b"again"


# --- what is wrong gets a sentence ---------------------------------------------------------------------------------


def refused(directory: Path, *arguments: str) -> str:
    """The one sentence that a command ends with, in status 2."""
    said = interpose(*arguments, "--state", str(directory / "state"))
    assert (said.returncode, said.stdout) == (2, ""), said
    assert said.stderr.count("\n") == 1, said.stderr
    return said.stderr


def test_an_address_in_use_is_refused_and_who_has_it_is_named(tmp_path: Path) -> None:
    with running(tmp_path, "echo", *LOCAL) as echo:
        sentence = refused(tmp_path, "upper", "--listen", f"127.0.0.1:{echo.port}")
        pid = echo.program.process.pid
        assert f"Port {echo.port} on 127.0.0.1 is in use already by interpose (pid {pid}); stop it" in sentence


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:65536", "'65536' in '127.0.0.1:65536' is not a port"),
        ("127.0.0.1:http", "'http' in '127.0.0.1:http' is not a port"),
        ("8001", "'8001' has no port"),
        ("300.0.0.1:8001", "'300.0.0.1' in '300.0.0.1:8001' is not an IPv4 address"),
        ("no-such-name.invalid:8001", "no-such-name.invalid:8001 cannot be listened on"),
        ("192.0.2.1:8001", "192.0.2.1 is not an address of this machine"),
    ],
)
def test_a_bad_address_is_refused(tmp_path: Path, address: str, words: str) -> None:
    assert words in refused(tmp_path, "echo", "--listen", address)


def test_a_privileged_port_is_refused_with_what_to_do(tmp_path: Path) -> None:
    command: list[str] = [INTERPOSE, "echo", "--listen", "127.0.0.1:1", "--state", str(tmp_path / "state")]
    if os.geteuid() == 0:
        without = ["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
        setpriv = shutil.which("setpriv") or "setpriv"
        if subprocess.run([setpriv, *without, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("this user has every port and cannot give that up")
        command = [setpriv, *without, *command]
    said = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert said.returncode == 2, said
    assert said.stderr.count("\n") == 1
    assert "Port 1 is reserved for privileged programs; choose one from 1024 up" in said.stderr

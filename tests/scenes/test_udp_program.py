"""`--udp` as people run it: workers, deaths, reloads, the end, and what is said of bad input."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.datagrams import client, free_port, target
from tests.support.program import Program, interpose, wait_until

LOCAL = ("--listen", "127.0.0.1:0")
ANSWER_S = 0.2


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("u")


class Blocking:
    """A client that asks again until it has its answer: datagrams may be lost while a worker is replaced."""

    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(("127.0.0.1", port))

    def ask(self, data: bytes, tries: int = 50) -> bytes:
        for _ in range(tries):
            try:
                self.sock.send(data)
                while (answer := self.sock.recv(65536)).lower() != data.lower():  # to one that was sent twice
                    pass
                return answer
            except (TimeoutError, ConnectionRefusedError):
                continue
        raise AssertionError(f"no answer to {data!r}")


@contextmanager
def asking(port: int, count: int = 1) -> Iterator[list[Blocking]]:
    clients = [Blocking(port) for _ in range(count)]
    try:
        yield clients
    finally:
        for some in clients:
            some.sock.close()


def workers(program: Program) -> list[int]:
    return [worker["pid"] for worker in program.status()["workers"] if worker["state"] == "serving"]


def test_clients_are_spread_over_the_workers_and_the_ready_line_says_udp(place: Path) -> None:
    with Program(place, "upper", "--udp", "-q", *LOCAL, "--workers", "2") as program:
        assert program.url == f"udp://127.0.0.1:{program.port}"
        with asking(program.port, 64) as clients:
            for number, some in enumerate(clients):
                assert some.ask(b"client %d" % number, tries=1) == b"CLIENT %d" % number
        received = "datagrams_received_total"
        wait_until(lambda: program.status()["counters"].get(received, 0) == 64, "all datagrams are counted")
        assert all(worker["counters"][received] > 0 for worker in program.status()["workers"])


def test_f28_sessions_are_made_anew_when_a_worker_dies(place: Path) -> None:
    with (
        Program(place / "upper", "upper", "--udp", "-q", *LOCAL) as upper,
        Program(
            place / "relay", "relay", "--udp", *LOCAL, "--to", f"127.0.0.1:{upper.port}", "--workers", "2"
        ) as relay,
        asking(relay.port, 20) as clients,
    ):
        assert all(some.ask(b"before") == b"BEFORE" for some in clients)
        victim = workers(relay)[0]
        os.kill(victim, signal.SIGKILL)
        assert all(some.ask(b"after") == b"AFTER" for some in clients)
        wait_until(lambda: len(workers(relay)) == 2 and victim not in workers(relay), "the worker is replaced")
        assert all(some.ask(b"and on") == b"AND ON" for some in clients)


def test_a_reload_moves_sessions_where_the_file_says_and_can_change_the_protocol(place: Path) -> None:
    port = free_port()
    with (
        Program(place / "echo", "echo", "--udp", "-q", *LOCAL) as echo,
        Program(place / "upper", "upper", "--udp", "-q", *LOCAL) as upper,
    ):

        def write(to: Program, udp: bool = True) -> None:
            place.joinpath("relay.toml").write_text(
                f'[[listener]]\naddress = "127.0.0.1:{port}"\nrole = "relay"\nupstream = "up"\n'
                f"udp = {str(udp).lower()}\n"
                f'[[upstream]]\nname = "up"\nservers = ["127.0.0.1:{to.port}"]\n'
            )

        write(echo)
        with Program(place / "relay", "run", str(place / "relay.toml")) as relay, asking(port) as [some]:
            assert some.ask(b"One") == b"One"
            write(upper)
            reloaded = interpose("reload", "--state", str(relay.state))
            assert reloaded.returncode == 0, reloaded.stderr
            assert some.ask(b"Two") == b"TWO"
            write(upper, udp=False)
            assert interpose("reload", "--state", str(relay.state)).returncode == 0
            with socket.socket() as stream:  # and a relay that cannot reach its server resets
                stream.settimeout(5)
                assert stream.connect_ex(("127.0.0.1", port)) in (0, errno.ECONNRESET)
            write(echo)
            assert interpose("reload", "--state", str(relay.state)).returncode == 0
            assert some.ask(b"Three") == b"Three"


async def test_an_answer_that_a_client_waits_for_is_passed_on_while_the_relay_ends(place: Path) -> None:
    async with target(lambda data: data if data == b"x" else None) as server:
        file = place / "relay.toml"
        file.write_text(
            f'process.grace_s = 30\nlog = {{ access = "{place / "access.log"}" }}\n'
            '[[listener]]\naddress = "127.0.0.1:0"\nrole = "relay"\nudp = true\nupstream = "up"\n'
            f'[[upstream]]\nname = "up"\nservers = ["{server.address}"]\n'
        )
        with (
            Program(place, "run", str(file)) as relay,
            client(f"127.0.0.1:{relay.port}") as done,
            client(f"127.0.0.1:{relay.port}") as some,
        ):
            assert await done.ask(b"x") == b"x"
            some.send(b"slow question")
            while len(server.got) < 2:  # noqa: ASYNC110 - the relay sets no event of ours
                await asyncio.sleep(0.01)
            relay.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(relay.log, 1)  # who has its answer has its line: no datagram is read any more
            server.send(b"late answer", server.clients[1])
            assert await some.receive() == b"late answer"
            await asyncio.to_thread(relay.process.wait, 10)
            assert [line["bytes"] for line in relay.log(2)] == [1, 11]


def test_people_are_shown_datagrams_and_no_terminal_obeys_them(place: Path) -> None:
    with (place / "output").open("wb") as output:
        with (
            Program(place, "echo", "--udp", "--hex", *LOCAL, stdout=output) as program,
            asking(program.port) as [it],
        ):
            assert it.ask(b"\x1b[2Jx") == b"\x1b[2Jx"
            wait_until(lambda: (place / "output").stat().st_size > 0, "it is shown")
        shown = (place / "output").read_text()
    assert "1b 5b 32 4a 78" in shown
    assert "\x1b" not in shown


def test_two_listeners_may_have_the_same_port_when_one_takes_datagrams(place: Path) -> None:
    port = free_port()
    place.joinpath("both.toml").write_text(
        f'[[listener]]\naddress = "127.0.0.1:{port}"\nrole = "upper"\n'
        f'[[listener]]\naddress = "127.0.0.1:{port}"\nrole = "echo"\nudp = true\n'
    )
    with Program(place, "run", str(place / "both.toml"), listeners=2), asking(port) as [some]:
        assert some.ask(b"by datagram") == b"by datagram"
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            stream.sendall(b"by stream")
            stream.shutdown(socket.SHUT_WR)
            assert stream.recv(100) == b"BY STREAM"


@pytest.mark.parametrize("option", ["none", "reuse"])
def test_a_port_in_use_is_said_in_one_sentence(place: Path, option: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        if option == "reuse":  # a second socket with it would take the datagrams of the first
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = interpose("echo", "--udp", "--listen", f"127.0.0.1:{port}", "--state", str(place))
    assert done.returncode == 2
    assert f"Port {port} on 127.0.0.1 is in use already" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--to", "224.0.0.1:9000"), '--to "224.0.0.1:9000": is a multicast address'),
        (("--to", "255.255.255.255:9000"), "is a broadcast address"),
        (("--to", "127.0.0.1:PORT"), "is this relay itself"),
        (("--to", "127.0.0.1:70000"), "70000"),
        (("--to", "tls://127.0.0.1:9000"), "no server that a UDP relay can lead to"),
        (("--to", "unix:/tmp/x"), "no server that a UDP relay can lead to"),
    ],
)
def test_a33_bad_targets_are_refused_with_one_sentence_and_status_2(
    place: Path, arguments: tuple[str, str], sentence: str
) -> None:
    port = str(free_port())
    words = [word.replace("PORT", port) for word in arguments]
    done = interpose("relay", "--udp", "--listen", f"127.0.0.1:{port}", *words, "--state", str(place))
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def memory_bytes(program: Program) -> int:
    """What the only worker has in memory."""
    [pid] = workers(program)
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def forged(count: int) -> Iterator[tuple[str, int]]:
    """Senders that all differ."""
    for number in range(count):
        yield f"127.{number // 40_000 + 1}.{number // 200 % 200}.{number % 200 + 1}", 20_000 + number % 40_000


def flood(directory: Path, senders: int) -> None:
    """So many strangers send one datagram each; meanwhile somebody is served."""
    log = ("--log", str(directory / "access.log"))
    with (
        Program(directory / "echo", "echo", "--udp", "-q", *LOCAL) as echo,
        Program(directory / "relay", "relay", "--udp", *LOCAL, "--to", f"127.0.0.1:{echo.port}", *log) as relay,
        asking(relay.port) as [honest],
    ):
        assert honest.ask(b"one") == honest.ask(b"one") == b"one"
        before = memory_bytes(relay)
        for number, sender in enumerate(forged(senders)):
            _send_once(sender, relay.port)
            if number % 100 == 0:
                assert honest.ask(b"meanwhile") == b"meanwhile"
        assert honest.ask(b"after") == b"after"
        assert memory_bytes(relay) - before < 16 << 20
        wait_until(lambda: relay.status()["counters"].get("datagram_sessions_total", 0) > senders * 0.9, "are counted")
        counters = relay.status()["counters"]
        assert counters["datagram_sessions"] <= 4096
        assert counters["datagrams_refused_total"] == 0


def _send_once(sender: tuple[str, int], port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(sender)
        sock.sendto(b"x", ("127.0.0.1", port))


def test_a33_thousands_of_strangers_take_neither_memory_nor_anybodys_place(place: Path) -> None:
    flood(place, 5000)

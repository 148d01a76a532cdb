"""Files on their way: nc, a ten-line client and `interpose send`, a spool, a sink, and other people's servers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.scenes.test_relay_programs import all_of, listening, upper
from tests.support.certificates import CertificateAuthority
from tests.support.command import typing
from tests.support.program import INTERPOSE, Program, children_of, interpose, is_alive, wait_until
from tests.support.raw_spool import REFUSED, RESUME, STORED, RawSpoolClient, offer

from interpose.storage.spool import Spool
from interpose.storage.spool_item import Busy, Item, State

DEADLINE_S = 30.0

TEN_LINES = """
import socket, sys
host, port, name = sys.argv[1:]
with socket.create_connection((host, int(port))) as client:
    with open(name, "rb") as file:
        client.sendall(file.read())
    print(client.recv(65536).decode(), end="")
"""


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("s")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def sink(place: Path, *arguments: str, **options: Any) -> Iterator[Program]:
    command = ["sink", str(place / "in"), "--listen", "127.0.0.1:0", *arguments]
    with Program(place / "sink", *command, **options) as program:
        yield program


@contextmanager
def spool(place: Path, to: Program | int, *arguments: str, port: int = 0, **options: Any) -> Iterator[Program]:
    server = to if isinstance(to, int) else to.port
    command = ["spool", "--to", f"127.0.0.1:{server}", "--dir", str(place / "out"), "--listen", f"127.0.0.1:{port}"]
    with Program(place / "spool", *command, *arguments, **options) as program:
        yield program


def nc(port: int, data: bytes) -> subprocess.Popen[bytes]:
    """`nc -N`, which has said everything and waits for its answer."""
    client = subprocess.Popen(
        ["nc", "-N", "127.0.0.1", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert client.stdin is not None
    client.stdin.write(data)
    client.stdin.close()
    client.stdin = None
    return client


def answer_of(client: subprocess.Popen[bytes]) -> bytes:
    try:
        return client.communicate(timeout=DEADLINE_S)[0]
    finally:
        client.kill()
        client.wait(DEADLINE_S)


def only(directory: Spool, *states: State) -> Item:
    """The only item of a spool, once it is in one of these states."""
    found: list[Item] = []

    def is_there() -> bool:
        found[:] = [item for item in directory.items() if item.state in states]
        return bool(found)

    wait_until(is_there, f"an item is {' or '.join(states)}, of {directory.items()}", DEADLINE_S)
    [item] = found
    return item


def drop(directory: Spool, id_: str) -> None:
    """Drop it, between two tries."""

    def is_dropped() -> bool:
        with contextlib.suppress(Busy):
            directory.drop(id_)
            return True
        return False

    wait_until(is_dropped, f"{id_} is dropped")


def contents(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in directory.glob("[a-z2-7]*/content"))


def out(place: Path) -> Spool:
    return Spool(str(place / "out"))


STORED_LINE = re.compile(rb"stored (\S+) (\d+) bytes sha256 ([0-9a-f]{64}) as ([a-z2-7]{16})\n")


def stored(answer: bytes) -> tuple[int, str]:
    """Size and digest of a sink's answer."""
    match = STORED_LINE.fullmatch(answer)
    assert match is not None, answer
    return int(match[2]), match[3].decode()


# --- the exercise -----------------------------------------------------------------------------------------------------


def test_the_sink_holds_what_a_hand_has_made_of_the_file_and_nc_gets_its_answer(place: Path) -> None:
    with sink(place) as last, spool(place, last, "--hold") as program:
        client = nc(program.port, b"draft\n")
        held = only(out(place), State.HELD)
        program.says(f"interpose desk release {held.id}")
        Path(out(place).path(held.id)).write_bytes(b"final version\n")
        out(place).release(held.id, who="a test")
        assert stored(answer_of(client)) == (14, sha256(b"final version\n"))
        item = out(place).get(held.id)
    assert contents(place / "in") == [b"final version\n"]
    assert (item.sha256, item.sent_sha256) == (sha256(b"draft\n"), sha256(b"final version\n"))
    assert [event.state for event in item.events] == ["held", "approved", "sending", "confirmed"]


def test_an_editor_that_saves_by_renaming_is_followed(place: Path) -> None:
    with sink(place) as last, spool(place, last, "--hold") as program:
        client = nc(program.port, b"draft\n")
        held = only(out(place), State.HELD)
        path = Path(out(place).path(held.id))
        path.with_name("content~").write_bytes(b"renamed\n")
        path.with_name("content~").rename(path)
        out(place).release(held.id)
        assert stored(answer_of(client)) == (8, sha256(b"renamed\n"))


def test_a40_what_is_edited_after_its_release_is_held_again(place: Path) -> None:
    """Released while the server is down, then changed: nothing of it is sent before it is released anew."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = int(reserved.getsockname()[1])
        with spool(place, port, "--hold") as program:
            client = nc(program.port, b"draft\n")
            held = only(out(place), State.HELD)
            out(place).release(held.id)
            wait_until(lambda: bool(out(place).get(held.id).problem), "a first try fails")
            path = Path(out(place).path(held.id))
            path.write_bytes(b"swapped\n")
            again = only(out(place), State.HELD)
            assert again.events[-1].why == "changed after it was released"
            out(place).drop(held.id)
            assert answer_of(client).startswith(b"dropped: ")


@pytest.mark.parametrize("end", ["idle:0.3", "half-close"])
def test_the_ten_line_client_that_waits_without_ending_its_side(place: Path, end: str) -> None:
    """With --end idle:S it gets its answer; without, the log says what is waited for, and names the option."""
    file = place / "file"
    file.write_bytes(b"ten lines\n" * 1000)
    with sink(place, "--end", end) as last, spool(place, last, "--end", end) as program:
        command = [sys.executable, "-c", TEN_LINES, "127.0.0.1", str(program.port), str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            try:
                if end == "half-close":
                    program.says("has sent 10000 bytes and nothing for 3 s; a file ends when its client ends its side")
                    program.says("start with --end idle:2")
                    assert contents(place / "out") == []
                else:
                    assert stored(client.communicate(timeout=DEADLINE_S)[0]) == (10_000, sha256(file.read_bytes()))
            finally:
                client.kill()
    if end == "half-close":  # the kernel ends the side of a client that is gone: that is the end of its file
        assert contents(place / "out") == [file.read_bytes()]


def test_with_a_delay_the_file_can_be_edited_until_it_is_over(place: Path) -> None:
    with sink(place) as last, spool(place, last, "--delay", "1.5") as program:
        client = nc(program.port, b"draft\n")
        item = only(out(place), State.RECEIVED)
        program.says("is sent in 1.5 s as it is then")
        Path(out(place).path(item.id)).write_bytes(b"edited\n")
        assert stored(answer_of(client)) == (7, sha256(b"edited\n"))
        sent = next(e for e in out(place).get(item.id).events if e.state is State.SENDING)
    assert sent.at >= item.received_at + 1.5
    edited_at = Path(out(place).path(item.id)).stat().st_mtime
    assert sent.at >= edited_at + 1.9, "somebody may still have been saving"


def test_a_file_that_was_dropped_is_not_sent_and_its_client_is_told(place: Path) -> None:
    with sink(place) as last, spool(place, last, "--hold") as program:
        client = nc(program.port, b"secret\n")
        held = only(out(place), State.HELD)
        out(place).drop(held.id, "a reviewer")
        assert answer_of(client) == f"dropped: {held.id} is not sent on; somebody decided so\n".encode()
    assert contents(place / "in") == []


def test_an_empty_connection_is_no_file_and_an_empty_file_is_one(place: Path) -> None:
    (place / "empty").touch()
    with sink(place) as last, spool(place, last) as program:
        assert answer_of(nc(program.port, b"")).startswith(b"not stored: no byte came")
        done = interpose("send", str(place / "empty"), f"127.0.0.1:{program.port}")
        assert stored(done.stdout.encode()) == (0, sha256(b""))
    assert contents(place / "in") == [b""]


# --- other people's servers -------------------------------------------------------------------------------------------


def test_any_server_is_sent_the_bytes_and_their_end_and_its_answer_comes_back(place: Path) -> None:
    with listening(upper) as server, spool(place, server) as program:
        for text in (b"foobar\n", b"once more\n"):
            assert answer_of(nc(program.port, text)) == text.upper()


def test_a_server_that_answers_while_it_is_sent_to_does_not_stop_the_sending(place: Path) -> None:
    """Each side would wait for the other to read. The answer is passed back as far as it is kept: 1 MiB."""
    data = random.Random(3).randbytes(8 << 20)
    with (
        Program(place / "upper", "echo", "-q", "--listen", "127.0.0.1:0") as server,
        spool(place, server) as program,
    ):
        assert answer_of(nc(program.port, data)) == data[: 1 << 20]
        assert only(out(place), State.CONFIRMED).size == len(data)


def test_a_server_that_never_ends_its_answer_is_done_when_it_is_silent(place: Path) -> None:
    release = threading.Event()

    def answer_and_wait(connection: socket.socket) -> None:
        size = len(all_of(connection))
        connection.sendall(b"got %d\n" % size)
        release.wait(DEADLINE_S)

    try:
        with listening(answer_and_wait) as server, spool(place, server, "--end", "idle:0.3") as program:
            assert answer_of(nc(program.port, b"12345")) == b"got 5\n"
            release.set()
    finally:
        release.set()


def test_f26_a_server_that_is_down_is_tried_until_it_is_there_and_the_client_gets_its_answer(place: Path) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        with spool(place, int(reserved.getsockname()[1])) as program:
            client = nc(program.port, b"patience\n")
            program.says("is tried again in 1 s")
            reserved.listen()
            reserved.settimeout(DEADLINE_S)
            connection, _ = reserved.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                upper(connection)
            assert answer_of(client) == b"PATIENCE\n"
            assert only(out(place), State.CONFIRMED).tries >= 2


def test_f26_a_client_that_cannot_wait_leaves_and_its_file_goes_on(place: Path) -> None:
    with sink(place) as last, spool(place, last, "--delay", "1") as program:
        client = nc(program.port, b"in a hurry\n")
        only(out(place), State.RECEIVED)
        client.kill()
        client.communicate(timeout=DEADLINE_S)
        only(out(place), State.CONFIRMED)
    assert contents(place / "in") == [b"in a hurry\n"]


def test_f26_a_client_that_breaks_off_has_sent_nothing(place: Path) -> None:
    with sink(place) as program:
        client = RawSpoolClient(program.port)
        client.say(b"half of a fi")
        client.reset()
        program.says("The client broke the connection off.")
    assert contents(place / "in") == []
    assert list((place / "in" / ".incoming").iterdir()) == []


# --- send, and the framed form ----------------------------------------------------------------------------------------


def test_send_gives_name_and_answer_and_leaves_when_told_not_to_wait(place: Path) -> None:
    file = place / "report.txt"
    file.write_bytes(b"figures\n")
    with sink(place) as last, spool(place, last, "--form", "framed", "--hold") as program:
        where = f"127.0.0.1:{program.port}"
        done = interpose("send", "--no-wait", str(file), where)
        assert (done.returncode, done.stderr) == (0, "")
        held = only(out(place), State.HELD)
        assert done.stdout == f"stored as {held.id} 8 bytes sha256 {sha256(b'figures' + bytes([10]))}\n"
        assert held.name == "report.txt"
        out(place).release(held.id)
        done = interpose("send", "--id", held.id, str(file), where)
        assert stored(done.stdout.encode()) == (8, sha256(b"figures\n"))
        assert done.stdout.startswith("stored report.txt ")
    assert contents(place / "in") == [b"figures\n"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["{place}/none", "127.0.0.1:1"], 2, "cannot be read: no such file"),
        (["--id", "../../x", "{place}/file", "127.0.0.1:1"], 2, "an id has 16 letters and digits"),
        (["--retry", "0", "{place}/file", "127.0.0.1:1"], 1, "To go on: interpose send --id "),
        (["{place}/file", "127.0.0.1"], 2, "has no port"),
    ],
)
def test_send_says_what_is_wrong(place: Path, arguments: list[str], status: int, says: str) -> None:
    (place / "file").write_bytes(b"x")
    done = interpose("send", *[argument.format(place=place) for argument in arguments])
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_send_tells_a_server_of_another_kind_apart(place: Path) -> None:
    (place / "file").write_bytes(b"foobar\n")
    with Program(place / "echo", "echo", "-q", "--listen", "127.0.0.1:0") as server:
        where = f"127.0.0.1:{server.port}"
        done = interpose("send", str(place / "file"), where)
        assert (done.returncode, "is no spool or sink; `--plain`" in done.stderr) == (1, True)
        assert interpose("send", "--plain", str(place / "file"), where).stdout == "foobar\n"


async def test_send_shows_its_progress_on_a_terminal(place: Path) -> None:
    file = place / "large"
    file.write_bytes(bytes(32 << 20))
    with sink(place) as program:
        async with typing("send", str(file), f"127.0.0.1:{program.port}") as person:
            await person.sees(b"MiB")
            await person.sees(b"stored large 33554432 bytes")


def test_f26_an_upload_goes_on_where_it_was_broken_off(place: Path) -> None:
    data = random.Random(1).randbytes(3 << 20)
    with sink(place) as program:
        first = RawSpoolClient(program.port)
        first.say(offer(b"0123456789", data, "large"))
        assert first.hear() == (RESUME, bytes(8))
        first.say(data[: 2 << 20])
        part = place / "in" / ".incoming"
        wait_until(lambda: sum(p.stat().st_size for p in part.glob("*/content")) == 2 << 20, "two thirds are there")
        first.reset()
        program.says("The client broke the connection off.")
        with RawSpoolClient(program.port) as second:
            wanted, answer = second.send(b"0123456789", data, "large")
            assert (wanted, stored(answer)) == (2 << 20, (len(data), sha256(data)))
            second.ends()
        with RawSpoolClient(program.port) as third:
            assert third.send(b"0123456789", data, "large") == (-1, answer)
    assert contents(place / "in") == [data]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (offer(b"0" * 10, b"hello", sha256=bytes(32)) + b"hello", b"announced were 5"),
        (b"\x89SPOOL\r\n\x01GET / HTTP/1.1\r\n\r\n", b"kind 71"),
        (b"\x89SPOOL\r\n\x01\x04\x00\x00\x00\x00", b"begins with an offer"),
        (b"\x89SPOOL\r\n\x01\x01\xff\xff\xff\xff", b"4294967295 octets"),
    ],
)
def test_what_is_not_of_the_framed_form_is_refused_with_the_reason(place: Path, said: bytes, why: bytes) -> None:
    with sink(place) as program, RawSpoolClient(program.port) as client:
        client.say(said)
        heard = client.hear()
        if heard.kind == RESUME:
            heard = client.hear()
        assert heard.kind == REFUSED
        assert why in heard.payload
    assert contents(place / "in") == []


def test_an_answer_passes_a_row_of_spools_back(place: Path) -> None:
    file = place / "file.txt"
    file.write_bytes(b"along the row\n")
    with (
        sink(place) as last,
        spool(place / "b", last, "--form", "framed", "--hold") as second,
        spool(place / "a", second, "--form", "framed") as first,
        ThreadPoolExecutor(1) as other,
    ):
        sending = other.submit(interpose, "send", str(file), f"127.0.0.1:{first.port}")
        held = only(out(place / "b"), State.HELD)
        assert only(out(place / "a"), State.CONFIRMED).id == held.id
        out(place / "b").release(held.id)
        done = sending.result(DEADLINE_S)
        assert done.stdout.startswith("stored file.txt 14 bytes ")
        assert done.stdout.endswith(f" as {held.id}\n")


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["sink", "spool"])
def test_f6_a_full_disk_is_told_and_nothing_is_left_and_smaller_files_go_on(place: Path, role: str) -> None:
    limited = ("bash", "-c", 'ulimit -f 512; exec "$0" "$@"', INTERPOSE)  # 512 KiB for any file
    large, small = random.Random(2).randbytes(3 << 20), b"small\n"
    (place / "large").write_bytes(large)
    with contextlib.ExitStack() as stack:
        kept = place / ("in" if role == "sink" else "out")
        if role == "sink":
            program = stack.enter_context(sink(place, command=limited))
        else:
            program = stack.enter_context(spool(place, stack.enter_context(sink(place)), command=limited))
        assert answer_of(nc(program.port, large)) == b"not stored: file too large\n"
        done = interpose("send", "--retry", "0", str(place / "large"), f"127.0.0.1:{program.port}")
        assert done.returncode == 1
        assert "does not take it: file too large" in done.stderr
        assert done.stdout == ""
        assert contents(kept) == []
        assert list((kept / ".incoming").iterdir()) == []
        assert stored(answer_of(nc(program.port, small))) == (6, sha256(small))


def test_a_sink_that_could_not_store_is_not_taken_for_one_that_has(place: Path) -> None:
    """In the plain form a refusal is a line like any answer; a spool knows it, and goes on trying."""
    limited = ("bash", "-c", 'ulimit -f 64; exec "$0" "$@"', INTERPOSE)
    with sink(place, command=limited) as last, spool(place, last) as program:
        client = nc(program.port, bytes(100_000))
        program.says("the server does not take it: file too large")
        [item] = out(place).items()
        assert item.state is State.SENDING
        drop(out(place), item.id)
        assert answer_of(client).startswith(b"dropped: ")
    assert contents(place / "in") == []


def kill_all(program: Program) -> None:
    """kill -9 of everything at once."""
    processes = [*children_of(program.process.pid), program.process.pid]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)  # so that none of them sees another one die
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    program.process.wait(DEADLINE_S)
    wait_until(lambda: not any(map(is_alive, processes)), "all are dead")


@contextmanager
def killed(scene: Any) -> Iterator[Program]:
    """A program that does not survive the scene."""
    program = scene.__enter__()
    try:
        yield program
    finally:
        if program.process.poll() is None:
            kill_all(program)
        program._reader.join(DEADLINE_S)


@pytest.mark.parametrize("state", [State.RECEIVED, State.HELD, State.APPROVED, State.SENDING])
def test_f26_f9_whatever_was_acknowledged_goes_on_after_everything_was_killed(place: Path, state: State) -> None:
    """Killed in this state; a new spool on the same directory brings the file to the sink, once."""
    options = {State.RECEIVED: ["--delay", "5"], State.SENDING: []}.get(state, ["--hold"])
    with sink(place) as last, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if state is State.SENDING:
            deaf.listen()  # accepts in the kernel, and says nothing
        nowhere = int(deaf.getsockname()[1])
        with (
            killed(spool(place, nowhere, "--form", "framed", *options)) as program,
            RawSpoolClient(program.port) as client,
        ):
            client.say(offer(b"0123456789", b"survives\n", "s") + b"survives\n")
            assert [client.hear().kind, client.hear().kind] == [RESUME, STORED]  # from here on it is the spool's
            item = only(out(place), State.HELD if state is State.APPROVED else state)
            if state is State.APPROVED:
                out(place).release(item.id)
            kill_all(program)
        with spool(place, last, "--form", "framed") as again:
            if state is State.HELD:
                out(place).release(item.id)
            only(out(place), State.CONFIRMED)
            with RawSpoolClient(again.port) as client:
                wanted, answer = client.send(b"0123456789", b"survives\n", "s")
                assert (wanted, stored(answer)[0]) == (-1, 9)
        assert contents(place / "in") == [b"survives\n"]


def test_f26_a_part_of_an_upload_outlives_the_spool(place: Path) -> None:
    data = random.Random(4).randbytes(1 << 20)
    with killed(sink(place)) as program, RawSpoolClient(program.port) as client:
        client.say(offer(b"0123456789", data))
        assert client.hear().kind == RESUME
        client.say(data[:500_000])
        part = place / "in" / ".incoming"
        wait_until(lambda: sum(p.stat().st_size for p in part.glob("*/content")) == 500_000, "half is there")
    with sink(place) as program, RawSpoolClient(program.port) as client:
        assert contents(place / "in") == []
        wanted, _ = client.send(b"0123456789", data)
        assert wanted == 500_000
    assert contents(place / "in") == [data]


@pytest.fixture
def quick_place() -> Iterator[Path]:
    """A directory in memory: a thousand files are synced twenty thousand times."""
    place = Path(tempfile.mkdtemp(prefix="spool", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield place
    shutil.rmtree(place)


def test_f26_a_thousand_files_sent_again_and_again_are_stored_once_each(quick_place: Path) -> None:
    """Each is sent until it is acknowledged, and once more; meanwhile workers of spool and sink are killed."""
    files = [b"file number %d\n" % number for number in range(1000)]
    with (
        sink(quick_place, "--workers", "2") as last,
        spool(quick_place, last, "--form", "framed", "--workers", "2") as program,
    ):

        def send(number: int) -> None:
            done = 0
            for _ in range(100):
                with contextlib.suppress(OSError), RawSpoolClient(program.port) as client:
                    client.send(b"%010d" % number, files[number], f"{number}.txt")
                    done += 1
                if done == 2:
                    return
            raise AssertionError(f"{number} was never acknowledged")

        with ThreadPoolExecutor(16) as clients:
            sent = clients.map(send, range(1000))
            for victim in (program, last, program, last):
                before = len(contents(quick_place / "in"))
                wait_until(lambda before=before: len(contents(quick_place / "in")) >= before + 100, "it goes on")  # type: ignore[misc]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(children_of(victim.process.pid)[0], signal.SIGKILL)
            list(sent)
        wait_until(lambda: all(item.state is State.CONFIRMED for item in out(quick_place).items()), "all are confirmed")
    assert contents(quick_place / "in") == sorted(files)


def test_a_large_file_passes_in_little_memory(quick_place: Path) -> None:
    """96 MiB through both; script/soak has 1 GiB."""
    data = quick_place / "large"
    with data.open("wb") as file:
        for seed in range(12):
            file.write(random.Random(seed).randbytes(8 << 20))
    with sink(quick_place) as last, spool(quick_place, last) as program:
        workers = [children_of(one.process.pid)[0] for one in (last, program)]
        answer_of(nc(program.port, b"to load what is loaded late\n"))
        before = [peak_kib(pid) for pid in workers]
        done = interpose("send", str(data), f"127.0.0.1:{program.port}")
        assert stored(done.stdout.encode())[0] == 96 << 20, done.stderr
        grown = [peak_kib(pid) - memory for pid, memory in zip(workers, before, strict=True)]
    assert max(grown) < 16 << 10, grown


def peak_kib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["spool", "--to", "127.0.0.1:9000", "--listen", "127.0.0.1:9000"], "is this relay itself"),
        (["spool", "--to", "127.0.0.1:9001", "--end", "idle"], "is not an end"),
        (["spool", "--to", "127.0.0.1:9001", "--end", "idle:0"], 'must be from "idle:0.05"'),
        (["spool", "--to", "127.0.0.1:9001", "--dir", "{place}/file"], "is a file; name a directory"),
        (["sink", "{place}/file/below"], "no files can be kept here"),
    ],
)
def test_what_cannot_work_is_refused_before_it_starts(place: Path, arguments: list[str], says: str) -> None:
    (place / "file").touch()
    command = [argument.format(place=place) for argument in arguments]
    done = interpose(*command, "--state", str(place / "state"), cwd=place)
    assert done.returncode != 0
    assert says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


# --- the program around it --------------------------------------------------------------------------------------------


async def test_a_sink_shows_what_comes_on_a_terminal(place: Path) -> None:
    port = free_port()
    large = place / "large"
    large.write_bytes(bytes(48 << 20))
    command = ["--listen", f"127.0.0.1:{port}", "--state", str(place / "state"), "--no-console"]
    async with typing("sink", str(place / "in"), *command) as person:
        await person.sees(b"sink listening on")
        process = await asyncio.create_subprocess_exec(
            INTERPOSE, "send", str(large), f"127.0.0.1:{port}", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        answer, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert stored(answer)[0] == 48 << 20
        await person.sees(b"/48.0 MiB")
        seen = await person.sees(b"stored large from 127.0.0.1:")
        assert b"Traceback" not in seen
        person.types(b"\x03")
        assert await person.ends() == 0


def free_port() -> int:
    """A port that nobody has, for a moment: a terminal's ready line is for people."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_spool_that_ends_lets_who_waits_go_and_goes_on_later(place: Path) -> None:
    with sink(place) as last:
        with spool(place, last, "--hold") as program:
            client = nc(program.port, b"later\n")
            held = only(out(place), State.HELD)
            program.process.send_signal(signal.SIGTERM)
            assert answer_of(client) == b""
            assert program.process.wait(DEADLINE_S) == 0
        out(place).release(held.id)
        with spool(place, last, "--hold"):
            only(out(place), State.CONFIRMED)
    assert contents(place / "in") == [b"later\n"]


def test_a_file_that_is_larger_than_is_taken_here_is_refused_in_both_forms(place: Path) -> None:
    file, large = place / "sink.toml", place / "large"
    table = f'dir = "{place}/in", max_file_bytes = 100000'
    file.write_text(f'[[listener]]\naddress = "127.0.0.1:0"\nrole = "sink"\nspool = {{ {table} }}\n')
    large.write_bytes(bytes(100_001))
    with Program(place / "sink", "run", str(file)) as program:
        why = "the file is larger than 100000 bytes, which is the most that is taken here"
        assert answer_of(nc(program.port, large.read_bytes())) == f"not stored: {why}\n".encode()
        done = interpose("send", str(large), f"127.0.0.1:{program.port}")
        assert (done.returncode, why in done.stderr, "Going on" in done.stderr) == (1, True, False)
        assert stored(answer_of(nc(program.port, bytes(100_000))))[0] == 100_000
    assert contents(place / "in") == [bytes(100_000)]


def test_f18_what_is_being_sent_as_the_end_begins_is_sent_and_answered(place: Path) -> None:
    is_there, may_answer = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        data = all_of(connection)
        is_there.set()
        may_answer.wait(DEADLINE_S)
        connection.sendall(data.upper())

    with listening(slow) as server, spool(place, server) as program:
        client = nc(program.port, b"in time\n")
        assert is_there.wait(DEADLINE_S)
        program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts(program.port), "it accepts no more")
        may_answer.set()
        assert answer_of(client) == b"IN TIME\n"
        assert program.process.wait(DEADLINE_S) == 0
    assert only(out(place), State.CONFIRMED).tries == 1


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except ConnectionRefusedError:
        return False
    return True


CONFIGURATION = """
[[listener]]
address = "127.0.0.1:0"
role = "spool"
upstream = "there"
spool = {{ dir = "{place}/out", hold = {hold} }}
[[upstream]]
name = "there"
servers = ["127.0.0.1:{port}"]
"""


def test_a_reload_that_holds_no_more_keeps_what_is_held_and_lets_the_next_one_pass(place: Path) -> None:
    file = place / "spool.toml"
    with sink(place) as last:
        file.write_text(CONFIGURATION.format(place=place, hold="true", port=last.port))
        with Program(place / "spool", "run", str(file)) as program:
            waiting = nc(program.port, b"held\n")
            held = only(out(place), State.HELD)
            file.write_text(CONFIGURATION.format(place=place, hold="false", port=last.port))
            program.process.send_signal(signal.SIGHUP)
            program.says("generation 2 serves")
            assert stored(answer_of(nc(program.port, b"passes\n")))[0] == 7
            assert out(place).get(held.id).state is State.HELD
            out(place).release(held.id)
            assert stored(answer_of(waiting))[0] == 5  # it has waited through the reload
    assert contents(place / "in") == [b"held\n", b"passes\n"]


def test_over_tls_the_framed_form_brings_file_and_answer(place: Path) -> None:
    authority = CertificateAuthority(place)
    certificate = authority.issue("localhost", "127.0.0.1")
    file = place / "file.txt"
    file.write_bytes(b"in private\n")
    trust = ["--ca-file", authority.file]
    identity = ["--tls-certificate", certificate.certificate, "--tls-key", certificate.key]
    with sink(place, *identity) as last:
        command = ["spool", "--to", f"tls://127.0.0.1:{last.port}", "--dir", str(place / "out"), *trust]
        with Program(place / "spool", *command, "--listen", "127.0.0.1:0", "--form", "framed", *identity) as program:
            done = interpose("send", "--tls", *trust, str(file), f"127.0.0.1:{program.port}")
            assert stored(done.stdout.encode()) == (11, sha256(b"in private\n")), done.stderr
    assert contents(place / "in") == [b"in private\n"]

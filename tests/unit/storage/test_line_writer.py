import asyncio
import fcntl
import logging
import os
import resource
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interpose.storage import line_writer
from interpose.storage.line_writer import LineWriter, pieces


def until(done: Callable[[], bool]) -> None:
    """Wait for the writer's thread, ten seconds at most."""
    tick = threading.Event()
    for _ in range(5000):
        if done():
            return
        tick.wait(0.002)
    raise AssertionError("the thread did not get there")


@pytest.fixture(autouse=True)
def check_at_every_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "CHECK_S", 0.0)


async def write(writer: LineWriter, *lines: bytes) -> None:
    for line in lines:
        writer.write(line)
    writer.flush()


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    writer = LineWriter(str(path))
    asyncio.run(write(writer, *(b"%d\n" % number for number in range(10_000))))
    writer.close()
    assert path.read_bytes() == b"old\n" + b"".join(b"%d\n" % number for number in range(10_000))
    assert writer.dropped == 0


def test_a_line_is_written_without_being_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "FLUSH_S", 0.001)
    path = tmp_path / "log"

    async def scene() -> None:
        writer = LineWriter(str(path))
        writer.write(b"a\n")
        assert path.read_bytes() == b""
        await asyncio.to_thread(until, lambda: path.read_bytes() == b"a\n")
        writer.write(b"b\n")
        await asyncio.to_thread(until, lambda: path.read_bytes() == b"a\nb\n")
        writer.close()

    asyncio.run(scene())


def test_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    LineWriter(str(tmp_path / "log")).close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) & 0o037 == 0


@pytest.mark.parametrize("missing", ["missing/log", "."])
def test_a_file_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ValueError, match=r"^cannot write to '.*': (No such|Is a) "):
        LineWriter(str(tmp_path / missing))


def test_f27_after_a_rotation_the_new_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LineWriter(str(path))
    asyncio.run(write(writer, b"one\n"))
    until(lambda: path.read_bytes() == b"one\n")
    path.rename(tmp_path / "log.1")
    asyncio.run(write(writer, b"two\n"))
    until(path.exists)
    (tmp_path / "other").write_bytes(b"")
    until(lambda: path.read_bytes() == b"two\n")
    (tmp_path / "other").rename(path)
    asyncio.run(write(writer, b"three\n"))
    writer.close()
    assert (tmp_path / "log.1").read_bytes() == b"one\n"
    assert path.read_bytes() == b"three\n"


def test_f27_reopen_does_not_wait_for_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "CHECK_S", 3600.0)
    path = tmp_path / "log"
    writer = LineWriter(str(path))
    asyncio.run(write(writer, b"one\n"))
    until(lambda: path.read_bytes() == b"one\n")
    path.rename(tmp_path / "log.1")
    writer.reopen()
    asyncio.run(write(writer, b"two\n"))
    writer.close()
    assert path.read_bytes() == b"two\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A named pipe of one page, and a reader that reads when the test says so."""
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    yield path, reader
    os.close(reader)


def test_f27_a_sleeping_reader_costs_the_oldest_lines_and_no_time(pipe: tuple[str, int]) -> None:
    path, reader = pipe
    line = b"%099d\n"
    writer = LineWriter(path, max_queued_bytes=20_000)

    async def scene() -> None:
        for number in range(1000):
            writer.write(line % number)
            if number % 20 == 19:
                writer.flush()

    asyncio.run(scene())
    until(lambda: writer.dropped > 0)
    got = bytearray()

    def has_the_last() -> bool:
        got.extend(readable(reader))
        return got.endswith(line % 999)

    until(has_the_last)
    writer.close()
    numbers = [int(text) for text in got.split()]
    assert numbers == sorted(numbers)
    assert len(numbers) + writer.dropped == 1000
    assert numbers[-100:] == list(range(900, 1000))


def test_f27_a_reader_that_left_may_come_back(pipe: tuple[str, int], caplog: pytest.LogCaptureFixture) -> None:
    path, reader = pipe
    writer = LineWriter(path)
    asyncio.run(write(writer, b"one\n"))
    until(lambda: readable(reader) == b"one\n")
    second = os.open(os.devnull, os.O_RDONLY)
    os.dup2(second, reader)  # the pipe has no reader now
    os.close(second)
    with caplog.at_level(logging.WARNING):
        asyncio.run(write(writer, b"two\n"))
        until(lambda: writer.dropped == 1)
    asyncio.run(write(writer, b"three\n"))
    again = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        until(lambda: readable(again) == b"three\n")
    finally:
        os.close(again)
    writer.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot write to {path!r}: Broken pipe; 1 lines lost so far"
    ]


def readable(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def test_f6_a_full_disk_drops_lines_and_recovers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log"
    writer = LineWriter(str(path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        asyncio.run(write(writer, *[b"%09d\n" % number for number in range(150)]))
        until(lambda: writer.dropped > 0)
        asyncio.run(write(writer, b"lost\n"))
        until(lambda: writer.dropped == 151)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    asyncio.run(write(writer, b"found\n"))
    writer.close()
    assert path.read_bytes().endswith(b"\nfound\n")
    assert len(caplog.records) == 1


def test_closing_does_not_wait_for_a_pipe_that_nobody_opens(tmp_path: Path) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    writer = LineWriter(path)
    asyncio.run(write(writer, b"one\n"))
    writer.close(wait_s=0.01)
    reader = os.open(path, os.O_RDONLY)  # lets the thread go
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)


def test_lines_after_the_close_are_counted_as_lost(tmp_path: Path) -> None:
    writer = LineWriter(str(tmp_path / "log"))
    writer.close()
    asyncio.run(write(writer, b"late\n"))
    assert writer.dropped == 1


@pytest.mark.parametrize(
    ("data", "most", "expected"),
    [
        (b"", 4, []),
        (b"a\nb\n", 4, [b"a\nb\n"]),
        (b"a\nb\nc\n", 4, [b"a\nb\n", b"c\n"]),
        (b"aaaaaaa\nb\n", 4, [b"aaaaaaa\n", b"b\n"]),
        (b"a\nbbbbbbb\nc\n", 4, [b"a\n", b"bbbbbbb\n", b"c\n"]),
        (b"aaaaaaa", 4, [b"aaaaaaa"]),
        (b"aaa\nbbb\n", 4, [b"aaa\n", b"bbb\n"]),
    ],
)
def test_pieces_end_at_the_ends_of_lines(data: bytes, most: int, expected: list[bytes]) -> None:
    assert list(pieces(data, most)) == expected

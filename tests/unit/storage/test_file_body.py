"""Bodies that are read from files in threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from interpose.core.body import MAX_PIECE_BYTES
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.storage.file_body import file_body
from interpose.storage.site import File, OpenFile, Site

DATA = os.urandom(5 * MAX_PIECE_BYTES + 7)


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def opened(path: Path, data: bytes = DATA) -> OpenFile:
    (path / "data").write_bytes(data)
    site = Site(str(path), index=(), codings=(), hidden=False, listing=False)
    assert isinstance(site.look(["/data"]), File)
    file = site.open("/data", "")
    assert file is not None
    return file


class Slow:
    """A sink that takes one chunk, and another when it is told to."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.on_drain: Callable[[], None] | None = None
        self.came = asyncio.Event()
        self.outcome: Failure | str = ""

    def write(self, chunk: bytes) -> bool:
        self.chunks.append(chunk)
        self.came.set()
        return False

    def end(self, trailers: Fields | None) -> None:
        self.outcome = "whole"
        self.came.set()

    def abort(self, failure: Failure) -> None:
        self.outcome = failure
        self.came.set()

    async def next(self) -> None:
        self.came.clear()
        assert self.on_drain is not None
        self.on_drain()
        async with asyncio.timeout(5):
            await self.came.wait()


async def test_a_slow_reader_has_one_piece_at_a_time(tmp_path: Path, threads: Executor) -> None:
    sink = Slow()
    file_body(opened(tmp_path), threads, 0, len(DATA) - 1).pipe(sink)
    async with asyncio.timeout(5):
        await sink.came.wait()
    for number in range(1, 6):
        await asyncio.get_running_loop().run_in_executor(threads, int)  # whatever was asked for would have come
        assert len(sink.chunks) == number
        assert max(map(len, sink.chunks)) <= MAX_PIECE_BYTES
        await sink.next()
    assert (b"".join(sink.chunks), sink.outcome) == (DATA, "whole")


async def test_a_part_is_that_part(tmp_path: Path, threads: Executor) -> None:
    file = opened(tmp_path)
    body = file_body(file, threads, 10, 300_000)
    assert body.length == 299_991
    assert await body.read(len(DATA)) == DATA[10:300_001]
    assert (await file_body(file, threads, 5, 4).read(1), file_body(file, threads, 5, 4).length) == (b"", 0)


async def test_what_is_closed_is_read_no_more_and_leaves_its_file(tmp_path: Path, threads: Executor) -> None:
    before = len(os.listdir("/proc/self/fd"))
    body = file_body(opened(tmp_path), threads, 0, len(DATA) - 1)
    await body.next_chunk()
    body.close()
    other = file_body(opened(tmp_path), threads, 0, len(DATA) - 1)
    reading = asyncio.ensure_future(other.next_chunk())
    await asyncio.sleep(0)  # it has asked
    other.close()
    with pytest.raises(Failure):
        await reading
    for _ in range(2):
        await asyncio.get_running_loop().run_in_executor(threads, int)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_an_error_of_the_disk_breaks_the_body_off(tmp_path: Path, threads: Executor) -> None:
    class Broken(OpenFile):
        def read(self, place: int, limit: int) -> bytes:
            raise OSError(5, "Input/output error")

    file = opened(tmp_path)
    broken = Broken(os.dup(file.fd), file.seen)
    with pytest.raises(Failure, match="Input/output error"):
        await file_body(broken, threads, 0, 9).read(10)

"""Contents that are read while they are sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from interpose.console.downloads import batches


async def test_small_pieces_go_together_and_all_of_them_go() -> None:
    found = [batch async for batch in batches(iter([b"%07d\n" % number for number in range(100_000)]))]
    assert len(found) < 10
    assert b"".join(found) == b"".join(b"%07d\n" % number for number in range(100_000))


async def test_who_leaves_has_the_source_closed() -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1 << 18)
        finally:
            closed.set()

    wanted = batches(endless())
    assert len(await anext(wanted)) == 1 << 18
    await wanted.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()


async def test_who_leaves_while_a_thread_reads_does_not_wait_for_it() -> None:
    reads, goes_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        try:
            reads.set()
            goes_on.wait(10)
            yield b"late"
            yield b"never wanted"
        finally:
            closed.set()

    wanted = batches(slow())
    first = asyncio.ensure_future(anext(wanted))  # type: ignore[arg-type]
    await asyncio.to_thread(reads.wait, 10)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not closed.is_set()
    goes_on.set()
    assert await asyncio.to_thread(closed.wait, 10)

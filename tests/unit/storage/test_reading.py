"""Bodies that are read piece by piece: as quickly as they are wanted, in turns, and let go of once."""

from __future__ import annotations

import asyncio

import pytest

from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.storage.reading import PIECE_BYTES, body_of

DAMAGED = Failure("proxy_internal_error", Side.INTERNAL, "its digest is wrong")


class File:
    """Content whose reads are written down; one of them may go wrong."""

    def __init__(self, size: int, wrong: object = None) -> None:
        self.content = bytes(range(256)) * (size // 256 + 1)
        self.wrong = wrong
        self.reads: list[tuple[int, int]] = []
        self.released = 0

    def read(self, place: int, limit: int) -> bytes:
        self.reads.append((place, limit))
        if len(self.reads) == 2 and self.wrong is not None:
            if isinstance(self.wrong, BaseException):
                raise self.wrong
            return b""
        return self.content[place : place + limit]

    def release(self) -> None:
        self.released += 1


class Sink:
    def __init__(self, room: int = 1 << 40) -> None:
        self.on_drain = None
        self.room = room
        self.got = bytearray()
        self.ended: object = None

    def write(self, chunk: bytes) -> bool:
        self.got += chunk
        return len(self.got) < self.room

    def end(self, trailers: Fields | None) -> None:
        self.ended = "end"

    def abort(self, failure: Failure) -> None:
        self.ended = failure


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_read_before_it_is_wanted() -> None:
    file = File(100)
    body = body_of(file.read, 0, 99, file.release)
    await turns()
    assert file.reads == []
    assert (body.length, body.is_complete) == (100, False)
    body.close()
    assert file.released == 1


async def test_one_piece_is_read_in_a_turn_and_others_come_between() -> None:
    file = File(3 * PIECE_BYTES)
    sink = Sink()
    body_of(file.read, 10, 3 * PIECE_BYTES - 1, file.release).pipe(sink)
    assert file.reads == [(10, PIECE_BYTES)]
    await turns()
    assert len(file.reads) == 3
    assert sink.got == file.content[10 : 3 * PIECE_BYTES]
    assert (sink.ended, file.released) == ("end", 1)


async def test_a_consumer_that_is_full_is_waited_for() -> None:
    file = File(2 * PIECE_BYTES)
    sink = Sink(room=1)
    body_of(file.read, 0, 2 * PIECE_BYTES - 1, file.release).pipe(sink)
    await turns()
    assert len(file.reads) == 1
    sink.room = 1 << 40
    assert sink.on_drain is not None
    sink.on_drain()
    await turns()
    assert sink.ended == "end"


async def test_short_reads_are_gone_on_with() -> None:
    file = File(1000)
    body = body_of(lambda place, limit: file.read(place, min(limit, 7)), 0, 999, file.release)
    assert await body.read(1000) == file.content[:1000]
    assert file.released == 1


@pytest.mark.parametrize(
    ("wrong", "says"), [(OSError(5, "Input/output error"), "Input/output"), (b"", "shorter"), (DAMAGED, "digest")]
)
async def test_what_cannot_be_read_breaks_off_visibly(wrong: object, says: str) -> None:
    file = File(3 * PIECE_BYTES, wrong)
    sink = Sink()
    body_of(file.read, 0, 3 * PIECE_BYTES - 1, file.release).pipe(sink)
    await turns()
    assert len(sink.got) == PIECE_BYTES
    assert isinstance(sink.ended, Failure)
    assert says in sink.ended.detail
    assert file.released == 1


async def test_who_leaves_ends_the_reading() -> None:
    file = File(3 * PIECE_BYTES)
    body = body_of(file.read, 0, 3 * PIECE_BYTES - 1, file.release)
    body.pipe(Sink())
    body.close()
    await turns()
    assert (len(file.reads), file.released) == (1, 1)


async def test_no_octets_are_a_body_too() -> None:
    file = File(0)
    body = body_of(file.read, 0, -1, file.release)
    assert body.is_complete
    assert (await body.read(1), file.released, file.reads) == (b"", 1, [])


async def test_a_consumer_may_ask_for_more_while_it_is_fed() -> None:
    file = File(3 * PIECE_BYTES)

    class Eager(Sink):
        def write(self, chunk: bytes) -> bool:
            assert len(file.reads) * PIECE_BYTES - len(self.got) == PIECE_BYTES
            super().write(chunk)
            assert self.on_drain is not None
            self.on_drain()
            return True

    sink = Eager()
    body_of(file.read, 0, 3 * PIECE_BYTES - 1).pipe(sink)
    await turns()
    assert sink.got == file.content[: 3 * PIECE_BYTES]

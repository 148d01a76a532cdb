"""The courier: what it sends, when it tries again, and what follows when disk or server are not as they should be."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.memory_stream import MemoryStream
from tests.support.raw_spool import OPENING, THEIR_OPENING

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure, Side
from interpose.core.target import Origin
from interpose.engine.courier import Courier
from interpose.engine.spool_options import SpoolOptions
from interpose.engine.spool_sender import Errand
from interpose.engine.spool_work import UNSEEN, Threads
from interpose.storage.spool import Spool
from interpose.storage.spool_claim import Claim
from interpose.storage.spool_item import Item, State
from interpose.storage.spool_upload import Upload

DATA = b"hello"
DIGEST = hashlib.sha256(DATA)
STORED_LINE = f"stored a 5 bytes sha256 {DIGEST.hexdigest()} as aaaaaaaaaaaaaaaa\n".encode()
STORED = THEIR_OPENING + b"\x03\x00\x00\x00\x28" + bytes(7) + b"\x05" + DIGEST.digest() + b"\x04\x00\x00\x00\x02ok"


class Place:
    """A spool with a courier, a clock that stands still, and a server that says `says` to every connection."""

    def __init__(self, directory: Path, says: bytes | Failure = b"thanks\n", **options: object) -> None:
        self.now = 1000.0
        self.spool = Spool(str(directory), wall=lambda: self.now)
        self.spool.prepare()
        self.says = says
        self.streams: list[MemoryStream] = []
        settings = replace(SpoolOptions(dir=str(directory)), **options)  # type: ignore[arg-type]
        errand = Errand(Origin("tcp", "there", 9), self.dial, settings, None)
        self.courier = Courier(self.spool, errand, Threads(), UNSEEN)

    async def dial(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> MemoryStream:
        if isinstance(self.says, Failure):
            raise self.says
        stream = MemoryStream()
        self.streams.append(stream)
        stream.receive(self.says)
        stream.receive_end()
        return stream

    def store(self, state: State = State.RECEIVED) -> Item:
        upload = self.spool.begin(client="c", name="a")
        assert isinstance(upload, Upload)
        upload.write(DATA)
        return upload.finish(state, self.now)

    async def until(self, id_: str, condition: Callable[[Item], bool]) -> Item:
        async with asyncio.timeout(10):
            while not condition(self.spool.get(id_)):
                self.courier.tick()
                await asyncio.sleep(0.001)
        return self.spool.get(id_)

    async def rest(self) -> None:
        """Everything that was begun has come to its end."""
        for _ in range(20):
            self.courier.tick()
            await asyncio.sleep(0.005)


REFUSED = Failure("connection_refused", Side.UPSTREAM, "there:9 refused the connection.")


async def test_the_plain_form_is_spoken_until_an_answer_shows_that_the_framed_one_is_known(tmp_path: Path) -> None:
    place = Place(tmp_path, STORED_LINE)
    first = await place.until(place.store().id, lambda item: item.state is State.CONFIRMED)
    place.says = STORED
    second = await place.until(place.store().id, lambda item: item.state is State.CONFIRMED)
    assert [stream.sent.startswith(OPENING) for stream in place.streams] == [False, True]
    assert place.streams[0].sent == DATA
    assert [first.by_id, second.by_id] == [False, True]
    await place.rest()
    assert [place.spool.answer(item.id) for item in (first, second)] == [STORED_LINE, b"ok"]
    again = Place(tmp_path, STORED)  # after a restart
    await again.until(again.store().id, lambda item: item.state is State.CONFIRMED)
    assert again.streams[0].sent.startswith(OPENING)
    await again.courier.close()
    await place.courier.close()


async def test_a_server_that_is_no_sink_any_more_is_spoken_to_plainly(tmp_path: Path) -> None:
    place = Place(tmp_path, STORED_LINE)
    await place.until(place.store().id, lambda item: item.state is State.CONFIRMED)
    place.says = b"220 mail.example\r\n"
    item = await place.until(place.store().id, lambda item: item.state is State.CONFIRMED)
    assert item.by_id is False
    assert [stream.sent.startswith(OPENING) for stream in place.streams] == [False, True, False]
    await place.courier.close()


async def test_a_refusal_of_a_sink_is_no_confirmation(tmp_path: Path) -> None:
    place = Place(tmp_path, b"not stored: no space left on device\n")
    item = await place.until(place.store().id, lambda item: bool(item.problem))
    assert item.state is State.SENDING
    assert item.problem == "the server does not take it: no space left on device"
    await place.courier.close()


async def test_the_next_try_is_after_1_2_4_and_at_most_60_seconds_and_the_end_is_after_give_up_s(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, REFUSED, give_up_s=300.0)
    id_ = place.store().id
    told = place.courier.outcome(id_)
    waits = []
    for tries in range(1, 12):
        item = await place.until(id_, lambda item: item.has_ended or item.next_try_at > place.now)
        assert item.tries == tries
        if item.has_ended:
            break
        waits.append(item.next_try_at - place.now)
        await place.rest()
        assert place.spool.get(id_).tries == tries, "it is not tried before its time"
        place.now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert await asyncio.wait_for(told, 5) == b"failed: there:9 refused the connection.\n"
    place.says = b"thanks\n"
    place.spool.release(id_)
    await place.until(id_, lambda item: item.state is State.CONFIRMED)
    await place.courier.close()


async def test_what_the_server_has_is_not_sent_again_because_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, step, is_full = Place(tmp_path), Claim.step, True

    def full(self: Claim, state: State, why: str = "", **changes: object) -> Item:
        if is_full and state is State.CONFIRMED:
            raise OSError(errno.ENOSPC, "No space left on device")
        return step(self, state, why, **changes)

    monkeypatch.setattr(Claim, "step", full)
    id_ = place.store().id
    await place.until(id_, lambda item: bool(place.streams))
    await place.rest()
    assert place.spool.get(id_).state is State.SENDING
    is_full = False
    await place.until(id_, lambda item: item.state is State.CONFIRMED)
    assert len(place.streams) == 1
    assert place.spool.answer(id_) == b"thanks\n"
    await place.courier.close()


async def test_what_was_changed_after_its_release_is_held_and_not_even_dialled_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    id_ = place.store(State.HELD).id
    place.spool.release(id_)
    swap(place.spool.path(id_))
    item = await place.until(id_, lambda item: item.state is State.HELD)
    assert item.approved_sha256 == ""
    assert place.streams == []
    await place.courier.close()


def swap(path: str) -> None:
    Path(path).write_bytes(b"swapped")


async def test_of_two_couriers_one_sends(tmp_path: Path) -> None:
    one, other = Place(tmp_path), Place(tmp_path)
    ids = [one.store().id for _ in range(30)]
    async with asyncio.timeout(20):
        while not all(one.spool.get(id_).state is State.CONFIRMED for id_ in ids):
            one.courier.tick()
            other.courier.tick()
            await asyncio.sleep(0.001)
    assert len(one.streams) + len(other.streams) == 30
    told = [await asyncio.wait_for(waited(place, ids[0]), 5) for place in (one, other)]
    assert told == [b"thanks\n"] * 2
    await one.courier.close()
    await other.courier.close()


async def waited(place: Place, id_: str) -> bytes:
    told = place.courier.outcome(id_)
    place.courier.look()
    return await told


async def test_who_waits_is_told_of_what_others_decide_and_let_go_at_the_end(tmp_path: Path) -> None:
    place = Place(tmp_path)
    dropped, held = place.store(State.HELD).id, place.store(State.HELD).id
    first, second = place.courier.outcome(dropped), place.courier.outcome(held)
    place.spool.drop(dropped)
    place.courier.look()
    assert (await asyncio.wait_for(first, 5)).startswith(b"dropped: ")
    assert not second.done()
    await place.courier.close()
    assert await second == b""

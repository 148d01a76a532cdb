"""How one file is sent over one stream: whole or visibly not, in either form."""

from __future__ import annotations

import asyncio
import hashlib
import struct

import pytest
from tests.support.memory_stream import MemoryStream
from tests.support.raw_spool import OPENING, THEIR_OPENING, offer

from interpose.core.failure import Failure, Side
from interpose.engine import spool_delivery
from interpose.engine.intake import ENOUGH_BYTES, Intake
from interpose.engine.spool_delivery import PIECE_BYTES, Changed, Delivery, NoAnswer, NotFramed, Rejected
from interpose.engine.spool_work import UNSEEN, Threads
from interpose.protocol.spool_frame import FrameError, Stored

DATA = bytes(range(256)) * 4 * 1024  # four pieces
ID = b"0123456789"
RESUME_0 = THEIR_OPENING + b"\x02\x00\x00\x00\x08" + bytes(8)


class Content:
    """Octets in memory; `later` is what is there from the second piece on."""

    def __init__(self, data: bytes = DATA, later: bytes | None = None, is_unchanged: bool = True) -> None:
        self.size = len(data)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._data = data
        self._later = data if later is None else later
        self._is_unchanged = is_unchanged

    def read(self, offset: int, size: int) -> bytes:
        return (self._later if offset else self._data)[offset : offset + size]

    def is_unchanged(self) -> bool:
        return self._is_unchanged


class Scene:
    """A delivery and the server's end of its stream."""

    def __init__(self, content: Content) -> None:
        self.stream = MemoryStream()
        intake = Intake(self.stream, Side.UPSTREAM, keeps=1 << 20)
        self.delivery = Delivery(intake, content, Threads(), UNSEEN.begin("", 0))

    async def says(self, octets: bytes, *, after: int) -> None:
        """The server says something when it has got so many octets."""
        async with asyncio.timeout(10):
            while len(self.stream.sent) < after:  # noqa: ASYNC110 - the memory stream tells nobody
                await asyncio.sleep(0)
        self.stream.receive(octets)


@pytest.fixture
async def scene() -> Scene:
    return Scene(Content())


async def test_the_plain_form_is_the_bytes_and_their_end_and_the_answer_all_that_comes(scene: Scene) -> None:
    delivering = asyncio.ensure_future(scene.delivery.plain(None))
    await scene.says(b"early, ", after=PIECE_BYTES)
    await scene.says(b"and late", after=len(DATA))
    scene.stream.receive_end()
    assert await delivering == b"early, and late"
    assert scene.stream.sent == DATA
    assert scene.stream.has_ended


@pytest.mark.parametrize(
    "content",
    [
        Content(later=DATA.replace(b"\x07", b"\x08")),  # somebody wrote into it
        Content(later=DATA[: 3 * PIECE_BYTES]),  # somebody cut it off
        Content(is_unchanged=False),  # somebody wrote behind what was read already
    ],
    ids=["written", "cut", "written behind"],
)
@pytest.mark.parametrize("is_framed", [False, True])
async def test_what_changes_while_it_is_sent_is_never_sent_to_its_end(content: Content, is_framed: bool) -> None:
    scene = Scene(content)
    head = offer(ID, DATA, "n")
    delivering = asyncio.ensure_future(scene.delivery.framed(ID, "n") if is_framed else scene.delivery.plain(None))
    if is_framed:
        await scene.says(RESUME_0, after=len(head))
    with pytest.raises(Changed):
        await delivering
    assert not scene.stream.has_ended
    assert len(scene.stream.sent) < len(DATA)


async def test_the_framed_form_sends_what_is_missing_and_gives_what_is_stored(scene: Scene) -> None:
    head = offer(ID, DATA, "n")
    assert head.startswith(OPENING)
    delivering = asyncio.ensure_future(scene.delivery.framed(ID, "n"))
    await scene.says(THEIR_OPENING + b"\x02\x00\x00\x00\x08" + struct.pack(">Q", 300_000), after=len(head))
    await scene.says(
        b"\x03\x00\x00\x00\x28" + struct.pack(">Q", len(DATA)) + bytes(32), after=len(head) + len(DATA) - 300_000
    )
    assert await delivering == Stored(len(DATA), bytes(32))
    assert scene.stream.sent == head + DATA[300_000:]
    assert not await scene.delivery.has_answer(0.001)
    scene.stream.receive(b"\x04\x00\x00\x00\x03ok\n")
    assert await scene.delivery.has_answer(1)
    assert await scene.delivery.answer(1) == b"ok\n"


async def test_a_server_that_has_it_already_is_not_sent_it_again(scene: Scene) -> None:
    delivering = asyncio.ensure_future(scene.delivery.framed(ID, ""))
    await scene.says(THEIR_OPENING + b"\x03\x00\x00\x00\x28" + bytes(40), after=1)
    assert await delivering == Stored(0, bytes(32))
    assert scene.stream.sent == offer(ID, DATA)


@pytest.mark.parametrize("is_final", [False, True])
async def test_a_refusal_in_the_middle_stops_the_sending(is_final: bool) -> None:
    scene = Scene(Content(DATA * 20))
    delivering = asyncio.ensure_future(scene.delivery.framed(ID, ""))
    await scene.says(RESUME_0, after=1)
    await scene.says(b"\x05\x00\x00\x00\x05" + bytes([is_final]) + b"full", after=PIECE_BYTES)
    with pytest.raises(Rejected, match="full") as refused:
        await delivering
    assert refused.value.is_final is is_final
    assert len(scene.stream.sent) < len(DATA) * 20


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (OPENING + b"\x01\x00", NotFramed),  # an echo
        (b"220 mail.example ready\r\n", NotFramed),
        (b"", Failure),  # it ended: it may have died, and is asked again
        (None, Failure),  # it is silent: likewise
        (THEIR_OPENING + b"\x02\x00\x00\x00\x08" + b"\x7f" * 8, FrameError),  # it has more than there is
        (THEIR_OPENING + b"\x04\x00\x00\x00\x00", FrameError),
        (THEIR_OPENING + b"\x09", FrameError),
        (THEIR_OPENING + b"\x02\x00", Failure),  # it ended in the middle
    ],
)
async def test_what_is_no_answer_of_a_sink(
    scene: Scene, said: bytes | None, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_delivery, "OPENING_TIMEOUT_S", 0.01)
    delivering = asyncio.ensure_future(scene.delivery.framed(ID, ""))
    if said is not None:
        await scene.says(said, after=1)
        scene.stream.receive_end()
    with pytest.raises(kind):
        await delivering


async def test_a_server_that_took_everything_and_says_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_delivery, "ANSWER_TIMEOUT_S", 0.01)
    with pytest.raises(NoAnswer, match="it was sent whole"):
        await scene.delivery.plain(None)
    assert scene.stream.has_ended


# --- the intake ------------------------------------------------------------------------------------------------------


async def test_an_end_in_order_is_not_a_loss() -> None:
    ended, lost, cut = MemoryStream(), MemoryStream(), MemoryStream()
    intakes = [Intake(stream, Side.DOWNSTREAM) for stream in (ended, lost, cut)]
    for stream in (ended, lost, cut):
        stream.receive(b"all of it?")
    ended.receive_end()
    lost.lose()
    cut.lose(None)  # by ourselves: a deadline, or the end of the worker
    assert [await intake.take(1) for intake in intakes] == [b"all of it?"] * 3
    assert await intakes[0].take(1) == b""
    for intake in intakes[1:]:
        with pytest.raises(Failure) as failure:
            await intake.take(1)
        assert failure.value.side is Side.DOWNSTREAM


async def test_what_nobody_takes_pauses_its_sender() -> None:
    stream = MemoryStream()
    intake = Intake(stream, Side.DOWNSTREAM)
    stream.receive(bytes(ENOUGH_BYTES))
    assert not stream.is_reading
    assert len(await intake.take(1)) == ENOUGH_BYTES
    assert stream.is_reading


async def test_an_intake_that_keeps_the_beginning_never_pauses() -> None:
    stream = MemoryStream()
    intake = Intake(stream, Side.UPSTREAM, keeps=5)
    for _ in range(100):
        stream.receive(bytes(ENOUGH_BYTES))
    assert stream.is_reading
    assert await intake.take(1) == bytes(5)


async def test_who_writes_waits_for_a_slow_reader_and_learns_of_its_loss() -> None:
    stream = MemoryStream(window=4)
    intake = Intake(stream, Side.UPSTREAM)
    writing = asyncio.ensure_future(intake.write(b"more than four"))
    await asyncio.sleep(0)
    assert not writing.done()
    stream.take()
    await asyncio.wait_for(writing, 1)
    writing = asyncio.ensure_future(intake.write(b"more than four"))
    await asyncio.sleep(0)
    stream.lose()
    with pytest.raises(Failure):
        await writing

"""A recorded stream: the record has everything, and neither it nor the receiver is overrun."""

from __future__ import annotations

from tests.support.memory_stream import CLIENT, SERVER, MemoryStream
from tests.unit.engine.test_talk import Heard

from interpose.core.failure import Failure
from interpose.engine.recorded import Recorded


class Kept:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def bytes_received(self, data: bytes) -> None:
        self.events.append(data)

    def end_received(self) -> None:
        self.events.append("end")

    def writable(self) -> None:
        self.events.append("writable")

    def connection_lost(self, failure: Failure | None) -> None:
        self.events.append(failure)


async def test_everything_is_recorded_and_passed_on() -> None:
    inner, record, kept = MemoryStream(SERVER, CLIENT), Heard(), Kept()
    stream = Recorded(inner, record)
    stream.attach(kept)
    inner.receive(b"a")
    inner.receive(b"b")
    inner.receive_end()
    inner.lose(None)
    assert record.content == b"ab"
    assert kept.events == [b"a", b"b", "end", None]
    assert stream.info is inner.info


async def test_it_is_read_only_when_both_have_room() -> None:
    inner, record, kept = MemoryStream(SERVER, CLIENT), Heard(), Kept()
    stream = Recorded(inner, record)
    stream.attach(kept)
    record.is_full = True
    inner.receive(b"a")
    assert not stream.is_reading
    stream.resume()
    assert not stream.is_reading, "the record is still full"
    stream.pause()
    assert record.on_drain is not None
    record.on_drain()
    assert not stream.is_reading, "the receiver does not want more"
    stream.resume()
    assert stream.is_reading

"""A connection with faults: each fault in each direction, ends behind data, and losses that are told."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_clock import FakeClock
from tests.support.memory_stream import RESET, MemoryStream

from interpose.core.failure import Failure
from interpose.core.fault import Chances, Fault
from interpose.core.lane import LIMIT_BYTES
from interpose.core.stream import Stream
from interpose.engine.faults import FaultStep, FaultyStream


class Ear:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.said: list[str] = []
        self.failure: Failure | None = None

    def bytes_received(self, data: bytes) -> None:
        assert data
        assert "lost" not in self.said
        self.data += data

    def end_received(self) -> None:
        self.said.append("end")

    def writable(self) -> None:
        self.said.append("writable")

    def connection_lost(self, failure: Failure | None) -> None:
        self.said.append("lost")
        self.failure = failure


class Talk:
    """A faulty stream: `client` is the other side, `ear` who serves."""

    def __init__(self, *faults: Fault, window: int | None = None) -> None:
        self.clock = FakeClock()
        self.client = MemoryStream(window=window)
        self.stream = FaultyStream(self.client, Chances(faults).draw(), self.clock)
        self.ear = Ear()
        self.stream.attach(self.ear)

    async def after(self, seconds: float) -> None:
        """So much time passes, and the loop goes round."""
        self.clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0)
        self.clock.advance(0)


async def test_latency_holds_both_ways_and_ends_come_behind_data() -> None:
    talk = Talk(Fault(kind="latency", latency_s=0.5))
    talk.client.receive(b"question")
    talk.client.receive_end()
    talk.stream.write(b"answer")
    talk.stream.close()
    await talk.after(0.4)
    assert (talk.ear.data, talk.client.sent, talk.client.is_closed) == (b"", b"", False)
    await talk.after(0.2)
    assert (talk.client.sent, talk.client.is_closed) == (b"answer", True)
    assert talk.ear.said == ["lost"]  # after its own close it hears no more


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_latency_may_be_of_one_direction(direction: str) -> None:
    talk = Talk(Fault(kind="latency", latency_s=0.5, direction=direction))  # type: ignore[arg-type]
    talk.client.receive(b"in")
    talk.stream.write(b"out")
    assert (talk.ear.data, talk.client.sent) == ((b"", b"out") if direction == "inbound" else (b"in", b""))
    await talk.after(1)
    assert (talk.ear.data, talk.client.sent) == (b"in", b"out")


async def test_half_closed_the_other_direction_goes_on() -> None:
    talk = Talk(Fault(kind="latency", latency_s=0.5))
    talk.client.receive(b"all")
    talk.client.receive_end()
    await talk.after(1)
    assert (talk.ear.data, talk.ear.said) == (b"all", ["end"])
    talk.stream.write(b"answer")
    talk.stream.end()
    await talk.after(1)
    assert (talk.client.sent, talk.client.has_ended, talk.client.is_closed) == (b"answer", True, False)


async def test_bandwidth_pauses_who_sends_too_much() -> None:
    talk = Talk(Fault(kind="bandwidth", rate_bytes_per_s=100_000))
    talk.client.receive(bytes(LIMIT_BYTES * 2))
    assert not talk.client.is_reading
    assert not talk.stream.write(bytes(LIMIT_BYTES * 2))
    assert talk.stream.is_full
    await talk.after(2)
    assert 190_000 <= len(talk.client.sent) <= 210_000
    await talk.after(30)
    assert (len(talk.ear.data), len(talk.client.sent)) == (LIMIT_BYTES * 2, LIMIT_BYTES * 2)
    assert talk.client.is_reading
    assert talk.ear.said == ["writable"]


async def test_a_client_that_does_not_take_stops_the_lane() -> None:
    talk = Talk(Fault(kind="slicer", average_bytes=10), window=100)
    assert not talk.stream.write(bytes(500))
    assert len(talk.client.sent) <= 120
    for _ in range(100):
        talk.client.take()
        await talk.after(0)
    assert len(talk.client.sent) == 500
    assert "writable" in talk.ear.said


async def test_who_serves_slowly_is_waited_for() -> None:
    talk = Talk(Fault(kind="latency", latency_s=0.1))
    talk.client.receive(b"one")
    await talk.after(0.2)
    talk.stream.pause()
    talk.client.receive(b"two")
    await talk.after(1)
    assert (talk.ear.data, talk.stream.is_reading) == (b"one", False)
    talk.stream.resume()
    assert talk.ear.data == b"one"  # never from within
    await talk.after(0)  # only now the client's side is read again
    await talk.after(1)
    assert talk.ear.data == b"onetwo"


async def test_a_slow_close_comes_late() -> None:
    talk = Talk(Fault(kind="slow_close", delay_s=3.0))
    talk.stream.write(b"bye")
    talk.stream.close()
    await talk.after(2.9)
    assert (talk.client.sent, talk.client.is_closed) == (b"bye", False)
    await talk.after(0.2)
    assert talk.client.is_closed


@pytest.mark.parametrize(
    ("direction", "aborted", "failed"), [("both", True, True), ("outbound", True, False), ("inbound", False, True)]
)
async def test_a_reset_reaches_the_side_that_was_said(direction: str, aborted: bool, failed: bool) -> None:
    talk = Talk(Fault(kind="reset_peer", after_s=1.0, direction=direction))  # type: ignore[arg-type]
    talk.client.receive(b"before")
    await talk.after(0.9)
    assert (talk.ear.data, talk.ear.said) == (b"before", [])
    await talk.after(0.2)
    assert (talk.client.was_aborted, talk.client.is_closed) == (aborted, True)
    assert talk.ear.said == ["lost"]
    assert (talk.ear.failure is not None) == failed
    assert talk.clock.waiting == 0


async def test_a_reset_at_once_needs_no_byte() -> None:
    talk = Talk(Fault(kind="reset_peer"))
    await talk.after(0)
    assert (talk.client.was_aborted, talk.ear.said) == (True, ["lost"])


async def test_a_black_hole_swallows_everything_and_closes_when_it_should() -> None:
    talk = Talk(Fault(kind="timeout", after_s=5.0))
    for _ in range(10):
        talk.client.receive(bytes(100_000))
        talk.stream.write(bytes(100_000))
    talk.client.receive_end()
    talk.stream.end()
    await talk.after(4.9)
    assert (talk.ear.data, talk.ear.said, talk.client.sent, talk.client.has_ended) == (b"", [], b"", False)
    assert talk.client.is_reading  # who leaves is noticed
    await talk.after(0.2)
    assert (talk.client.is_closed, talk.ear.said) == (True, ["lost"])


@pytest.mark.parametrize("leaves", ["client", "server", "server in a hurry"])
async def test_a_black_hole_without_end_ends_with_one_side(leaves: str) -> None:
    talk = Talk(Fault(kind="timeout"))
    await talk.after(1e6)
    assert talk.ear.said == []
    if leaves == "client":
        talk.client.lose(RESET)
        assert talk.ear.failure is RESET
    elif leaves == "server":
        talk.stream.close()
    else:
        talk.stream.abort()
    await talk.after(0)
    assert (talk.client.is_lost, talk.ear.said) == (True, ["lost"])


async def test_a_black_hole_may_be_of_one_direction() -> None:
    talk = Talk(Fault(kind="timeout", direction="outbound"))
    talk.client.receive(b"heard")
    talk.stream.write(b"lost")
    await talk.after(10)
    assert (talk.ear.data, talk.client.sent) == (b"heard", b"")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_a_limit_closes_the_connection_behind_its_last_byte(direction: str) -> None:
    talk = Talk(Fault(kind="limit_data", bytes=5, direction=direction))  # type: ignore[arg-type]
    talk.client.receive(b"abcdefgh" if direction == "inbound" else b"abc")
    talk.stream.write(b"ABCDEFGH" if direction == "outbound" else b"ABC")
    await talk.after(0)
    expected = (b"abcde", b"") if direction == "inbound" else (b"abc", b"ABCDE")
    assert (talk.ear.data, talk.client.sent) == expected
    assert (talk.client.is_closed, talk.client.was_aborted) == (True, False)
    assert talk.ear.said == (["end", "lost"] if direction == "inbound" else ["lost"])


async def test_a_limit_waits_for_who_is_to_get_what_was_said() -> None:
    """A relay that is still connecting has not begun to receive."""
    client = MemoryStream()
    stream = FaultyStream(client, Chances([Fault(kind="limit_data", bytes=5)]).draw(), FakeClock())
    lost: list[Failure | None] = []
    stream.when_lost(lost.append)
    client.receive(b"abcdefgh")
    client.receive_end()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (client.is_closed, lost) == (True, [])
    ear = Ear()
    stream.attach(ear)
    assert (ear.data, ear.said, lost) == (b"abcde", ["end", "lost"], [None])


@pytest.mark.parametrize("how", ["abort", "close"])
async def test_a_limit_waits_for_nobody_who_has_given_up(how: str) -> None:
    clock = FakeClock()
    client = MemoryStream()
    stream = FaultyStream(client, Chances([Fault(kind="limit_data", bytes=5)]).draw(), clock)
    lost: list[Failure | None] = []
    stream.when_lost(lost.append)
    client.receive(b"abcdefgh")
    for _ in range(5):
        await asyncio.sleep(0)
    getattr(stream, how)()
    clock.advance(0)
    assert lost == [None]


async def test_what_a_client_said_before_it_left_is_still_delivered() -> None:
    for failure in (None, RESET):
        talk = Talk(Fault(kind="latency", latency_s=1.0))
        lost: list[Failure | None] = []
        talk.stream.when_lost(lost.append)
        talk.client.receive(b"my last words")
        talk.client.lose(failure)
        talk.stream.write(b"too late")
        await talk.after(0.5)
        assert (talk.ear.said, lost) == ([], [])
        await talk.after(1)
        assert (talk.ear.data, talk.ear.said, talk.ear.failure) == (b"my last words", ["lost"], failure)
        assert lost == [failure]


@pytest.mark.parametrize("how", ["abort", "close"])
async def test_giving_up_waits_for_nothing_that_a_client_said_before_it_left(how: str) -> None:
    talk = Talk(Fault(kind="latency", latency_s=100.0))
    talk.client.receive(b"x")
    talk.client.lose(RESET)
    getattr(talk.stream, how)()
    await talk.after(0)
    assert (talk.ear.said, talk.ear.data) == (["lost"], b"")


async def test_abort_drops_what_is_on_its_way() -> None:
    talk = Talk(Fault(kind="latency", latency_s=1.0))
    talk.stream.write(b"never sent")
    talk.stream.abort()
    await talk.after(10)
    assert (talk.client.sent, talk.client.was_aborted, talk.ear.said) == (b"", True, ["lost"])


async def test_pulling_works_through_faults() -> None:
    clock = FakeClock()
    client = MemoryStream()
    stream = FaultyStream(client, Chances([Fault(kind="slicer", average_bytes=2)]).draw(), clock)
    client.receive(b"abcdef")
    client.receive_end()
    assert await stream.peek(3) == b"abcdef"
    assert await stream.read(4) == b"abcd"
    ear = Ear()
    stream.attach(ear)
    assert (ear.data, ear.said) == (b"ef", ["end"])


async def test_only_the_connections_that_are_chosen_are_wrapped() -> None:
    served: list[Stream] = []
    step = FaultStep(Chances([Fault(kind="timeout", probability=0.5, seed=1)]), served.append, FakeClock())
    streams = [MemoryStream() for _ in range(50)]
    for stream in streams:
        step(stream)
    plain = [stream for stream in served if isinstance(stream, MemoryStream)]
    assert 10 < len(plain) < 40
    assert all(plain_stream in streams for plain_stream in plain)


PASSING = st.lists(
    st.one_of(
        st.builds(lambda late: Fault(kind="latency", latency_s=late, jitter_s=late), st.floats(0, 1)),
        st.builds(lambda rate: Fault(kind="bandwidth", rate_bytes_per_s=rate), st.integers(200, 1_000_000)),
        st.builds(lambda size: Fault(kind="slicer", average_bytes=size, variation_bytes=size - 1), st.integers(1, 99)),
        st.builds(lambda delay: Fault(kind="slow_close", delay_s=delay), st.floats(0, 1)),
    ),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["says", "writes"]), st.binary(min_size=1, max_size=2000)),
        st.tuples(st.sampled_from(["time"]), st.floats(0, 1)),
        st.tuples(st.sampled_from(["take", "pause", "resume"]), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(faults=PASSING, steps=STEPS, window=st.sampled_from([None, 500]))
def test_every_byte_arrives_once_and_in_order(
    faults: Sequence[Fault], steps: list[tuple[str, object]], window: int | None
) -> None:
    async def scene() -> None:
        talk = Talk(*faults, window=window)
        said = written = b""
        for what, value in steps:
            if isinstance(value, bytes):
                if what == "says":
                    said += value
                    talk.client.receive(value)
                else:
                    written += value
                    talk.stream.write(value)
            elif isinstance(value, float):
                await talk.after(value)
            elif what == "take":
                talk.client.take()
            elif what == "pause":
                talk.stream.pause()
            else:
                talk.stream.resume()
            assert said.startswith(talk.ear.data)
            assert written.startswith(talk.client.sent)
        talk.client.receive_end()
        talk.stream.resume()
        for _ in range(200):
            talk.client.take()
            await talk.after(10)
        assert (talk.ear.data, talk.client.sent) == (said, written)
        talk.stream.end()
        talk.stream.close()
        await talk.after(10)
        talk.client.take()
        await talk.after(10)
        assert talk.client.has_ended
        assert (talk.ear.said.count("end"), talk.ear.said[-1]) == (1, "lost")
        assert talk.clock.waiting == 0

    asyncio.run(scene())

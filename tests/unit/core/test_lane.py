"""What passes through a lane comes out whole, in order, and when it should."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_clock import FakeClock

from interpose.core.fault import Drawn, Fault
from interpose.core.lane import LIMIT_BYTES, Lane


class Line:
    """A lane with what came out of it, and when."""

    def __init__(self, *faults: Fault) -> None:
        self.clock = FakeClock()
        self.out: list[tuple[float, bytes]] = []
        self.takes = True
        self.rooms = 0
        self.lane = Lane(self.clock, [Drawn(fault, Random(1)) for fault in faults], self.deliver)
        self.lane.on_room = self.room

    def deliver(self, piece: bytes) -> bool:
        assert piece
        self.out.append((round(self.clock.now, 6), piece))
        return self.takes

    def room(self) -> None:
        self.rooms += 1

    @property
    def data(self) -> bytes:
        return b"".join(piece for _, piece in self.out)

    def end(self) -> None:
        self.lane.then(lambda: self.out.append((round(self.clock.now, 6), b"|")))


def test_without_faults_everything_passes_at_once() -> None:
    line = Line()
    assert line.lane.put(b"abc")
    line.end()
    assert line.out == [(0.0, b"abc"), (0.0, b"|")]
    assert line.clock.waiting == 0


def test_latency_delays_everything_by_as_much() -> None:
    line = Line(Fault(kind="latency", latency_s=0.5))
    line.lane.put(b"one")
    line.clock.advance(0.2)
    line.lane.put(b"two")
    line.end()
    line.clock.advance(1)
    assert line.out == [(0.5, b"one"), (0.7, b"two"), (0.7, b"|")]


def test_jitter_keeps_the_order() -> None:
    line = Line(Fault(kind="latency", latency_s=0.5, jitter_s=0.5))
    for number in range(50):
        line.lane.put(b"%02d" % number)
        line.clock.advance(0.01)
    line.clock.advance(2)
    assert line.data == b"".join(b"%02d" % number for number in range(50))
    times = [when for when, _ in line.out]
    assert times == sorted(times)
    assert len(set(times)) > 3
    assert times[-1] <= 0.5 + 1.0


def test_bandwidth_is_what_was_said() -> None:
    line = Line(Fault(kind="bandwidth", rate_bytes_per_s=1000))
    line.lane.put(bytes(500))
    line.end()
    line.clock.advance(0.26)
    assert len(line.data) == 300
    line.clock.advance(1)
    assert line.out[-1] == (0.5, b"|")
    assert len(line.data) == 501


def test_a_line_that_was_idle_does_not_make_up_for_it() -> None:
    line = Line(Fault(kind="bandwidth", rate_bytes_per_s=1000))
    line.clock.advance(100)
    line.lane.put(bytes(1000))
    line.clock.advance(0.5)
    assert 450 <= len(line.data) <= 600


def test_a_slicer_cuts_into_pieces_of_about_that_size() -> None:
    line = Line(Fault(kind="slicer", average_bytes=10, variation_bytes=3, delay_s=0.1))
    line.lane.put(bytes(range(100)))
    line.clock.advance(10)
    sizes = [len(piece) for _, piece in line.out]
    assert line.data == bytes(range(100))
    assert all(7 <= size <= 13 for size in sizes[:-1])
    assert len(set(sizes)) > 1
    assert [when for when, _ in line.out] == pytest.approx([0.1 * number for number in range(len(sizes))])


def test_a_slow_close_is_late_once() -> None:
    line = Line(Fault(kind="slow_close", delay_s=2.0))
    line.lane.put(b"last")
    line.end()
    line.end()
    line.clock.advance(5)
    assert line.out == [(0.0, b"last"), (2.0, b"|"), (2.0, b"|")]


@pytest.mark.parametrize(
    ("limit", "chunks", "expected"),
    [
        (5, [b"abc", b"def"], b"abcde"),
        (3, [b"abc", b"def"], b"abc"),
        (0, [b"a"], b""),
        (9, [b"abc", b"def"], b"abcdef"),
    ],
)
def test_a_limit_cuts_at_the_byte(limit: int, chunks: list[bytes], expected: bytes) -> None:
    line = Line(Fault(kind="limit_data", bytes=limit))
    line.lane.on_limit = lambda: line.out.append((line.clock.now, b"!"))
    for chunk in chunks:
        line.lane.put(chunk)
    assert line.data == (expected if limit > 6 else expected + b"!")


def test_a_hole_gives_nothing_back() -> None:
    line = Line(Fault(kind="timeout"))
    assert line.lane.put(bytes(LIMIT_BYTES * 4))
    line.end()
    line.clock.advance(1e6)
    assert (line.out, line.lane.held, line.clock.waiting) == ([], 0, 0)


def test_a_full_lane_says_so_and_when_there_is_room() -> None:
    line = Line(Fault(kind="latency", latency_s=1.0))
    assert line.lane.put(bytes(LIMIT_BYTES - 1))
    assert not line.lane.put(b"x")
    assert line.lane.is_full
    line.clock.advance(2)
    assert (line.rooms, line.lane.held) == (1, 0)


def test_who_does_not_take_is_waited_for() -> None:
    line = Line(Fault(kind="slicer", average_bytes=1))
    line.takes = False
    line.lane.put(b"abc")
    line.clock.advance(10)
    assert line.data == b"a"
    line.lane.resume()
    assert line.data == b"ab"
    line.takes = True
    line.lane.resume()
    assert line.data == b"abc"


def test_what_was_dropped_never_comes() -> None:
    line = Line(Fault(kind="latency", latency_s=1.0))
    line.lane.put(b"x")
    line.lane.drop()
    line.clock.advance(5)
    assert (line.out, line.clock.waiting) == ([], 0)


def test_what_is_taken_out_of_turn_is_whole_and_ends_stay() -> None:
    line = Line(Fault(kind="bandwidth", rate_bytes_per_s=20))
    line.lane.put(b"abcdef")
    line.end()
    line.clock.advance(0.06)
    assert line.data + line.lane.take() == b"abcdef"


def test_many_small_pieces_leave_the_loop_some_air() -> None:
    line = Line(Fault(kind="slicer", average_bytes=1))
    line.lane.put(bytes(1000))
    assert len(line.out) < 100
    line.clock.advance(0)
    assert len(line.out) == 1000


FAULTS = st.lists(
    st.one_of(
        st.builds(
            lambda late, jitter: Fault(kind="latency", latency_s=late, jitter_s=jitter),
            st.floats(0, 2),
            st.floats(0, 2),
        ),
        st.builds(lambda rate: Fault(kind="bandwidth", rate_bytes_per_s=rate), st.integers(100, 100_000)),
        st.builds(
            lambda size, delay: Fault(kind="slicer", average_bytes=size, variation_bytes=size // 2, delay_s=delay),
            st.integers(1, 50),
            st.floats(0, 0.01),
        ),
        st.builds(lambda delay: Fault(kind="slow_close", delay_s=delay), st.floats(0, 1)),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=300), st.floats(0, 1), st.sampled_from(["pause", "resume", "full", "take"])
    ),
    max_size=30,
)


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(faults=FAULTS, steps=STEPS)
def test_bytes_are_whole_and_in_order_whatever_happens(faults: list[Fault], steps: list[Any]) -> None:
    line = Line(*faults)
    given_ = b""
    for step in steps:
        if isinstance(step, bytes):
            given_ += step
            line.lane.put(step)
        elif isinstance(step, float):
            line.clock.advance(step)
        elif step == "pause":
            line.lane.pause()
        elif step == "resume":
            line.lane.resume()
        else:
            line.takes = step == "take"
        assert given_.startswith(line.data)
        assert line.lane.held == len(given_) - len(line.data)
    line.takes = True
    line.end()
    line.lane.resume()
    line.clock.advance(1000)
    assert line.data == given_ + b"|"
    assert line.clock.waiting == 0

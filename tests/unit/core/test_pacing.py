"""So many bytes a second for all lanes of a pace together, and none of them is left out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.fake_clock import FakeClock

from interpose.core.pacing import CATCHING_UP_S, TICK_S, Pace, PacedLane, Pacer


class Road:
    """A pace with lanes, and what came out of them when."""

    def __init__(self, rate: float, lanes: int = 1) -> None:
        self.clock = FakeClock()
        self.pacer = Pacer(self.clock)
        self.passed = 0
        self.pace = Pace(self.pacer, rate, self._count)
        self.out: list[list[tuple[float, bytes]]] = [[] for _ in range(lanes)]
        self.takes = [True] * lanes
        self.lanes = [PacedLane(self.pace, self._deliver(number)) for number in range(lanes)]

    def _count(self, size: int) -> None:
        self.passed += size

    def _deliver(self, number: int):  # type: ignore[no-untyped-def]
        def deliver(piece: bytes) -> bool:
            assert piece
            self.out[number].append((self.clock.now, piece))
            return self.takes[number]

        return deliver

    def data(self, number: int = 0) -> bytes:
        return b"".join(piece for _, piece in self.out[number])

    def size(self, number: int = 0) -> int:
        return len(self.data(number))


def test_what_is_within_the_allowance_passes_at_once_and_leaves_no_timer() -> None:
    road = Road(10_000)
    road.lanes[0].put(b"x" * 1000)
    assert road.size() == 1000
    assert road.clock.waiting == 0


def test_without_a_rate_everything_passes_and_is_counted() -> None:
    road = Road(0)
    road.lanes[0].put(b"x" * 1_000_000)
    assert (road.size(), road.passed, road.clock.waiting) == (1_000_000, 1_000_000, 0)


@pytest.mark.parametrize("rate", [10, 1000, 100_000, 10_000_000])
def test_in_the_long_run_it_is_the_rate_and_nothing_stalls(rate: int) -> None:
    road = Road(rate)
    data = bytes(range(256)) * (rate * 4 // 256 + 1)
    for place in range(0, len(data), 200_000):
        road.lanes[0].put(data[place : place + 200_000])
    road.clock.advance(3.0)
    assert road.size() == pytest.approx(rate * (3.0 + CATCHING_UP_S), rel=0.02, abs=3)
    assert road.data() == data[: road.size()]
    times = [when for when, _ in road.out[0]]
    assert max(b - a for a, b in pairwise(times)) <= max(2 * TICK_S, 1.5 / rate) + 1e-6


def test_all_get_the_same_however_much_they_have() -> None:
    road = Road(100_000, lanes=5)
    for lane in road.lanes[:4]:
        lane.put(bytes(400_000))
    road.clock.advance(1.0)
    before = [road.size(number) for number in range(4)]
    assert max(before) <= 1.3 * min(before) + 10_000  # the first had what was saved
    road.lanes[4].put(bytes(400_000))
    start = road.size(0)
    road.clock.advance(4.0)
    gained = [road.size(0) - start, road.size(4)]
    assert gained[1] == pytest.approx(gained[0], rel=0.1)
    assert road.passed == pytest.approx(5.1 * 100_000, rel=0.02)


def test_who_is_paused_leaves_its_part_to_others_and_comes_back() -> None:
    road = Road(10_000, lanes=2)
    for lane in road.lanes:
        lane.put(bytes(100_000))
    road.lanes[0].pause()
    road.clock.advance(2.0)
    first, second = road.size(0), road.size(1)
    assert first <= 1000
    assert second == pytest.approx(20_000, rel=0.06)
    road.lanes[0].resume()
    road.clock.advance(2.0)
    assert road.size(0) - first == pytest.approx(10_000, rel=0.1)


def test_who_takes_no_more_is_asked_again_only_when_it_says_so() -> None:
    road = Road(10_000)
    road.takes[0] = False
    road.lanes[0].put(bytes(50_000))
    road.clock.advance(5.0)
    stopped = road.size()
    assert stopped <= 1000
    assert road.clock.waiting == 0
    road.takes[0] = True
    road.lanes[0].resume()
    road.clock.advance(1.0)
    assert road.size() - stopped == pytest.approx(10_000, rel=0.12)


def test_an_end_comes_behind_everything() -> None:
    road = Road(1000)
    ended: list[float] = []
    road.lanes[0].put(bytes(500))
    road.lanes[0].then(lambda: ended.append(road.clock.now))
    road.clock.advance(0.2)
    assert not ended
    road.clock.advance(0.3)
    assert len(ended) == 1
    assert road.size() == 500


def test_what_is_dropped_wakes_nobody() -> None:
    road = Road(1000, lanes=2)
    road.lanes[0].put(bytes(5000))
    road.lanes[1].put(bytes(500))
    road.lanes[0].drop()
    road.clock.advance(1.0)
    assert road.size(1) == 500
    assert road.clock.waiting == 0


def test_another_rate_counts_from_now_on() -> None:
    road = Road(1000)
    road.lanes[0].put(bytes(100_000))
    road.clock.advance(1.0)
    before = road.size()
    road.pace.rate = 10_000
    road.clock.advance(1.0)
    assert road.size() - before == pytest.approx(10_000, rel=0.12)


@examples(60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000), st.floats(0, 0.5)), max_size=40),
    st.sampled_from([100, 5000, 1_000_000]),
)
def test_whatever_comes_leaves_whole_and_in_order_and_never_too_fast(
    steps: list[tuple[int, int, float]], rate: int
) -> None:
    road = Road(rate, lanes=3)
    given_to = [b"", b"", b""]
    for lane, size, pause in steps:
        data = bytes([size % 251]) * size
        given_to[lane] += data
        road.lanes[lane].put(data)
        road.clock.advance(pause)
        assert road.passed <= rate * (road.clock.now + CATCHING_UP_S) + 2
    road.clock.advance(sum(map(len, given_to)) / rate * 1.5 + 1)
    assert [road.data(lane) for lane in range(3)] == given_to
    assert road.clock.waiting == 0


def test_f14_little_waits_and_who_sends_is_told_when_there_is_room() -> None:
    road = Road(100_000)
    rooms: list[float] = []
    road.lanes[0].on_room = lambda: rooms.append(road.clock.now)
    assert road.lanes[0].put(bytes(50_000))
    assert not road.lanes[0].put(bytes(50_000))
    assert road.lanes[0].is_full
    road.clock.advance(1.0)
    assert len(rooms) == 1
    assert 0.2 < rooms[0] < 0.35  # when 64 KiB are left of 100,000 bytes

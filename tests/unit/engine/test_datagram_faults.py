"""Datagrams get lost, doubled, late and overtaken, as often as was said."""

from collections.abc import Callable

from tests.support.fake_clock import FakeClock

from interpose.core.fault import Fault
from interpose.core.lane import LIMIT_BYTES
from interpose.engine.datagram_faults import DatagramFaults


class Flow:
    """One direction with what came out."""

    def __init__(self, *faults: Fault, direction: str = "inbound") -> None:
        self.clock = FakeClock()
        self.faults = DatagramFaults(faults, direction, self.clock)  # type: ignore[arg-type]
        self.out: list[bytes] = []
        self.send: Callable[[bytes], object] = self.out.append

    def pass_on(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.faults.pass_on(datagram, self.send)


def test_without_a_fault_of_this_direction_there_is_nothing_to_do() -> None:
    flow = Flow(Fault(kind="loss", direction="outbound"))
    assert not flow.faults
    flow.pass_on(b"a", b"")
    assert flow.out == [b"a", b""]
    assert Flow(Fault(kind="loss", direction="outbound"), direction="outbound").faults


def test_loss_loses() -> None:
    flow = Flow(Fault(kind="loss"))
    flow.pass_on(b"a", b"b")
    assert (flow.out, flow.faults.drawn) == ([], 2)


def test_loss_is_as_often_as_was_said_and_the_same_with_a_seed() -> None:
    def run(seed: int) -> list[bytes]:
        flow = Flow(Fault(kind="loss", probability=0.3, seed=seed))
        flow.pass_on(*(b"%d" % number for number in range(1000)))
        return flow.out

    assert 640 < len(run(5)) < 760
    assert run(5) == run(5)
    assert run(5) != run(6)


def test_a_duplicate_comes_twice() -> None:
    flow = Flow(Fault(kind="duplicate"))
    flow.pass_on(b"a", b"", b"b")
    assert flow.out == [b"a", b"a", b"", b"", b"b", b"b"]


def test_a_datagram_is_overtaken_by_the_next_one() -> None:
    flow = Flow(Fault(kind="reorder"))
    flow.pass_on(b"1", b"2", b"3", b"4")
    assert flow.out == [b"2", b"1", b"4", b"3"]
    assert flow.clock.waiting == 0


def test_a_datagram_that_nobody_overtakes_goes_after_a_while() -> None:
    flow = Flow(Fault(kind="reorder", delay_s=0.5))
    flow.pass_on(b"1")
    flow.clock.advance(0.4)
    assert flow.out == []
    flow.clock.advance(0.2)
    assert flow.out == [b"1"]


def test_flows_do_not_overtake_each_other() -> None:
    flow = Flow(Fault(kind="reorder"))
    other: list[bytes] = []
    flow.pass_on(b"1")
    flow.faults.pass_on(b"other", other.append)
    assert (flow.out, other) == ([], [])
    flow.pass_on(b"2")
    assert (flow.out, other) == ([b"2", b"1"], [])


def test_latency_is_of_each_datagram_by_itself() -> None:
    flow = Flow(Fault(kind="latency", latency_s=0.2))
    flow.pass_on(b"1")
    flow.clock.advance(0.1)
    flow.pass_on(b"2")
    flow.clock.advance(0.15)
    assert flow.out == [b"1"]
    flow.clock.advance(0.1)
    assert flow.out == [b"1", b"2"]


def test_what_is_held_back_is_bounded_empty_datagrams_too() -> None:
    for datagram in (b"", b"x" * 60000):
        flow = Flow(Fault(kind="latency", latency_s=1.0))
        flow.pass_on(*[datagram] * 10_000)
        assert flow.clock.waiting <= LIMIT_BYTES // 512
        flow.clock.advance(2)
        assert 0 < len(flow.out) < 10_000
        flow.pass_on(datagram)
        flow.clock.advance(2)
        assert flow.faults._held == 0


def test_after_the_end_nothing_comes() -> None:
    flow = Flow(Fault(kind="latency", latency_s=1.0), Fault(kind="reorder"))
    flow.pass_on(b"1", b"2")
    flow.faults.close()
    flow.clock.advance(5)
    assert (flow.out, flow.clock.waiting) == ([], 0)

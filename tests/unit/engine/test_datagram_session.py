"""One client of a relay of datagrams: what is passed back to it, and what is held back (A33)."""

from __future__ import annotations

from typing import Any

from tests.support.datagrams import MemoryWay

from interpose.core.failure import Failure
from interpose.engine.datagram_session import Session

CLIENT = ("192.0.2.1", 5000)


class Keeper:
    """A relay that keeps what its session tells it."""

    def __init__(self, max_reply_ratio: float = 0.0) -> None:
        self.max_reply_ratio = max_reply_ratio
        self.is_finishing = False
        self.show: Any = None
        self.faults_outbound: Any = None
        self.held: Any = None
        self.name = "relay"
        self.worker = 0
        self.held_back = 0
        self.errors: list[OSError] = []
        self.ended = 0

    def hold_back(self, session: Session) -> None:
        self.held_back += 1

    def failed(self, session: Session, error: OSError) -> None:
        self.errors.append(error)

    def end(self, session: Session, *, failure: Failure | None = None, why: str = "") -> None:
        self.ended += 1


def session(keeper: Keeper, way: MemoryWay, *, sent: int = 0) -> Session:
    some = Session(keeper, CLIENT, way, 1, 0.0)
    some.datagrams_in, some.bytes_in = 1, sent
    return some


def test_an_answer_goes_back_to_its_client() -> None:
    way, keeper = MemoryWay(), Keeper()
    some = session(keeper, way)
    some.awaits_answer = True
    some.answered(memoryview(b"answer"))
    some.answered(memoryview(b""))
    assert way.sent == [(b"answer", CLIENT), (b"", CLIENT)]
    assert (some.datagrams_out, some.bytes_out, some.awaits_answer) == (2, 6, False)


def test_a33_before_the_second_datagram_no_more_is_answered_than_three_times_what_came() -> None:
    way, keeper = MemoryWay(), Keeper(max_reply_ratio=3.0)
    some = session(keeper, way, sent=10)
    for size in (20, 11, 10):
        some.answered(memoryview(b"x" * size))
    assert [len(data) for data, _ in way.sent] == [20, 10]
    assert keeper.held_back == some.held_back == 1
    some.is_proven = True
    some.answered(memoryview(b"x" * 1000))
    assert len(way.sent) == 3


def test_a33_an_empty_datagram_is_answered_with_empty_ones_only() -> None:
    way, keeper = MemoryWay(), Keeper(max_reply_ratio=3.0)
    some = session(keeper, way, sent=0)
    some.answered(memoryview(b"x"))
    some.answered(memoryview(b""))
    assert [data for data, _ in way.sent] == [b""]


def test_the_last_answer_ends_a_session_of_a_relay_that_ends() -> None:
    keeper = Keeper()
    some = session(keeper, MemoryWay())
    some.answered(memoryview(b"x"))
    assert keeper.ended == 0
    keeper.is_finishing = True
    some.answered(memoryview(b"x"))
    assert keeper.ended == 1

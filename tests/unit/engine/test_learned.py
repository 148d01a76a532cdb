"""Which clients are let through, and for how long."""

from __future__ import annotations

from interpose.engine.learned import LEFT_TWICE_WITHIN_S, Learned, Row

A, B = "192.0.2.1", "192.0.2.2"


def test_who_says_that_it_does_not_believe_us_is_let_through_there_and_only_there_for_the_time() -> None:
    learned = Learned(100.0)
    assert learned.learn(A, "x.example", 1000.0, is_certain=True)
    assert learned.lets_through(A, "x.example", 1000.0) == 100.0
    assert learned.lets_through(A, "x.example", 1099.0) == 1.0
    assert learned.lets_through(B, "x.example", 1000.0) is None
    assert learned.lets_through(A, "y.example", 1000.0) is None
    assert learned.lets_through(A, "x.example", 1100.0) is None
    assert learned.rows(1000.0) == []


def test_who_merely_leaves_has_to_do_so_twice_soon_and_without_a_good_handshake_between() -> None:
    learned = Learned(100.0)
    assert not learned.learn(A, "x.example", 0.0, is_certain=False)
    assert learned.lets_through(A, "x.example", 0.0) is None
    assert not learned.learn(A, "x.example", LEFT_TWICE_WITHIN_S + 1, is_certain=False)
    assert learned.learn(A, "x.example", LEFT_TWICE_WITHIN_S + 2, is_certain=False)
    assert not learned.learn(B, "x.example", 0.0, is_certain=False)
    learned.trusts(B, "x.example")
    assert not learned.learn(B, "x.example", 1.0, is_certain=False)


def test_nothing_is_learned_for_no_time() -> None:
    learned = Learned(0.0)
    assert not learned.learn(A, "x.example", 0.0, is_certain=True)
    assert learned.lets_through(A, "x.example", 0.0) is None


def test_what_is_learned_is_told_once_and_what_others_tell_is_not_told_again() -> None:
    learned, other = Learned(100.0), Learned(100.0)
    told: list[tuple[str, str]] = []
    learned.tell = lambda client, host: told.append((client, host))
    learned.learn(A, "x.example", 0.0, is_certain=True)
    learned.learn(B, "x.example", 0.0, is_certain=False)
    assert told == [(A, "x.example")]
    other.tell = learned.tell
    other.take(A, "x.example", 0.0)
    assert other.lets_through(A, "x.example", 0.0) == 100.0
    assert told == [(A, "x.example")]
    nothing = Learned(0.0)
    nothing.take(A, "x.example", 0.0)
    assert nothing.rows(0.0) == []


def test_it_can_be_forgotten_for_one_host_or_for_all() -> None:
    learned = Learned(100.0)
    for client, host in ((A, "x.example"), (B, "x.example"), (A, "y.example")):
        learned.learn(client, host, 0.0, is_certain=True)
    assert learned.forget("x.example") == 2
    assert learned.rows(0.0) == [Row(A, "y.example", 100.0)]
    assert learned.forget() == 1
    assert learned.rows(0.0) == []


def test_the_tables_are_bounded_and_lose_what_is_oldest() -> None:
    learned = Learned(100.0, most=2)
    for number in range(4):
        learned.learn(A, f"{number}.example", float(number), is_certain=True)
    assert [row.host for row in learned.rows(3.0)] == ["2.example", "3.example"]
    for number in range(4):
        learned.learn(B, f"{number}.example", 10.0, is_certain=False)
    assert not learned.learn(B, "0.example", 10.0, is_certain=False)  # that it left once is forgotten
    assert learned.learn(B, "3.example", 10.0, is_certain=False)

"""A33: how many sessions there may be, and which one makes room."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from interpose.engine.datagram_table import SessionTable


@dataclass(eq=False)
class Some:
    sender: tuple[str, int]

    @property
    def host(self) -> str:
        return self.sender[0]


def table(max_sessions: int, max_per_host: int, *senders: tuple[str, int]) -> SessionTable[Some]:
    some: SessionTable[Some] = SessionTable(max_sessions, max_per_host)
    for sender in senders:
        some.add(Some(sender))
    return some


def test_there_is_room_until_there_are_as_many_as_may_be() -> None:
    some = table(2, 0, ("a", 1))
    assert some.has_room_for("b")
    some.add(Some(("b", 1)))
    assert not some.has_room_for("b")
    assert not some.has_room_for("c")


def test_a_host_has_a_limit_of_its_own() -> None:
    some = table(10, 2, ("a", 1), ("a", 2))
    assert not some.has_room_for("a")
    assert some.has_room_for("b")


def test_a33_the_oldest_of_those_that_proved_nothing_makes_room() -> None:
    some = table(3, 0, ("a", 1), ("b", 1), ("c", 1))
    some.prove(some.by_sender["a", 1])
    victim = some.in_the_way_of("d")
    assert victim is some.by_sender["b", 1]


def test_a33_a_host_at_its_limit_makes_room_with_its_own() -> None:
    some = table(10, 2, ("b", 1), ("a", 1), ("a", 2))
    assert some.in_the_way_of("a") is some.by_sender["a", 1]


def test_a33_nobody_who_sends_again_is_pushed_out() -> None:
    some = table(2, 0, ("a", 1), ("b", 1))
    for session in some:
        some.prove(session)
    assert some.in_the_way_of("c") is None


def test_who_ended_is_forgotten() -> None:
    some = table(2, 1, ("a", 1), ("b", 1))
    some.remove(some.by_sender["a", 1])
    assert some.has_room_for("a")
    assert [session.host for session in some.unproven()] == ["b"]
    assert len(some) == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["come", "again", "go"]))))
def test_a33_whatever_comes_the_limits_hold(steps: list[tuple[str, int, str]]) -> None:
    some = table(6, 3)
    for host, port, what in steps:
        session = some.by_sender.get((host, port))
        if what == "come" and session is None:
            if not some.has_room_for(host) and (victim := some.in_the_way_of(host)) is not None:
                some.remove(victim)
            if some.has_room_for(host):
                some.add(Some((host, port)))
        elif what == "again" and session is not None:
            some.prove(session)
        elif what == "go" and session is not None:
            some.remove(session)
        hosts = [session.host for session in some]
        assert len(hosts) <= 6
        assert all(hosts.count(name) <= 3 for name in "abc")
        assert {session.sender for session in some.unproven()} <= set(some.by_sender)

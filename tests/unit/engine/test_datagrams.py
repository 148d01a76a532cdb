"""Servers that answer datagrams, and who may send to them."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.datagrams import MemoryWay

from interpose.core.networks import Networks
from interpose.core.stream import Address
from interpose.engine.datagrams import Admission, Answers
from interpose.engine.echo import upper

CLIENT = ("192.0.2.1", 5000)


def answers(make: Callable[[bytes], bytes] | None = None) -> Answers:
    server = Answers()
    server.make = make
    server.listens_on([8001])
    return server


@pytest.mark.parametrize("data", [b"", b"Foobar", b"\x00\xff", b"x" * 65_507])
def test_one_datagram_is_answered_with_one(data: bytes) -> None:
    way = MemoryWay()
    answers()(memoryview(data), CLIENT, way)
    assert way.sent == [(data, CLIENT)]


def test_capitals_leave_other_bytes_alone() -> None:
    way = MemoryWay()
    answers(upper)(memoryview("aZ9&*!é\x00".encode()), CLIENT, way)
    assert way.sent == [("AZ9&*!é\x00".encode(), CLIENT)]


@pytest.mark.parametrize("port", [0, 7, 13, 17, 19, 37, 8001])
def test_a33_no_two_servers_are_made_to_answer_each_other(port: int) -> None:
    way = MemoryWay()
    server = answers()
    server(memoryview(b"ping"), ("192.0.2.1", port), way)
    assert way.sent == []
    assert server.totals == {"datagrams_answered_total": 0, "datagrams_refused_total": 1}


def test_what_is_not_taken_is_no_answer() -> None:
    way = MemoryWay()
    way.takes = False
    server = answers()
    server(memoryview(b"x"), CLIENT, way)
    assert server.totals["datagrams_answered_total"] == 0


def test_people_are_told_before_it_is_answered() -> None:
    told: list[tuple[Address, bytes, str]] = []
    server = answers()
    server.show = lambda client, data, verb: told.append((client, data, verb))
    server(memoryview(b"x"), CLIENT, MemoryWay())
    assert told == [(Address(*CLIENT), b"x", "sent")]


class Twice:
    """Faults that send everything twice and keep to whom."""

    def __init__(self) -> None:
        self.to: set[Any] = set()
        self.is_closed = False

    def pass_on(self, data: bytes, send: Callable[[bytes], object]) -> None:
        self.to.add(send)
        send(data)
        send(data)

    def close(self) -> None:
        self.is_closed = True


def test_faults_stand_in_both_directions_and_know_clients_apart() -> None:
    way, server, inbound, outbound = MemoryWay(), answers(), Twice(), Twice()
    server.set_faults(inbound, outbound)
    for sender in (CLIENT, CLIENT, ("192.0.2.2", 1)):
        server(memoryview(b"x"), sender, way)
    assert len(way.sent) == 12
    assert len(inbound.to) == len(outbound.to) == 2
    server.set_faults(None, outbound)
    assert (inbound.is_closed, outbound.is_closed) == (True, False)
    server.cut()
    assert outbound.is_closed


async def test_who_is_not_allowed_is_not_answered() -> None:
    way = MemoryWay()
    admission = Admission("echo", Networks(["192.0.2.0/24"]), answers())
    admission(memoryview(b"a"), CLIENT, way)
    admission(memoryview(b"b"), ("198.51.100.1", 1), way)
    assert way.sent == [(b"a", CLIENT)]
    assert admission.refused == 1

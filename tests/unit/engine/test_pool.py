"""Idle connections: the one used last is taken first, the old ones go, one origin never gets another's."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.core.target import Origin
from interpose.engine.pool import Pool

A = Origin("http", "a", 80)
B = Origin("http", "b", 80)


class Connection:
    """What a pool needs to know of one."""

    def __init__(self) -> None:
        self.is_lost = False
        self.idle_since = 0.0


@pytest.fixture
def pool() -> Pool:
    return Pool(max_idle=3, idle_timeout_s=10.0)


def kept(pool: Pool, origin: Origin, *times: float) -> list[Any]:
    connections = [Connection() for _ in times]
    for connection, now in zip(connections, times, strict=True):
        assert pool.put(origin, connection, now)  # type: ignore[arg-type]
    return connections


def test_the_last_used_is_taken_first_and_each_once(pool: Pool) -> None:
    first, second = kept(pool, A, 1.0, 2.0)
    assert [pool.take(A), pool.take(A), pool.take(A)] == [second, first, None]
    assert len(pool) == 0


def test_an_origin_has_only_its_own(pool: Pool) -> None:
    kept(pool, A, 1.0)
    for other in (B, A._replace(scheme="https"), A._replace(port=81), A._replace(host="A")):
        assert pool.take(other) is None
    assert pool.take(A) is not None


def test_lost_ones_are_passed_over(pool: Pool) -> None:
    first, second, third = kept(pool, A, 1.0, 2.0, 3.0)
    second.is_lost = third.is_lost = True
    assert pool.take(A) is first
    assert pool.take(A) is None


def test_enough_is_enough_for_each_origin(pool: Pool) -> None:
    kept(pool, A, 1.0, 2.0, 3.0)
    assert not pool.put(A, Connection(), 4.0)  # type: ignore[arg-type]
    kept(pool, B, 4.0)
    assert len(pool) == 4
    assert not Pool(max_idle=0, idle_timeout_s=10.0).put(A, Connection(), 1.0)  # type: ignore[arg-type]


def test_what_is_forgotten_is_not_given_out(pool: Pool) -> None:
    first, second = kept(pool, A, 1.0, 2.0)
    pool.forget(A, second)
    pool.forget(A, second)
    pool.forget(B, first)
    assert pool.take(A) is first
    assert pool.take(A) is None


def test_a_pool_that_is_used_up_remembers_no_origin(pool: Pool) -> None:
    for number in range(100):
        origin = Origin("http", f"{number}", 80)
        [connection] = kept(pool, origin, 1.0)
        pool.take(origin)
        pool.forget(origin, connection)
    assert pool._idle == {}


def test_the_old_ones_are_taken_out(pool: Pool) -> None:
    old, older, young = kept(pool, A, 1.0, 1.5, 5.0)
    [other] = kept(pool, B, 2.0)
    assert list(pool.expired(10.9)) == []
    assert list(pool.expired(11.6)) == [old, older]
    assert list(pool.expired(12.0)) == [other]
    assert pool.take(A) is young


def test_a_quarter_and_at_least_one_makes_room_oldest_first(pool: Pool) -> None:
    a = kept(pool, A, 3.0, 5.0, 7.0)
    b = kept(pool, B, 1.0, 4.0)
    assert pool.oldest() == [b[0], a[0]]
    assert pool.oldest() == [b[1]]
    assert pool.oldest() == [a[1]]
    assert pool.oldest() == [a[2]]
    assert pool.oldest() == []


def test_all_are_taken_out(pool: Pool) -> None:
    connections = [*kept(pool, A, 1.0, 2.0), *kept(pool, B, 3.0)]
    assert pool.clear() == connections
    assert len(pool) == 0
    assert pool.take(A) is None

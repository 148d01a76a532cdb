"""Counts of workers, added up."""

from __future__ import annotations

import msgspec

from interpose.core.tally import BOUNDS_S, STATUSES, Tallies, Tally

ROUTE = ("front", "/api/*")


def tally(count: int, names: tuple[str, str] = ROUTE) -> Tally:
    times = [0] * (len(BOUNDS_S) + 1)
    times[3] = count
    return Tally("route", names, [0, 0, count, 0, 0, 1], times, count * 0.25, count * 10)


def test_tallies_of_one_key_are_added_and_others_stay_apart() -> None:
    first = tally(2)
    sums = Tallies([first, tally(5, ("front", "/"))])
    sums.add([tally(3)])
    assert [(one.names, one.statuses, one.times[3], one.seconds, one.content_bytes) for one in sums] == [
        (ROUTE, [0, 0, 5, 0, 0, 2], 5, 1.25, 50),
        (("front", "/"), [0, 0, 5, 0, 0, 1], 5, 1.25, 50),
    ]
    assert first == tally(2)  # what was given is not changed: the worker's own count goes on from it


def test_a_newer_tally_takes_the_place_of_the_older_one() -> None:
    latest = Tallies([tally(2)])
    latest.replace([tally(3)])
    assert [one.statuses[2] for one in latest] == [3]
    assert len(latest) == 1


def test_a_tally_survives_the_link() -> None:
    sent = msgspec.msgpack.encode(tally(7))
    assert msgspec.msgpack.decode(sent, type=Tally) == tally(7)


def test_bounds_ascend_and_statuses_cover_all_classes() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
    assert len(STATUSES) == 6

"""The books of experiments: exact whatever is told twice, there after a restart, whole or begun anew."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from statistics import fmean

import pytest

from interpose.core.experiment.counted import Kind, Requests, sample_of
from interpose.core.experiment.deciding import State, begun, by_hand
from interpose.core.experiment.notes import HOLDOUT, Event, Notes, decode_notes, encode_notes
from interpose.core.experiment.policy import Decision
from interpose.core.experiment.trend import LEAST_S, MOST_POINTS, Point, Points
from interpose.storage.experiments.books import EARLY_S, KEPT_S, ExperimentBooks, states_in
from interpose.storage.experiments.database import FILE

KEY = ("checkout", "s1")
SHARES = {"button=blue": 0.5, "button=green": 0.5}


NOW = 1_790_000_000.0


def unit(number: int) -> bytes:
    return number.to_bytes(16, "big")


def notes(
    exposures: list[tuple[int, str]],
    events: list[tuple[int, str, Kind, float]] | None = None,
    most: int = 1_000_000,
    at: float = NOW,
) -> Notes:
    return Notes(
        name=KEY[0],
        salt=KEY[1],
        shares=SHARES,
        most_units=most,
        exposures=[(unit(number), name, at) for number, name in exposures],
        events=[Event(unit(number), goal, kind, value, at) for number, goal, kind, value in events or []],
    )


@pytest.fixture
def books(tmp_path: Path) -> ExperimentBooks:
    made = ExperimentBooks(tmp_path)
    assert made.problem == ""
    return made


def test_a_unit_counts_once_and_as_what_it_was_shown_first(books: ExperimentBooks) -> None:
    books.take([notes([(1, "button=blue"), (1, "button=blue"), (2, "button=green")])])
    books.take([notes([(1, "button=green"), (3, "button=green")])])
    found = books.books(KEY)
    assert {name: one.units for name, one in found.variants.items()} == {"button=blue": 1, "button=green": 2}
    assert [dict(epoch) for epoch in found.epochs] == [{"button=blue": (1, 0.5), "button=green": (2, 0.5)}]


def test_a_conversion_counts_once_and_only_for_who_was_shown_something(books: ExperimentBooks) -> None:
    books.take([notes([(1, "button=blue"), (2, "button=green")], [(2, "order", "conversion", 1.0)])])
    books.take([notes([], [(2, "order", "conversion", 1.0), (7, "order", "conversion", 1.0)])])
    found = books.books(KEY).variants
    assert sample_of(found["button=blue"], "order", "conversion").total == 0
    assert sample_of(found["button=green"], "order", "conversion") == (1, 1.0, 1.0, True)


def test_what_a_worker_tells_before_another_has_told_what_was_shown_counts_all_the_same(books: ExperimentBooks) -> None:
    bought: list[tuple[int, str, Kind, float]] = [(1, "order", "conversion", 1.0), (1, "spent", "sum", 4.0)]
    books.take([notes([], bought, at=NOW + 1.0)], now=NOW + 1.2)
    books.take([notes([], bought, at=NOW - 1.0)], now=NOW + 1.2)  # before it was shown anything
    assert books.books(KEY).variants == {}
    books.take([notes([(1, "button=green")], at=NOW)], now=NOW + 1.4)
    found = books.books(KEY).variants["button=green"]
    assert sample_of(found, "order", "conversion").total == 1
    assert sample_of(found, "spent", "sum").total == 4.0
    books.take([notes([], bought, at=NOW - 0.5)], now=NOW + 1.6)
    assert sample_of(books.books(KEY).variants["button=green"], "spent", "sum").total == 4.0


def test_what_nobody_was_shown_anything_for_is_forgotten_soon(books: ExperimentBooks) -> None:
    books.take([notes([], [(1, "order", "conversion", 1.0)], at=NOW)], now=NOW)
    books.take([notes([(2, "button=blue")])], now=NOW + EARLY_S + 1)
    books.take([notes([(1, "button=green")], at=NOW - 1.0)], now=NOW + EARLY_S + 1)
    assert sample_of(books.books(KEY).variants["button=green"], "order", "conversion").total == 0


def test_sums_and_means_are_those_of_all_values_in_whatever_batches_they_come(books: ExperimentBooks) -> None:
    chance = random.Random(4)
    told: list[tuple[int, str, Kind, float]] = []
    values: dict[int, list[float]] = {}
    for _ in range(300):
        number, value = chance.randrange(40), chance.uniform(-5, 50)
        values.setdefault(number, []).append(value)
        told += [(number, "spent", "sum", value), (number, "wait", "mean", value)]
    books.take([notes([(number, "button=blue") for number in range(60)])])
    while told:
        size = chance.randrange(1, 60)
        books.take([notes([], told[:size])])
        told = told[size:]
    counted = books.books(KEY).variants["button=blue"]
    spent = sample_of(counted, "spent", "sum")
    sums = [sum(given) for given in values.values()] + [0.0] * (60 - len(values))
    assert spent.mean == pytest.approx(fmean(sums))
    assert spent.variance == pytest.approx(sum((one - fmean(sums)) ** 2 for one in sums) / 59)
    wait = sample_of(counted, "wait", "mean")
    means = [fmean(given) for given in values.values()]
    assert (wait.units, wait.mean) == (len(values), pytest.approx(fmean(means)))
    assert wait.variance == pytest.approx(sum((one - fmean(means)) ** 2 for one in means) / (len(means) - 1))


def test_the_holdout_is_counted_beside_the_variants(books: ExperimentBooks) -> None:
    books.take([notes([(1, HOLDOUT), (2, HOLDOUT), (2, HOLDOUT), (3, "button=blue")])])
    found = books.books(KEY)
    assert found.held_out == 2
    assert set(found.variants) == {"button=blue"}


def test_above_the_most_units_no_new_one_is_kept_and_that_is_counted(books: ExperimentBooks) -> None:
    books.take([notes([(number, "button=blue") for number in (1, 2, 2, 3, 1, 4)], most=2)])
    found = books.books(KEY)
    assert (found.variants["button=blue"].units, found.turned_away) == (2, 2)


def test_other_shares_begin_another_epoch_and_the_old_ones_go_on_where_they_were(books: ExperimentBooks) -> None:
    other = {"button=blue": 0.9, "button=green": 0.1}
    for number, shares in enumerate((SHARES, other, SHARES)):
        one = notes([(number, "button=blue")])
        one.shares = shares
        books.take([one])
    counted = [epoch["button=blue"] for epoch in books.books(KEY).epochs]
    assert counted == [(2, 0.5), (1, 0.9)]


def test_exchanges_are_added_up(books: ExperimentBooks) -> None:
    for _ in range(2):
        one = notes([])
        one.requests = {"button=blue": Requests(3, 1, [3] + [0] * 13)}
        books.take([one])
    assert books.books(KEY).variants["button=blue"].requests == Requests(6, 2, [6] + [0] * 13)


def test_a_batch_that_cannot_be_kept_leaves_nothing_behind(books: ExperimentBooks) -> None:
    broken = notes([], [(1, "order", "conversion", 1.0)])
    broken.requests = {"button=blue": Requests(1, 0, [1])}  # too few numbers
    good = notes([(1, "button=blue")])
    with pytest.raises(ValueError, match="shorter"):
        books.take([good, broken])
    assert books.books(KEY).variants == {}
    books.take([good])
    assert books.books(KEY).variants["button=blue"].units == 1


def test_all_of_it_is_there_after_a_restart(books: ExperimentBooks, tmp_path: Path) -> None:
    books.take([notes([(1, "button=blue")], [(1, "order", "conversion", 1.0)])])
    state = by_hand(begun(Decision(), 5.0), "promoted", "alice", 9.0, variant="button=green", why="prettier")
    books.decide(KEY, begun(Decision(), 5.0))
    books.decide(KEY, state)
    before = books.books(KEY)
    assert states_in(tmp_path) == {KEY: state}  # while it is open: the next configuration is made by that
    books.close()
    again = ExperimentBooks(tmp_path)
    assert again.books(KEY) == before
    assert again.states() == {KEY: state}
    assert [one.phase for one in again.decisions(KEY)] == ["promoted", "running"]


def test_another_salt_is_another_experiment(books: ExperimentBooks) -> None:
    books.take([notes([(1, "button=blue")])])
    assert books.books(("checkout", "s2")).variants == {}


def test_what_nobody_has_configured_for_long_is_forgotten(books: ExperimentBooks) -> None:
    books.take([notes([(1, "button=blue")])], now=1_000.0)
    books.forget([], now=1_000.0 + KEPT_S - 1)
    books.forget([KEY], now=1_000.0 + KEPT_S + 1)
    assert books.books(KEY).variants["button=blue"].units == 1
    books.forget([], now=1_000.0 + KEPT_S + 1)
    assert books.books(KEY).variants == {}
    books.take([notes([(1, "button=blue")])])
    assert books.books(KEY).variants["button=blue"].units == 1


def test_f8_damaged_books_are_set_aside_and_begun_anew(tmp_path: Path) -> None:
    whole = ExperimentBooks(tmp_path)
    whole.take([notes([(number, "button=blue") for number in range(2_000)])])
    whole.decide(KEY, State(why="x"))
    whole.close()
    data = (tmp_path / FILE).read_bytes()
    chance = random.Random(8)
    damaged = [b"", b"not a database", data[:1000], data[: len(data) // 2], bytes(len(data))]
    for _ in range(20):
        place = chance.randrange(len(data) - 200)
        damaged.append(data[:place] + chance.randbytes(200) + data[place + 200 :])
    for number, octets in enumerate(damaged):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / FILE).write_bytes(octets)
        states_in(directory)  # gives something, or nothing, and does not raise
        books = ExperimentBooks(directory)
        books.take([notes([(9_999, "button=green")])])
        found = books.books(KEY).variants
        assert found["button=green"].units == 1
        if books.problem:
            assert "begun anew" in books.problem
            assert len(list(directory.glob("*.corrupt-*"))) >= 1
        books.close()


def test_books_of_somebody_else_s_are_not_written_to(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("CREATE TABLE mine (x)")
    books = ExperimentBooks(tmp_path)
    assert "no database of experiments" in books.problem
    (aside,) = tmp_path.glob("*.corrupt-*")
    with sqlite3.connect(aside) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]


def test_notes_are_the_same_at_the_other_end_and_anything_else_is_refused() -> None:
    sent = notes([(1, "button=blue")], [(1, "order", "mean", 2.5)])
    assert decode_notes(encode_notes([sent])) == [sent]
    with pytest.raises(ValueError, match=r"."):
        decode_notes(b"\x93abc")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_order_in_which_workers_tell_the_books_are_those_of_one(books: ExperimentBooks, seed: int) -> None:
    """Three workers, sixty units, and one oracle who sees everything as it happens."""
    chance = random.Random(seed)
    variant = {number: chance.choice(list(SHARES)) for number in range(60)}
    waiting: list[Notes] = [notes([]) for _ in range(3)]
    shown: set[int] = set()
    bought: set[int] = set()
    spent: dict[int, float] = {}
    for step in range(400):
        at, number, worker = NOW + step / 10, chance.randrange(60), waiting[chance.randrange(3)]
        if chance.random() < 0.5:
            shown.add(number)
            worker.exposures.append((unit(number), variant[number], at))
        else:
            value = chance.uniform(1, 9)
            worker.events.append(Event(unit(number), "order", "conversion", 1.0, at))
            worker.events.append(Event(unit(number), "spent", "sum", value, at))
            if number in shown:
                bought.add(number)
                spent[number] = spent.get(number, 0.0) + value
        if chance.random() < 0.06:
            place = chance.randrange(3)
            books.take([waiting[place]], now=at)
            waiting[place] = notes([])
    for left in chance.sample(waiting, 3):
        books.take([left], now=NOW + 60.0)
    found = books.books(KEY).variants
    for name in SHARES:
        mine = {number for number in shown if variant[number] == name}
        assert found[name].units == len(mine)
        assert sample_of(found[name], "order", "conversion").total == len(bought & mine)
        total = sum(spent.get(number, 0.0) for number in mine)
        assert sample_of(found[name], "spent", "sum").total == pytest.approx(total)


def points(mean: float) -> Points:
    return {"order": {"button=blue": Point(10, mean, 0.0, None, None)}}


def test_what_was_known_is_kept_when_it_is_due_and_has_changed(books: ExperimentBooks, tmp_path: Path) -> None:
    assert not books.note_trend(KEY, points(0.1), NOW), "nobody has taken part"
    books.take([notes([(1, "button=blue")])])
    kept = [books.note_trend(KEY, points(mean), NOW + after) for mean, after in
            ((0.1, 0), (0.2, 30), (0.1, 90), (0.3, 91), (0.3, 200), (0.4, 201))]  # fmt: skip
    assert kept == [True, False, False, True, False, True]
    books.close()
    again = ExperimentBooks(tmp_path)
    assert [at - NOW for at, _ in again.trend(KEY)] == [0, 91, 201]


def test_a_trend_never_has_more_than_its_points_and_keeps_its_ends(books: ExperimentBooks) -> None:
    books.take([notes([(1, "button=blue")])])
    most, ends = 0, []
    for number in range(MOST_POINTS + 30):
        now = NOW + number * LEAST_S
        if books.note_trend(KEY, points(number), now):
            ends = [now]
        most = max(most, len(books.trend(KEY)))
    found = [at for at, _ in books.trend(KEY)]
    assert MOST_POINTS // 2 <= len(found) <= most <= MOST_POINTS + 1
    assert (found[0], found[-1]) == (NOW, *ends)
    books.forget([], NOW + KEPT_S * 2)
    assert books.trend(KEY) == []


def test_books_from_before_there_were_trends_are_opened(books: ExperimentBooks, tmp_path: Path) -> None:
    books.take([notes([(1, "button=blue")])])
    books.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DROP TABLE trend")
    connection.close()
    again = ExperimentBooks(tmp_path)
    assert (again.problem, again.note_trend(KEY, points(0.1), NOW)) == ("", True)
    assert again.books(KEY).variants["button=blue"].units == 1

"""Counting for several workers: exact, whoever asks, whoever dies, and over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpose.config.launch import keeps_anything
from interpose.config.limit_office import FILE, LimitOffice
from interpose.config.limit_places import needs_service
from interpose.config.load import config_of
from interpose.core.limit_book import Terms
from interpose.engine.limit_words import Asked, Told, decode_told, encode_asked

DAY = 20_000 * 86400.0 + 3600


class World:
    """An office, its clocks, and who is alive."""

    def __init__(self, directory: Path | None = None) -> None:
        self.now = 100.0
        self.wall = DAY
        self.dead: set[str] = set()
        self.office = self.made(directory)

    def made(self, directory: Path | None) -> LimitOffice:
        return LimitOffice(directory, lambda: self.now, lambda: self.wall, lambda owner: owner not in self.dead)

    def ask(self, owner: str, terms: Terms | None = None, **asked: object) -> Told:
        announced = [("limit", terms, 1000)] if terms is not None else []
        return self.office.told(Asked(owner, announced, **asked))  # type: ignore[arg-type]

    def takes(self, owner: str, *keys: str, terms: Terms | None = None) -> list[str]:
        told = self.ask(owner, terms, takes=[("limit", key) for key in keys])
        return [verdict.refusal for verdict in told.verdicts]


def test_two_workers_together_let_through_what_one_would() -> None:
    world = World()
    terms = Terms(requests_per_s=10, burst=3)
    assert world.takes("1", "a", "a", terms=terms) == ["", ""]
    assert world.takes("2", "a", "a", "b", terms=terms) == ["", "requests", ""]
    world.now += 0.1
    assert world.takes("1", "a") == [""]
    assert world.takes("2", "a") == ["requests"]


def test_exchanges_of_a_worker_that_died_are_over_within_a_look() -> None:
    world = World()
    terms = Terms(max_exchanges=2)
    assert world.takes("1", "a", "a", terms=terms) == ["", ""]
    assert world.takes("2", "a", terms=terms) == ["exchanges"]
    world.office.look()
    assert world.takes("2", "a") == ["exchanges"]
    world.dead.add("1")
    world.office.look()
    assert world.takes("2", "a", "a", "a") == ["", "", "exchanges"]


def test_what_ended_in_the_same_message_makes_room_first() -> None:
    world = World()
    world.takes("1", "a", terms=Terms(max_exchanges=1))
    told = world.ask("1", releases=[("limit", "a")], takes=[("limit", "a")])
    assert [verdict.refusal for verdict in told.verdicts] == [""]


def test_who_was_not_heard_says_all_that_is_under_way() -> None:
    world = World()
    world.takes("1", "a", "b", terms=Terms(max_exchanges=2))
    world.ask("1", running=[("limit", "b", 2)])
    assert world.takes("2", "a", "a", "b", terms=Terms(max_exchanges=2)) == ["", "", "exchanges"]
    world.ask("1", running=[])
    assert world.takes("2", "b") == [""]


def test_other_terms_hold_from_then_on_and_keep_what_was_counted() -> None:
    world = World()
    world.takes("1", "a", terms=Terms(max_exchanges=1))
    assert world.takes("1", "a", "a", terms=Terms(max_exchanges=2)) == ["", "exchanges"]


def test_bytes_a_second_are_shared_by_exchanges() -> None:
    world = World()
    terms = Terms()
    assert world.ask("1", terms, flows=[("limit", "a", 0, 1)]).flows == [(False, 1.0)]
    assert world.ask("2", terms, flows=[("limit", "a", 0, 3)]).flows == [(False, 0.75)]
    assert world.ask("1", flows=[("limit", "a", 0, 1)]).flows == [(False, 0.25)]
    world.ask("2", flows=[("limit", "a", 0, 0)])
    assert world.ask("1", flows=[("limit", "a", 0, 1)]).flows == [(False, 1.0)]
    world.ask("2", flows=[("limit", "a", 0, 1)])
    world.dead.add("2")
    world.office.look()
    assert world.ask("1", flows=[("limit", "a", 0, 1)]).flows == [(False, 1.0)]


def test_the_bytes_of_a_day_are_those_of_all_workers() -> None:
    world = World()
    terms = Terms(bytes_per_day=100)
    assert world.ask("1", terms, flows=[("limit", "a", 60, 1)]).flows == [(False, 1.0)]
    assert world.ask("2", terms, flows=[("limit", "a", 40, 1)]).flows == [(True, 0.5)]
    assert world.takes("1", "a", "b") == ["bytes", ""]
    world.wall += 86400
    world.office.look()
    assert world.takes("1", "a") == [""]


async def test_they_are_there_after_a_restart_on_the_same_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    terms = Terms(bytes_per_day=100)
    await world.office.open()
    world.ask("1", terms, flows=[("limit", "ann 😀", 100, 0)])
    await world.office.close()
    for days, refusals in ((0, ["bytes", ""]), (1, ["", ""])):
        world.wall = DAY + days * 86400
        world.office = world.made(tmp_path)
        await world.office.open()
        assert world.takes("1", "ann 😀", "b", terms=terms) == refusals
        await world.office.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"day": "x", "limits": {}}', b"\xff\xfe", b'{"day":1,"limits":{"limit":{"a":-1.5}}}'],
)
async def test_a_file_that_is_broken_is_said_and_does_not_keep_it_from_counting(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    world = World(tmp_path)
    await world.office.open()
    assert "is of no use" in caplog.text
    world.ask("1", Terms(bytes_per_day=100), flows=[("limit", "a", 100, 0)])
    assert world.takes("1", "a") == ["bytes"]
    await world.office.close()
    assert b'"a":100' in (tmp_path / FILE).read_bytes()


@pytest.mark.parametrize(
    ("workers", "limit", "is_needed"),
    [
        (1, {"requests_per_s": 1.0, "max_exchanges": 2, "bytes_per_s": 5}, False),
        (2, {"requests_per_s": 1.0}, True),
        (2, {"bytes_per_s": 5}, True),
        (1, {"bytes_per_day": 5}, True),
    ],
)
def test_somebody_counts_for_all_only_where_one_worker_cannot(
    workers: int, limit: dict[str, float], is_needed: bool
) -> None:
    listener = {"role": "proxy", "address": "127.0.0.1:0"}
    made = config_of({"process": {"workers": workers}, "listener": [listener], "limit": [{"name": "a", **limit}]})
    assert needs_service(made) is is_needed
    assert keeps_anything(made) is is_needed


async def test_it_is_asked_in_bytes() -> None:
    world = World()
    question = encode_asked(
        Asked("1", [("limit", Terms(requests_per_s=1), 100)], takes=[("limit", "a"), ("limit", "a")])
    )
    told = decode_told(await world.office.answer("limits.ask", question))
    assert [(verdict.refusal, round(verdict.retry_s, 3)) for verdict in told.verdicts] == [("", 0.0), ("requests", 1.0)]

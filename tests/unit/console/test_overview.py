"""How an instance stands, second by second."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from tests.support.console import Console, ToldInstance
from tests.support.journal_records import record

from interpose.console.events import Events
from interpose.console.latencies import Latencies, percentiles
from interpose.console.overview import MOST_HOSTS, SECONDS, Overview
from interpose.core.journal import Summary, Trait


def summary(number: int = 1, **changes: object) -> Summary:
    known = {
        "id": number, "exchange": f"1-{number}", "kind": "http", "started": 0.0, "duration_s": 0.1, "listener": "proxy",
        "route": "", "client": "127.0.0.1", "client_port": 1, "user": "", "method": "GET", "scheme": "http",
        "host": "shop.example", "port": 80, "target": "http://shop.example/", "status": 200, "request_type": "",
        "response_type": "", "request_size": 10, "response_size": 100, "messages": 0, "failure": "", "traits": 0,
    }  # fmt: skip
    return Summary(**{**known, **changes})  # type: ignore[arg-type]


class Told:
    """An overview whose clock and instance stand still until they are moved."""

    def __init__(self) -> None:
        self.at = 100.0
        self.instance = ToldInstance()
        self.events = Events()
        self.overview = Overview(
            self.instance.status, self.events, waiting=lambda: 2, wall=lambda: 1_790_000_000.0 + self.at,
            clock=lambda: self.at,
        )  # fmt: skip
        self.overview.sample()

    def second(self, **counters: float) -> None:
        self.at += 1.0
        self.instance.counters.update(counters)
        self.overview.sample()

    def problems(self) -> list[str]:
        return [problem.text for problem in self.overview.view().problems]


def test_a_second_is_what_was_counted_in_it() -> None:
    told = Told()
    told.overview.take([summary(duration_s=0.1), summary(2, request_size=5, traits=int(Trait.ERROR))])
    told.second(requests_total=40.0, failures_total=1.0, connections=7.0, exchanges=2.0)
    now = told.overview.now
    assert (now.requests_per_s, now.errors_per_s, now.bytes_in_per_s, now.bytes_out_per_s) == (40.0, 1.0, 15, 200)
    assert (now.connections, now.exchanges, now.waiting_holds, now.hit_ratio) == (7.0, 2.0, 2, None)
    assert now.p50_ms == pytest.approx(100, rel=0.06)
    told.second()
    assert (told.overview.now.requests_per_s, told.overview.now.bytes_in_per_s) == (0.0, 0)
    series = told.overview.view().series
    assert (series.requests, len(series.at)) == ([0.0, 40.0, 0.0], 3)


def test_what_a_firewall_refused_is_told_where_there_is_one() -> None:
    told = Told()
    told.second()
    assert (told.overview.now.blocked, told.overview.now.detected) == (None, None)
    told.second(firewall_blocked_total=3.0, firewall_detected_total=1.0)
    told.second(firewall_blocked_total=5.0, firewall_detected_total=1.0)
    series = told.overview.view().series
    assert (series.blocked, series.detected) == ([None, None, 0, 2], [None, None, 0, 0])


def test_counters_that_begin_anew_are_no_burst() -> None:
    told = Told()
    told.second(requests_total=1000.0)
    told.second(requests_total=10.0)
    assert told.overview.now.requests_per_s == 0.0


def test_the_first_look_at_an_old_instance_is_no_burst() -> None:
    told = Told()
    told.second(late_total=5.0)
    assert told.overview.view().series.requests == [0.0, 0.0]


def test_the_ratio_of_hits_is_that_of_the_last_minute() -> None:
    told = Told()
    told.second(cache_hits_total=3.0, cache_misses_total=1.0)
    assert told.overview.now.hit_ratio == 0.75
    for _ in range(60):
        told.second()
    assert told.overview.now.hit_ratio is None


def test_a_quarter_of_an_hour_is_kept() -> None:
    told = Told()
    for _ in range(SECONDS + 50):
        told.second()
    series = told.overview.view().series
    assert len(series.at) == len(series.p99_ms) == SECONDS
    assert series.at[-1] == 1_790_000_000.0 + told.at


def test_hosts_asked_most_come_first_and_are_bounded() -> None:
    told = Told()
    for number in range(3 * MOST_HOSTS):
        told.overview.take(
            [summary(number, host=f"h{number}.example"), summary(host="busy.example", traits=int(Trait.ERROR))]
        )
    hosts = told.overview.view().top_hosts
    assert (hosts[0].host, hosts[0].requests, hosts[0].bytes, hosts[0].errors) == (
        "busy.example", 3 * MOST_HOSTS, 3 * MOST_HOSTS * 110, 3 * MOST_HOSTS,
    )  # fmt: skip
    assert len(hosts) == 10
    assert len(told.overview._hosts) <= MOST_HOSTS


def test_percentiles_are_near_the_true_ones() -> None:
    chance = random.Random(7)
    values = sorted(chance.lognormvariate(3, 1.5) for _ in range(5000))
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    parts = (0.01, 0.5, 0.95, 0.99, 1.0)
    found = percentiles([latencies], parts)
    assert found == [pytest.approx(values[math.ceil(5000 * part) - 1], rel=0.06) for part in parts]


def test_durations_beyond_all_steps_are_counted_at_the_ends() -> None:
    latencies = Latencies()
    for value in (0.0, 1e-9, 1e12, math.inf):
        latencies.add(min(value, 1e300))
    assert latencies.total == 4
    assert percentiles([latencies], (0.5,)) == [0.05]
    assert percentiles([Latencies()], (0.5,)) is None


def test_what_is_wrong_is_said_and_forgotten_again() -> None:
    told = Told()
    assert told.problems() == []
    told.instance.told = {
        "restarts": 2,
        "reloads": {"errors": ["file.toml:3: one."]},
        "workers": [{"number": 0, "pid": None, "state": "dead", "restarts": 2}, {"number": 1, "state": "serving"}],
    }
    told.second(requests_total=100.0, failures_total=30.0, records_dropped_total=5.0)
    assert told.problems() == [
        "1 worker of 2 cannot be started.",
        "Workers were started again 2 times in the last ten minutes.",
        "The last reload failed, and the old configuration goes on: file.toml:3: one.",
        "5 records of the last minute were lost: more came than can be written.",
        "30 exchanges failed in the last minute.",
    ]
    assert told.overview.view().problems[-1].link == "#/flows?q=is:error age:<1m"
    told.instance.told = {"restarts": 2}
    for _ in range(601):
        told.second()
    assert told.problems() == []


async def test_the_api_shows_it_and_whoever_watches_hears_of_it(console: Console) -> None:
    await console.record(record())
    console.overview.take([summary()])
    page = await console.page("viewer")
    async with page.stream("/events") as stream:
        await stream.until("retry")
        console.overview.sample()
        console.overview.take([summary(2)])
        text = await stream.until("event: flow\n")
        assert text.count('event: second\ndata: {"requests_per_s":') == 1
        assert '"id":2' in text
    view = (await page.get("/overview")).json
    assert view["instance"]["listeners"][0]["url"] == "http://127.0.0.1:8080"
    assert view["workers"] == [
        {
            "slot": 0,
            "pid": 7,
            "state": "serving",
            "connections": 3.0,
            "exchanges": 0.0,
            "memory_bytes": 0.0,
            "restarts": 0,
        }
    ]
    assert view["top_hosts"][0] == {"host": "shop.example", "requests": 2, "bytes": 220, "errors": 0}
    assert view["journal"]["dropped_total"] == 0


async def test_it_samples_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        told.at += seconds + (100.0 if len(slept) == 3 else 0.25)  # once the machine slept
        if len(slept) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr("interpose.console.overview.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await told.overview.run()
    assert slept == [1.0, 0.75, 0.75, 0.0, 0.75, 0.75]


async def test_a_second_that_goes_wrong_is_one_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        told.at += 1.0
        told.instance.told = {"counters": None} if len(slept) == 1 else {}
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("interpose.console.overview.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await told.overview.run()
    assert len(told.overview.view().series.at) == 3
    assert "could not be made" in caplog.text

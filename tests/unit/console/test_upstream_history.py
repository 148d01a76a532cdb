"""How servers of upstreams stood: rates from counts that may fall, gaps that are gaps, changes, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.console.upstream_history import KEPT, KEPT_OF_SERVER, MOST_CHANGES, MOST_SERVERS, UpstreamHistory


def row(
    server: str = "a", state: str = "up", *, upstream: str = "app", workers: int = 2, **told: Any
) -> dict[str, Any]:
    counts = {"requests": 0, "failures": 0, "errors": 0, "active": 0, "latency_s": 0.0, "why": ""}
    return {"upstream": upstream, "server": server, "state": state, "workers": {state: workers}, **counts, **told}


class Watched:
    """A history whose clock stands still until two seconds have passed."""

    def __init__(self) -> None:
        self.at = 100.0
        self.rows: list[dict[str, Any]] = []
        self.history = UpstreamHistory(self._told, wall=lambda: 1_790_000_000.0 + self.at, clock=lambda: self.at)

    async def _told(self) -> list[dict[str, Any]]:
        return self.rows

    async def sees(self, *rows: dict[str, Any]) -> None:
        self.at += 2.0
        self.rows = list(rows)
        await self.history.sample()

    @property
    def problems(self) -> list[str]:
        return [problem.text for problem in self.history.problems()]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        return [(one.server, one.before, one.after) for one in self.history.view().changes]


async def test_counts_become_rates_and_the_mean_is_that_of_what_was_asked() -> None:
    watched = Watched()
    await watched.sees(row("a", requests=500, failures=7), row("b"))
    await watched.sees(
        row("a", requests=530, failures=9, errors=4, active=3, latency_s=0.010), row("b", requests=10, latency_s=0.050)
    )
    (app,) = watched.history.view().upstreams
    assert (app.requests, app.failed, app.active) == ([None, 20.0], [None, 3.0], [0, 3])
    assert (app.latency_ms, app.slowest_ms) == ([None, 20.0], [None, 50.0])
    a, b = watched.history.view().servers
    assert (a.server, a.requests, a.failed, a.latency_ms) == ("a", [None, 15.0], [None, 3.0], [None, 10.0])
    assert (b.server, b.requests, b.latency_ms) == ("b", [None, 5.0], [None, 50.0])
    assert watched.history.view().at == [1_790_000_102.0, 1_790_000_104.0]


async def test_a_worker_that_is_replaced_or_does_not_answer_makes_no_burst() -> None:
    watched = Watched()
    await watched.sees(row(requests=1000))
    await watched.sees(row(requests=400))  # one died, and its successor has counted nothing yet
    await watched.sees(row(requests=300, workers=1))  # one is silent
    await watched.sees(row(requests=430))  # and is back with all that it has counted
    await watched.sees(row(requests=440))
    (app,) = watched.history.view().upstreams
    assert app.requests == [None, 0.0, None, None, 5.0]


async def test_a_latency_is_only_shown_where_something_was_asked() -> None:
    watched = Watched()
    await watched.sees(row(requests=1, latency_s=0.1))
    await watched.sees(row(requests=2, latency_s=0.1))
    await watched.sees(row(requests=2, latency_s=0.08))
    (app,) = watched.history.view().upstreams
    assert app.latency_ms == [None, 100.0, None]


async def test_of_a_lone_server_the_mean_is_that_of_the_answers_that_came() -> None:
    def lone(answers: int, answered_s: float) -> dict[str, Any]:
        told = {"upstream": "app", "server": "a", "state": "lone", "why": "", "failures": 0, "errors": 0}
        return {**told, "requests": answers, "answers": answers, "answered_s": answered_s, "latency_s": 9.0}

    watched = Watched()
    await watched.sees(lone(10, 90.0))
    await watched.sees(lone(14, 90.2))
    await watched.sees(lone(14, 90.2))
    (app,) = watched.history.view().upstreams
    assert app.latency_ms == [None, pytest.approx(50.0), None]
    assert app.active == [None, None, None]
    await watched.sees(row(requests=3, latency_s=0.1))  # a reload gave it a companion
    assert watched.history.view().upstreams[0].requests[-1] is None


async def test_changes_are_noted_but_not_what_was_so_from_the_beginning() -> None:
    watched = Watched()
    await watched.sees(row("a", "down", why="it answered a check with 500"), row("b"))
    await watched.sees(row("a"), row("b", "ejected", why="refused"), row("c"))
    await watched.sees(row("a"), row("b", "trying"))
    assert watched.changes == [
        ("c", "up", ""), ("b", "ejected", "trying"), ("c", "", "up"), ("b", "up", "ejected"), ("a", "down", "up"),
    ]  # fmt: skip
    told = [one.why for one in watched.history.view().changes if one.after == "ejected"]
    assert told == ["refused"]
    await watched.sees(row("x", upstream="other"))
    assert len(watched.changes) == 5, "an upstream that a reload brings or takes is no news of its servers"


async def test_what_begins_later_begins_with_gaps_and_what_is_gone_is_gone() -> None:
    watched = Watched()
    await watched.sees(row(upstream="app"))
    await watched.sees(row(upstream="app"), row("z", upstream="late", active=2))
    late = watched.history.view().upstreams[1]
    assert (late.upstream, late.active, len(late.requests)) == ("late", [None, 2], 2)
    await watched.sees(row("z", upstream="late"))
    assert [one.upstream for one in watched.history.view().upstreams] == ["late"]
    assert [one.server for one in watched.history.view().servers] == ["z"]


async def test_nothing_is_kept_where_there_is_nothing() -> None:
    watched = Watched()
    await watched.sees()
    assert watched.history.view().at == []


async def test_all_of_it_is_of_a_fixed_size() -> None:
    watched = Watched()
    many = MOST_SERVERS + 50
    for turn in range(KEPT + 20):
        states = ["up", "ejected"]
        count = many if turn < 2 else 1
        await watched.sees(*(row(f"s{number}", states[turn % 2]) for number in range(count)))
        if turn == 1:
            assert len(watched.history.view().servers) == MOST_SERVERS
    view = watched.history.view()
    assert (len(view.at), len(view.upstreams[0].requests), len(view.changes)) == (KEPT, KEPT, MOST_CHANGES)
    assert [len(one.requests) for one in view.servers] == [KEPT_OF_SERVER]


async def test_what_is_wrong_is_said_and_what_somebody_wanted_is_not() -> None:
    watched = Watched()
    await watched.sees(row("a"), row("b", "drained"), row("c", "trying"))
    assert watched.problems == []
    await watched.sees(row("a"), row("b", "drained"), row("c", "ejected", why="it answers 500"))
    assert watched.problems == ["1 of 3 servers of app gets no requests: c is ejected, it answers 500."]
    await watched.sees(row("a", "down", why="it refused a check"), row("b", "drained"))
    assert watched.problems == ["No server of app gets requests: a is down, it refused a check."]
    await watched.sees(row("a", "drained"), row("b", "drained"))
    assert watched.problems == ["No server of app gets requests, since all are drained."]

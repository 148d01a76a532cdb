"""What `interpose status` shows of upstreams, and small charts of blocks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from tests.support.upstream_views import history, server, some

from interpose.cli.upstream_view import small_chart, upstreams_view

OUT = {"why": "http://10.0.0.2:8000 refused the connection\x1b[2J", "errors": 3, "failures": 4}


def shown(servers: list[dict[str, Any]], past: dict[str, Any], *, with_charts: bool = True) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=100, highlight=False, markup=False).print(
        upstreams_view(servers, past, with_charts=with_charts)
    )
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_each_upstream_has_its_past_and_each_server_its_state_with_the_reason() -> None:
    moments = [
        [server("app", "10.0.0.1:8000", requests=at * 40, latency_s=0.004), server("app", "10.0.0.2:8000")]
        for at in range(60)
    ]
    servers = [server("app", "10.0.0.1:8000", requests=2400, latency_s=0.004),
               server("app", "10.0.0.2:8000", "ejected", latency_s=0.0, **OUT)]  # fmt: skip
    assert shown(servers, history(*moments, servers)) == [
        "Upstream  Get requests  Per s  15 minutes       Latency  15 minutes",
        "app       1 of 2           20               ██   4.0 ms               ██",
        "",
        "Upstream  Server                State    Active  Requests  Failed  Latency",
        "app       http://10.0.0.1:8000  up            3      2400       0   4.0 ms",
        "app       http://10.0.0.2:8000  ejected       3         0       7        -",
        "",
        "http://10.0.0.2:8000 is ejected: refused the connection\\x1b[2J",
    ]


def test_where_nothing_is_kept_or_blocks_cannot_be_shown_there_are_none() -> None:
    _, servers, past = some()
    assert shown(servers, {})[0].startswith("Upstream  Server")
    assert shown(servers, past, with_charts=False)[:2] == [
        "Upstream  Get requests  Per s  Latency",
        "app       2 of 3          132   4.0 ms",
    ]


def test_workers_that_do_not_agree_and_servers_that_are_alone_say_so() -> None:
    rows = [server("app", "a:1", "up", workers={"up": 3, "ejected": 1}), server("one", "b:1", "lone", active=None)]
    lines = shown(rows, {})
    assert "up in 3, ejected in 1" in lines[1]
    assert lines[2].split()[:4] == ["one", "http://b:1", "alone", "-"]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], "    "),
        ([0.0, 0.0], "   ▁"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "▂▄▆█"),
        ([8.0, 8.0], "   █"),
        ([None, None, 8.0, None], "   █"),
        ([4.0, 4.0, None, None, None, None, 8.0, 8.0], "▅  █"),
        ([9.0] * 8 + [1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 8.0], "▂▃▅█"),
    ],
)
def test_a_small_chart_has_the_newest_at_the_right(values: list[float | None], drawn: str) -> None:
    assert small_chart(values, bars=4, kept=8) == drawn

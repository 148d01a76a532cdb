"""Upstreams as the API shows them: tables as the configuration gives them, a history that the real one has made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from interpose.config.live_upstreams import in_short
from interpose.config.load import config_of
from interpose.console.upstream_history import EVERY_S, UpstreamHistory

AT = 1_790_000_000.0

Row = dict[str, Any]


def told(*upstreams: Mapping[str, Any]) -> list[Row]:
    """These tables, as the API tells of them."""
    listener = {"address": "127.0.0.1:0", "role": "gateway", "upstream": upstreams[0]["name"]}
    return [in_short(one) for one in config_of({"listener": [listener], "upstream": list(upstreams)}).upstreams]


def server(upstream: str, name: str, state: str = "up", **changes: Any) -> Row:
    """How a server stands."""
    row: Row = {
        "upstream": upstream,
        "server": f"http://{name}",
        "state": state,
        "workers": {state: 2},
        "why": "",
        "weight": 1.0,
        "active": 3,
        "requests": 0,
        "failures": 0,
        "errors": 0,
        "latency_s": 0.004,
        "drain": f"http://{name}",
    }
    return {**row, **changes}


def history(*moments: Iterable[Row]) -> Row:
    """What is kept of these, which were seen one after another."""
    clock = iter(range(len(moments)))
    seen: list[Row] = []

    async def rows() -> list[Row]:
        return seen

    kept = UpstreamHistory(rows, clock=lambda: next(clock) * EVERY_S, wall=lambda: AT + len(kept.view().at) * EVERY_S)
    for moment in moments:
        seen = list(moment)
        at_once(kept)
    made: Row = msgspec.to_builtins(kept.view())
    return made


def at_once(kept: UpstreamHistory) -> None:
    """Sample without a loop: nothing is waited for."""
    try:
        kept.sample().send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def some() -> tuple[list[Row], list[Row], Row]:
    """Upstreams, servers, history: one of three servers was ejected, and is drained by now; another upstream is
    alone."""
    upstreams = told(
        {"name": "app", "servers": ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"], "balance": "least_active",
         "check": {"path": "/healthz"}, "backup": "spare"},
        {"name": "spare", "servers": ["10.0.0.9:8000"]},
    )  # fmt: skip

    def moment(at: int) -> list[Row]:
        asked = sum(40 + 25 * (one // 20 % 3) + one % 7 for one in range(at))
        is_out = 60 <= at < 90
        slow_s = 0.020 if 110 <= at < 130 else 0.004
        third = server("app", "10.0.0.3:8000", "ejected" if is_out else "up", requests=asked - max(0, min(at, 90) - 60))
        third |= {"failures": 3 if at >= 60 else 0, "why": "Connection refused" if is_out else ""}
        return [
            server("app", "10.0.0.1:8000", requests=asked * 2, errors=at // 40, weight=2.0, active=5),
            server("app", "10.0.0.2:8000", requests=asked, latency_s=slow_s),
            third,
        ]

    last = moment(149)
    last[1] |= {"state": "drained", "workers": {"drained": 2}, "active": 1}
    return upstreams, last, history(*(moment(at) for at in range(149)), last)

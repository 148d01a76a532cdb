"""Faults of listeners and routes: which fit where, and where they stand among the filters."""

from typing import Any

import pytest

from interpose.config.build import plan
from interpose.config.load import config_of
from interpose.config.problem import ConfigError
from interpose.core.fault import KINDS

NEEDED: dict[str, dict[str, Any]] = {
    "latency": {"latency_s": 1},
    "bandwidth": {"rate_bytes_per_s": 1},
    "slow_close": {"delay_s": 1},
    "slicer": {"average_bytes": 1},
    "limit_data": {"bytes": 1},
    "slow_head": {"delay_s": 1},
}
CONNECTIONS = ["latency", "bandwidth", "slow_close", "reset_peer", "timeout", "slicer", "limit_data"]
DATAGRAMS = ["latency", "loss", "duplicate", "reorder"]
EXCHANGES = ["latency", "bandwidth", "reset_peer", "timeout", "status", "truncate", "slow_head"]
UPSTREAM = {"name": "u", "servers": ["127.0.0.1:9"]}


def tables(role: str, faults: list[dict[str, Any]], **listener: Any) -> dict[str, Any]:
    made = {"address": "127.0.0.1:0", "role": role, "fault": faults, **listener}
    if role in ("gateway", "relay"):
        made["upstream"] = "u"
    return {"listener": [made], "upstream": [UPSTREAM]}


def accepted(raw: dict[str, Any]) -> bool:
    try:
        config_of(raw)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    ("role", "more", "fitting"),
    [
        ("relay", {}, CONNECTIONS),
        ("echo", {}, CONNECTIONS),
        ("socks", {}, CONNECTIONS),
        ("relay", {"udp": True}, DATAGRAMS),
        ("upper", {"udp": True}, DATAGRAMS),
        ("gateway", {}, [*CONNECTIONS, "status", "truncate", "slow_head"]),
        ("proxy", {}, [*CONNECTIONS, "status", "truncate", "slow_head"]),
        ("auto", {}, [*CONNECTIONS, "status", "truncate", "slow_head"]),
    ],
)
def test_a_listener_takes_the_kinds_that_can_befall_it(role: str, more: dict[str, Any], fitting: list[str]) -> None:
    found = [kind for kind in KINDS if accepted(tables(role, [{"kind": kind, **NEEDED.get(kind, {})}], **more))]
    assert sorted(found) == sorted(fitting)


def test_a_route_takes_the_kinds_of_exchanges() -> None:
    def raw(kind: str) -> dict[str, Any]:
        route = {"upstream": "u", "fault": [{"kind": kind, **NEEDED.get(kind, {})}]}
        return {**tables("gateway", []), "route": [route]}

    assert sorted(kind for kind in KINDS if accepted(raw(kind))) == sorted(EXCHANGES)


def test_everything_wrong_is_told_with_its_place() -> None:
    faults: list[dict[str, Any]] = [{"kind": "loss"}, {"kind": "latency"}, {}, {"kind": "timeout", "bytes": 5}]
    with pytest.raises(ConfigError) as error:
        config_of(tables("echo", faults))
    assert [problem.where for problem in error.value.problems] == [
        "listener[1].fault[3].kind",
        "listener[1].fault[1].kind",
        "listener[1].fault[2]",
        "listener[1].fault[4].bytes",
    ]


def test_faults_are_the_innermost_of_admission() -> None:
    raw = tables("gateway", [{"kind": "slow_head", "delay_s": 2}, {"kind": "slicer", "average_bytes": 9}])
    raw["route"] = [{"upstream": "u", "path": "/a", "fault": [{"kind": "status", "status": 500}]}]
    connection, a, rest = plan(config_of(raw))
    assert (connection.route, connection.steps) == (
        "every connection",
        [("CONNECTION", "faults", "slicer average_bytes=9")],
    )
    assert a.steps[-2:] == [("ADMIT", "faults", "slow_head delay_s=2"), ("ADMIT", "faults", "status status=500")]
    assert a.steps[-3][1] == "path"
    assert rest.steps[-1] == ("ADMIT", "faults", "slow_head delay_s=2")


def test_what_has_no_faults_has_no_step() -> None:
    [only] = plan(config_of(tables("gateway", [])))
    assert "faults" not in [name for _, name, _ in only.steps]
    assert plan(config_of(tables("echo", [])))[0].steps == []

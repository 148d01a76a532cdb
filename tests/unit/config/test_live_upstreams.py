"""The servers of upstreams, of all workers together, and what a file may say about them."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.config.live_upstreams import together
from interpose.config.load import config_of
from interpose.config.problem import ConfigError


def row(state: str, active: int, latency_s: float, why: str = "") -> dict[str, Any]:
    return {
        "upstream": "app",
        "server": "http://a:1",
        "state": state,
        "why": why,
        "weight": 1.0,
        "active": active,
        "requests": 10,
        "failures": 1,
        "errors": 2,
        "latency_s": latency_s,
    }


def test_numbers_are_added_and_the_state_is_that_of_most_workers() -> None:
    answers = [[row("up", 1, 0.1)], [row("ejected", 2, 0.3, "refuses")], [row("up", 4, 0.2)]]
    assert together(answers) == [
        {
            "upstream": "app",
            "server": "http://a:1",
            "state": "up",
            "workers": {"up": 2, "ejected": 1},
            "why": "refuses",
            "weight": 1.0,
            "active": 7,
            "requests": 30,
            "failures": 3,
            "errors": 6,
            "latency_s": 0.3,
        }
    ]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"drained": ["127.0.0.1:9"]}, "upstream[1].drained[1]"),
        ({"server": [{"address": "127.0.0.1:9"}]}, "upstream[1].server[1].address"),
        ({"hash_on": "path"}, "upstream[1].hash_on"),
        ({"balance": "hash", "hash_on": "cookie:"}, "upstream[1].hash_on"),
        ({"sticky_cookie": "a b"}, "upstream[1].sticky_cookie"),
        ({"sticky_key_file": __file__}, "upstream[1].sticky_key_file"),
        ({"check": {"fall": 0}}, "upstream[1].check.fall"),
        ({"server": [{"address": "127.0.0.1:1", "weight": 0}]}, "upstream[1].server[1].weight"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(keys: dict[str, Any], where: str) -> None:
    tables = {
        "listener": [{"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}],
        "upstream": [{"name": "app", "servers": ["127.0.0.1:1", "127.0.0.1:2"], **keys}],
    }
    with pytest.raises(ConfigError) as caught:
        config_of(tables, name="gateway")
    assert [problem.where for problem in caught.value.problems] == [where]

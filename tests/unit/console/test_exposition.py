"""What Prometheus is given, judged by its own parser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from interpose.config.load import config_of
from interpose.config.runtime import WorkerRuntime
from interpose.console.exposition import exposition
from interpose.core.tally import Tally
from interpose.filters.meter import Counts

STATUS: dict[str, Any] = {
    "name": "shop",
    "version": "1.2.3",
    "ready": True,
    "uptime_s": 12.5,
    "generation": 3,
    "reloads": {"done": 2, "failed": 1},
    "restarts": 4,
    "workers": [
        {"number": 0, "state": "serving", "counters": {"memory_bytes": 5e7, "accepting": 1.0, "longest_stall_s": 0.5}},
        {"number": 0, "state": "draining", "counters": {"memory_bytes": 6e7, "accepting": 1.0}},
        {"number": 1, "state": "dead"},
    ],
    "counters": {
        "requests_total": 123456789.0,
        "connections": 7.0,
        "memory_bytes": 1.1e8,
        "what_comes_next_total": 1.0,
    },
}


def route(name: str, statuses: list[int], times: dict[int, int], seconds: float = 0.0) -> Tally:
    return Tally("route", ("front", name), statuses, [times.get(place, 0) for place in range(14)], seconds, 2048)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels; the parser refuses what is not in the format."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def test_the_instance_and_its_workers_are_told() -> None:
    told = samples(exposition(STATUS, []))
    assert told["interpose_build_info", (("name", "shop"), ("version", "1.2.3"))] == 1
    assert told["interpose_ready", ()] == 1
    assert told["interpose_uptime_seconds", ()] == 12.5
    assert told["interpose_config_generation", ()] == 3
    assert told["interpose_config_reloads_total", (("result", "failed"),)] == 1
    assert told["interpose_worker_restarts_total", ()] == 4
    assert told["interpose_workers", (("state", "serving"),)] == 1
    assert told["interpose_workers", (("state", "dead"),)] == 1
    assert told["interpose_worker_longest_stall_seconds", (("worker", "0"),)] == 0.5


def test_counters_are_told_to_the_last_digit_and_what_is_of_one_worker_is_not_added_up() -> None:
    told = samples(exposition(STATUS, []))
    assert told["interpose_exchanges_total", ()] == 123456789
    assert "interpose_exchanges_total 123456789\n" in exposition(STATUS, [])
    assert told["interpose_connections", ()] == 7
    assert told["interpose_worker_memory_bytes", (("worker", "0"),)] == 5e7  # not that of the one that drains
    assert ("interpose_memory_bytes", ()) not in told


def test_a_counter_that_is_new_is_told_by_its_own_name() -> None:
    assert samples(exposition(STATUS, []))["interpose_what_comes_next_total", ()] == 1


def test_a_histogram_is_cumulative_and_ends_with_all() -> None:
    told = samples(exposition(STATUS, [route("/", [0, 0, 6, 0, 1, 0], {0: 1, 3: 4, 13: 2}, 31.25)]))
    labels = (("listener", "front"), ("route", "/"))

    def below(bound: str) -> float:
        key = tuple(sorted((*labels, ("le", bound))))
        return told["interpose_request_duration_seconds_bucket", key]

    assert [below(bound) for bound in ("0.001", "0.005", "0.01", "10", "+Inf")] == [1, 1, 5, 5, 7]
    assert told["interpose_request_duration_seconds_sum", labels] == 31.25
    assert told["interpose_request_duration_seconds_count", labels] == 7
    assert told["interpose_requests_total", (*labels, ("status", "2xx"))] == 6
    assert told["interpose_requests_total", (*labels, ("status", "4xx"))] == 1
    assert told["interpose_requests_total", (*labels, ("status", "5xx"))] == 0
    assert told["interpose_response_content_bytes_total", labels] == 2048


def test_servers_are_told_with_what_had_no_answer() -> None:
    server = Tally("upstream", ("app", "http://app:80"), [2, 0, 5, 0, 0, 0], [5] + [0] * 13, 0.01)
    told = samples(exposition(STATUS, [server]))
    labels = (("server", "http://app:80"), ("upstream", "app"))
    assert told["interpose_upstream_requests_total", tuple(sorted((*labels, ("status", "none"))))] == 2
    assert told["interpose_upstream_latency_seconds_count", labels] == 5


def test_servers_are_told_with_how_they_stand_but_not_those_that_nobody_judges() -> None:
    states = ("up", "trying", "ejected", "down", "drained", "lone")
    told = samples(
        exposition(STATUS, [], [{"upstream": "app", "server": state, "state": state, "active": 4} for state in states])
    )
    up = {dict(labels)["server"]: value for (name, labels), value in told.items() if name.endswith("_server_up")}
    assert up == {"up": 1, "trying": 1, "ejected": 0, "down": 0, "drained": 0}
    assert told["interpose_upstream_active_requests", (("server", "down"), ("upstream", "app"))] == 4


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash\\n", "two\nlines", 'héllo {x="y"} 5 # HELP'])
def test_a_route_may_be_called_anything(name: str) -> None:
    told = samples(exposition(STATUS, [route(name, [0, 0, 1, 0, 0, 0], {0: 1})]))
    assert told["interpose_requests_total", (("listener", "front"), ("route", name), ("status", "2xx"))] == 1


async def test_every_counter_of_a_worker_is_explained() -> None:
    listener = {"name": "front", "address": "127.0.0.1:0", "role": "proxy", "cache": "kept"}
    config = config_of({"listener": [listener], "cache": [{"name": "kept"}], "metrics": {}, "log": {"access": "off"}})
    runtime = WorkerRuntime(config)
    await runtime.start({})
    text = exposition({"counters": runtime.counters()}, runtime.tallies())
    await runtime.stop()
    guessed = [line for line in text.split("\n") if line.startswith("# HELP") and " (see the manual)" in line]
    assert guessed == []
    assert "interpose_cache_stored_total 0" in text


def test_hits_of_rules_are_told_by_what_has_the_rule() -> None:
    hits = Counts()
    for _ in range(3):
        hits.of(("rule", ("access", 'no "games"'))).hit()
    hits.of(("rule", ("blocklist", "adverts")), shown=True)
    told = samples(exposition(STATUS, hits.changed()))
    assert told["interpose_rule_hits_total", (("of", "access"), ("rule", 'no "games"'))] == 3
    assert told["interpose_rule_hits_total", (("of", "blocklist"), ("rule", "adverts"))] == 0

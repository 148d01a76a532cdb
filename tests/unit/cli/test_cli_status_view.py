"""What `interpose status` shows, from what the control socket tells."""

import io
from typing import Any

import pytest
from rich.console import Console

from interpose.cli.status_view import duration, rate, size, status_view

STATUS: dict[str, Any] = {
    "name": "site",
    "version": "0.1.0",
    "pid": 4711,
    "uptime_s": 93784.2,
    "ready": True,
    "generation": 3,
    "reloads": {"done": 2, "failed": 0, "errors": []},
    "listeners": [{"name": "gateway", "role": "gateway", "address": "127.0.0.1:8080", "url": "http://127.0.0.1:8080"}],
    "workers": [
        {
            "number": 1,
            "pid": 4712,
            "state": "serving",
            "restarts": 0,
            "connections": 12.0,
            "requests": 123456.0,
            "requests_per_s": 1234.5,
            "memory_bytes": 34603008.0,
        },
        {"number": 2, "pid": 4713, "state": "starting", "restarts": 3},
    ],
}


def shown(status: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False, markup=False)
    console.print(status_view(status))
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().split("\n"))


def test_status_shows_the_instance_its_listeners_and_its_workers() -> None:
    assert shown(STATUS) == (
        """\
site  Interpose 0.1.0  process 4711  up 1 d 2 h  generation 3

Listener  Role     Address
gateway   gateway  http://127.0.0.1:8080

Worker  Process  State     Restarts  Connections  Requests  Per s    Memory
1       4712     serving          0           12    123456   1234  33.0 MiB
2       4713     starting         3            -         -      -         -
"""
    )


def test_status_says_that_the_last_reload_failed_and_why() -> None:
    reloads = {"done": 1, "failed": 1, "errors": ["site.toml:3: listener[1].role = [bold]: must be ...", "second"]}
    assert (
        "The last reload failed; the old configuration goes on.\n"
        "  site.toml:3: listener[1].role = [bold]: must be ...\n"
        "  second\n"
    ) in shown({**STATUS, "reloads": reloads})


def test_status_tells_what_became_of_tunnels_where_they_are_looked_into() -> None:
    counters = {
        "intercepted_tunnels_total": 12.0,
        "passed_tunnels_total": 3.0,
        "refused_tunnels_total": 1.0,
        "learned_tunnels_total": 2.0,
        "minted_certificates_total": 4.0,
    }
    text = "tunnels: 12 looked into, 3 passed, 1 refused; 4 certificates made, 2 times not believed"
    assert text in shown({**STATUS, "counters": counters})
    once = {**counters, "learned_tunnels_total": 1.0, "minted_certificates_total": 1.0}
    assert "; 1 certificate made, 1 time not believed\n" in shown({**STATUS, "counters": once})
    assert "tunnels" not in shown({**STATUS, "counters": {"requests_total": 1.0}})


def test_status_says_that_an_instance_is_not_ready() -> None:
    assert "generation 3  not ready\n" in shown({**STATUS, "ready": False})


def test_status_of_a_stranger_shows_dashes_and_no_traceback() -> None:
    assert "-  Interpose -  process -  up -  generation -" in shown({})
    assert shown({"listeners": 3, "workers": [7, {}], "reloads": "?"})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (104857600, "100 MiB"), (1 << 50, "1024 TiB"), (None, "-")],
)
def test_a_size_has_the_unit_that_keeps_it_readable(octets: float | None, text: str) -> None:
    assert size(octets) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0.0"), (9.94, "9.9"), (10.2, "10"), ("x", "-")])
def test_a_rate_has_a_decimal_only_while_it_is_small(number: object, text: str) -> None:
    assert rate(number) == text


def test_status_tells_what_the_firewall_did_where_there_is_one() -> None:
    counters = {
        "firewall_blocked_total": 12.0,
        "firewall_detected_total": 3.0,
        "firewall_skipped_total": 0.0,
        "firewall_deadlines_total": 0.0,
        "firewall_deaths_total": 0.0,
    }
    text = "firewall: 12 refused, 3 only noted, 0 not inspected whole\n"
    assert text in shown({**STATUS, "counters": counters})
    late = {**counters, "firewall_deadlines_total": 2.0}
    assert "whole\n  its processes took too long 2 times and died 0 times" in shown({**STATUS, "counters": late})
    assert "firewall" not in shown({**STATUS, "counters": {"requests_total": 1.0}})

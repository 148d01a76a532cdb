"""Faults in one line, and in flags: what they mean, and what is said of those that mean nothing."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.config.fault_text import fault_table, fault_tables
from interpose.config.problem import ConfigError
from interpose.config.roles import relay_config, said_of_flags
from interpose.core.fault import Fault, spelled


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("timeout", {"kind": "timeout"}),
        (
            "latency latency_s=0.2 jitter_s=.05 probability=0.5 direction=outbound seed=7",
            {
                "kind": "latency",
                "latency_s": 0.2,
                "jitter_s": 0.05,
                "probability": 0.5,
                "direction": "outbound",
                "seed": 7,
            },
        ),
        ("  slicer   average_bytes=10\tdelay_s=1. ", {"kind": "slicer", "average_bytes": 10, "delay_s": 1.0}),
        ("latency latency_s=200ms", {"kind": "latency", "latency_s": "200ms"}),
        ("latency latency_s=", {"kind": "latency", "latency_s": ""}),
        ("latency latency_s=-1", {"kind": "latency", "latency_s": "-1"}),
        ("latency latency_s=nan", {"kind": "latency", "latency_s": "nan"}),
    ],
)
def test_a_line_is_a_table(text: str, table: dict[str, Any]) -> None:
    assert fault_table(text) == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with the kind"),
        ("latency_s=1", "must begin with the kind"),
        ("latency 0.2", 'has "0.2", which is no option with a value'),
        ("latency latency_s=1 latency_s=2", "says latency_s twice"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fault_table(text)


def test_every_line_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ConfigError) as error:
        fault_tables(["", "timeout", "x y"], "listener[1].fault")
    assert [problem.value for problem in error.value.problems] == ["", "x y"]


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=60))
def test_any_text_is_a_table_or_a_sentence(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert fault_table(text)["kind"] == text.split()[0]


BEFALL = "latency, bandwidth, slow_close, reset_peer, timeout, slicer, limit_data"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("latency latency_ms=5 latency_s=1", ' latency_ms 5: is not known here; write "latency_s", in seconds'),
        (
            "latency latency_s=200ms",
            ' latency_s "200ms": must be a number of seconds from 0 to 86400; write 0.2: latency_s is in seconds',
        ),
        ("bandwidth", ": bandwidth needs rate_bytes_per_s; give it"),
        ("bandwidth rate_bytes_per_s=0", " rate_bytes_per_s 0: must be a whole number of bytes per second from 1"),
        ("timeout probability=2", " probability 2: must be a number from 0 to 1"),
        ("timeout jitter_s=1", " jitter_s 1.0: has no meaning for timeout, which takes after_s; take it away"),
        ("loss", f' kind "loss": does not befall connections; here there are {BEFALL}'),
        ("latenci latency_s=1", ' kind "latenci": must be one of "bandwidth", '),
    ],
)
def test_flags_are_held_to_the_rules_of_files(fault: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        relay_config(["127.0.0.1:9"], ["127.0.0.1:0", "127.0.0.1:0"], faults=[fault])
    [said] = said_of_flags(error.value.problems)
    assert said.startswith(f"--fault[1]{sentence}")


def test_a_flag_that_cannot_be_read_is_said_whole() -> None:
    with pytest.raises(ConfigError) as error:
        relay_config(["127.0.0.1:9"], ["127.0.0.1:0"], faults=["nonsense="])
    [said] = said_of_flags(error.value.problems)
    assert said.startswith('--fault "nonsense=": must begin with the kind of the fault; write for example "latency ')


def test_flags_become_faults_of_every_listener() -> None:
    texts = ["latency latency_s=0.25 jitter_s=0.05", "limit_data probability=0.5 seed=3 bytes=100"]
    config = relay_config(["127.0.0.1:9"], ["127.0.0.1:0", "127.0.0.1:0"], faults=texts)
    for listener in config.listeners:
        assert [fault.kind for fault in listener.faults] == ["latency", "limit_data"]
        assert listener.faults[0] == Fault(kind="latency", latency_s=0.25, jitter_s=0.05)
        assert fault_tables(map(spelled, listener.faults), "") == fault_tables(
            ["latency latency_s=0.25 jitter_s=0.05", "limit_data probability=0.5 seed=3 bytes=100"], ""
        )

"""Spools and sinks from a configuration: what fits together, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpose.config.kinds import idle_end_s
from interpose.config.load import config_of, load
from interpose.config.problem import ConfigError
from interpose.config.roles import said_of_flags, sink_config, spool_config

SPOOL = {"address": "127.0.0.1:0", "role": "spool", "upstream": "u", "spool": {"dir": "/a"}}
SINK = {"address": "127.0.0.1:0", "role": "sink", "spool": {"dir": "/b"}}
UPSTREAM = {"name": "u", "servers": ["127.0.0.1:9"]}


def complaints(*listeners: dict[str, object], **upstream: object) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config_of({"listener": list(listeners), "upstream": [{**UPSTREAM, **upstream}]})
    return [str(problem) for problem in error.value.problems]


def without(table: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in table.items() if name != key}


@pytest.mark.parametrize(
    ("listeners", "says"),
    [
        ([without(SPOOL, "spool")], "listener[1].spool.dir: is missing; say where files are to be kept"),
        ([{**SINK, "spool": {"end": "half-close"}}], "listener[1].spool.dir: is missing"),
        ([without(SPOOL, "upstream")], "listener[1]: leads nowhere; give it an upstream"),
        ([{**SINK, "upstream": "u"}], 'listener[1].upstream = "u": has no meaning for role "sink"'),
        ([{**SINK, "spool": {"dir": "/b", "hold": True}}], "listener[1].spool.hold = true: has no meaning for a sink"),
        (
            [{**SINK, "spool": {"dir": "/b", "delay_s": 1}}],
            "listener[1].spool.delay_s = 1.0: has no meaning for a sink",
        ),
        ([SPOOL, {**SINK, "spool": {"dir": "/a"}}], 'listener[2].spool.dir = "/a": is the directory of listener[1]'),
        ([{**SINK, "role": "echo"}], 'listener[1].spool: has no meaning for role "echo"'),
        ([{**SINK, "spool": {"dir": "/b", "end": "soon"}}], 'listener[1].spool.end = "soon": is not an end; write'),
        ([{**SINK, "spool": {"dir": "/b", "form": "x"}}], 'listener[1].spool.form = "x"'),
        ([{**SPOOL, "udp": True}], 'listener[1].udp = true: has no meaning for role "spool"'),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(listeners: list[dict[str, object]], says: str) -> None:
    told = complaints(*listeners)
    assert any(sentence.startswith(says) for sentence in told), told


def test_a_spool_sends_to_one_server_and_not_to_itself() -> None:
    two = complaints(SPOOL, servers=["127.0.0.1:8", "127.0.0.1:9"])
    assert len(two) == 1
    assert two[0].startswith('listener[1].upstream = "u": has several servers')
    [itself] = complaints({**SPOOL, "address": "127.0.0.1:9"})
    assert "is this relay itself" in itself


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("half-close", None), ("idle:2", 2.0), ("idle:0.05", 0.05), ("idle:3600", 3600.0), ("idle:12.125", 12.125)],
)
def test_an_end_is_a_half_close_or_some_silence(text: str, seconds: float | None) -> None:
    assert idle_end_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "idle", "idle:", "idle:0", "idle:0.01", "idle:3601", "idle:1e3", "idle:+1", "idle:\u0662", "Idle:2"]
)
def test_anything_else_is_no_end(text: str) -> None:
    with pytest.raises(ValueError):
        idle_end_s(text)


def test_options_are_the_same_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "spool.toml"
    file.write_text("""
        process = { grace_s = 3, name = "spool" }
        log = { access = "off" }
        [[listener]]
        address = "127.0.0.1:9000"
        role = "spool"
        upstream = "upstream"
        spool = { dir = "/a", hold = true, delay_s = 2, end = "idle:1", form = "framed" }
        [[upstream]]
        name = "upstream"
        servers = ["127.0.0.1:9001"]
    """)
    options = spool_config(
        "127.0.0.1:9001", "/a", hold=True, delay_s=2, end="idle:1", form="framed", name="spool", state=""
    )
    assert load(file) == options
    assert (
        sink_config("/b", ["127.0.0.1:9001"]).listeners[0].spool == config_of({"listener": [SINK]}).listeners[0].spool
    )


def test_what_is_wrong_with_options_is_told_in_their_words() -> None:
    with pytest.raises(ConfigError) as error:
        spool_config("127.0.0.1", "", end="x", delay_s=-1, form="y")
    told = said_of_flags(error.value.problems, "--to")
    starts = [sentence.split(" ")[0].rstrip(":") for sentence in told]
    assert sorted(starts) == ["--delay", "--end", "--form", "--to"], told

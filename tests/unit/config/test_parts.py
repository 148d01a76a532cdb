"""What outlives a configuration, and what a configuration that never runs leaves behind: nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.parts import Parts
from interpose.config.runtime import WorkerRuntime
from interpose.engine.live_group import LiveGroup

PAIR = ["127.0.0.1:9000", "127.0.0.1:9001"]


def test_what_was_made_for_a_configuration_that_does_not_run_does_not_serve() -> None:
    parts = Parts()
    parts.begin()
    parts.get(str, 1, lambda: "one")
    assert parts.serving(str) == []
    parts.unasked()
    assert parts.serving(str) == ["one"]
    parts.begin()
    parts.get(str, 1, lambda: "another")
    parts.get(str, 2, lambda: "two")
    assert (parts.every(str), parts.serving(str)) == (["one", "two"], ["one"])
    assert parts.begin() == ["two"]


def configured(**upstreams: dict[str, object]) -> Config:
    return config_of(
        {
            "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0"}],
            "upstream": [{"name": name, "servers": PAIR, **more} for name, more in upstreams.items()],
            "route": [{"path": f"/{name}", "upstream": name} for name in upstreams],
        }
    )


async def test_f15_servers_of_a_configuration_that_could_not_be_built_are_not_looked_after(tmp_path: Path) -> None:
    short = tmp_path / "key"
    short.write_bytes(b"short")
    ticked: list[str] = []
    runtime = WorkerRuntime(configured(app={}))
    try:
        await runtime.start({"web": []})
        with pytest.raises(ValueError, match="holds 5 bytes"):
            runtime.prepare(configured(new={}, bad={"sticky_cookie": "s", "sticky_key_file": str(short)}))
        with patch.object(LiveGroup, "tick", lambda live, now: ticked.append(live.group.name)):
            runtime.tick(asyncio.get_running_loop().time())
        rows = msgspec.json.decode(await runtime.answer(b"upstreams"))
    finally:
        await runtime.stop()
    assert ticked == ["app"]
    assert {row["upstream"] for row in rows} == {"app"}

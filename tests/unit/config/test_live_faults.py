"""Faults that are set while an instance runs: an overlay over its configuration, whatever that becomes."""

from collections.abc import Callable

import msgspec
import pytest

from interpose.config.launch import plan_of
from interpose.config.live_faults import LiveFaults
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import ConfigError
from interpose.core.fault import spelled
from interpose.engine.plan import Plan
from interpose.engine.reload import Result


def configured(*names: str, fault: str = "") -> Config:
    faults = [{"kind": fault}] if fault else []
    return config_of(
        {
            "listener": [
                {"name": name, "address": f"127.0.0.1:{8000 + at}", "role": "gateway", "upstream": "u"}
                | ({"fault": faults} if at == 0 else {})
                for at, name in enumerate(names)
            ],
            "upstream": [{"name": "u", "servers": ["127.0.0.1:9"]}],
            "route": [{"name": "both", "path": "/x", "upstream": "u"}],
        }
    )


class Instance:
    """Stands for `Reload`: a change takes place at once, or fails."""

    def __init__(self, config: Config) -> None:
        self.file = config
        self.plan = plan_of(config)
        self.generation = 1
        self.error = ""
        self.live = LiveFaults(lambda: self.file, plan_of)
        self.live.begin(self)  # type: ignore[arg-type]

    async def apply(self, load: Callable[[], Plan]) -> Result:
        plan = load()
        if self.error:
            return Result(generation=self.generation, errors=(self.error,))
        self.plan = plan
        self.generation += 1
        return Result(generation=self.generation)

    async def reload(self) -> Result:
        return await self.apply(self.live.load)

    def faults(self) -> dict[str, list[str]]:
        """What workers are given."""
        config = msgspec.msgpack.decode(self.plan.config, type=Config)
        return {one.name: [spelled(fault) for fault in one.faults] for one in (*config.listeners, *config.routes)}


async def test_set_and_clear() -> None:
    instance = Instance(configured("a", "b", fault="timeout"))
    assert (await instance.live.set("b", ["latency latency_s=0.5", {"kind": "reset_peer"}])).errors == ()
    assert instance.faults() == {"a": ["timeout"], "b": ["latency latency_s=0.5", "reset_peer"], "both": []}
    assert (await instance.live.set("a", [])).errors == ()
    assert instance.faults()["a"] == []
    assert [(row["name"], row["live"]) for row in instance.live.listed()] == [("a", True), ("b", True), ("both", False)]
    assert (await instance.live.clear("a")).errors == ()
    assert instance.faults()["a"] == ["timeout"]
    assert (await instance.live.clear("")).errors == ()
    assert instance.faults() == {"a": ["timeout"], "b": [], "both": []}


async def test_a_route_has_live_faults_too() -> None:
    instance = Instance(configured("a"))
    assert (await instance.live.set("both", ["status status=500"])).errors == ()
    assert instance.faults() == {"a": [], "both": ["status status=500"]}


async def test_a_name_of_two_has_to_be_said_with_its_kind() -> None:
    instance = Instance(configured("both"))
    [error] = (await instance.live.set("both", ["timeout"])).errors
    assert error == "'both' is a listener and a route; say listener:both or route:both."
    assert (await instance.live.set("route:both", ["timeout"])).errors == ()
    live = [(row["of"], row["faults"]) for row in instance.live.listed()]
    assert live == [("listener", []), ("route", ["timeout"])]
    assert (await instance.live.clear("route:both")).errors == ()


async def test_a_reload_of_the_file_does_not_clear() -> None:
    instance = Instance(configured("a"))
    await instance.live.set("a", ["timeout"])
    instance.file = configured("a", "b")
    await instance.reload()
    assert instance.faults() == {"a": ["timeout"], "b": [], "both": []}
    await instance.live.clear("")
    assert instance.faults() == {"a": [], "b": [], "both": []}  # of the new file, not of the old one


async def test_a_change_is_made_to_what_runs_not_to_what_the_file_has_become() -> None:
    instance = Instance(configured("a"))
    instance.file = configured("a", "b")
    await instance.live.set("a", ["timeout"])
    assert instance.faults() == {"a": ["timeout"], "both": []}


async def test_what_was_set_for_what_is_gone_waits_for_it() -> None:
    instance = Instance(configured("a", "b"))
    await instance.live.set("b", ["timeout after_s=5"])
    instance.file = configured("a")
    await instance.reload()
    assert instance.live.listed()[-1] == {"of": "listener", "name": "b", "faults": ["timeout after_s=5"], "live": True}
    instance.file = configured("a", "b")
    await instance.reload()
    assert instance.faults()["b"] == ["timeout after_s=5"]


@pytest.mark.parametrize(
    ("name", "fault", "error"),
    [
        ("a", "loss", 'fault[1].kind = "loss": does not befall connections or exchanges; here there are'),
        ("a", "latency", "fault[1]: latency needs latency_s; give it."),
        ("a", "", "must begin with the kind of the fault;"),
        ("c", "timeout", "'c': there is no listener or route of that name; there are a, both."),
        ("both", "slicer average_bytes=1", 'fault[1].kind = "slicer": does not befall exchanges;'),
    ],
)
async def test_what_is_wrong_changes_nothing(name: str, fault: str, error: str) -> None:
    instance = Instance(configured("a"))
    result = await instance.live.set(name, [fault])
    assert [said.startswith(error) for said in result.errors] == [True], result.errors
    assert (instance.generation, instance.live.listed()[0]["live"]) == (1, False)


async def test_what_workers_refuse_is_not_kept() -> None:
    instance = Instance(configured("a"))
    instance.error = "worker 1: it cannot."
    assert (await instance.live.set("a", ["timeout"])).errors == ("worker 1: it cannot.",)
    instance.error = ""
    await instance.reload()
    assert instance.faults()["a"] == []


async def test_a_file_that_live_faults_do_not_fit_any_more_is_refused_with_the_fix() -> None:
    instance = Instance(configured("a"))
    await instance.live.set("a", ["status status=500"])
    instance.file = config_of({"listener": [{"name": "a", "address": "127.0.0.1:8000", "role": "echo"}]})
    with pytest.raises(ConfigError, match="this was set live; `interpose faults clear` takes it away"):
        await instance.reload()
    await instance.live.clear("")
    assert (await instance.reload()).errors == ()


async def test_nothing_to_clear_is_said() -> None:
    instance = Instance(configured("a"))
    assert (await instance.live.clear("a")).errors == (
        "'a' has no live faults; `interpose faults list` shows what has.",
    )
    assert (await instance.live.clear("")).errors == ()

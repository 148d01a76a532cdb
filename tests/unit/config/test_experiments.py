"""Experiments as they are configured, decided upon, and laid over the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interpose.config.experiment_designs import design_of
from interpose.config.experiment_service import ExperimentService
from interpose.config.launch import plan_of
from interpose.config.live_experiments import LiveExperiments, books_directory
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import ConfigError
from interpose.core.experiment.assignment import Assignment
from interpose.core.experiment.counted import Requests
from interpose.core.experiment.notes import Event, Notes, encode_notes
from interpose.core.failure import Failure
from interpose.engine.reload import Result
from interpose.filters.experiment.options import Experiment
from interpose.storage.experiments.database import FILE

BUTTON = {"name": "button", "level": [{"name": "blue"}, {"name": "green"}]}
BLUE, GREEN = "button=blue", "button=green"


def tables(*experiments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "process": {"name": "e", **more.pop("process", {})},
        "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}],
        "upstream": [{"name": "o", "servers": ["127.0.0.1:9"]}],
        "experiment": list(experiments),
        **more,
    }


def one(**more: Any) -> dict[str, Any]:
    return {"name": "checkout", "factor": [BUTTON], **more}


LAYOUT = {"name": "layout", "level": [{"name": "old"}, {"name": "new"}]}


@pytest.mark.parametrize(
    ("experiment", "where", "what"),
    [
        ({"name": "e"}, "experiment[1]", "varies nothing"),
        (one(factor=[{"name": "b", "level": [{"name": "x"}]}]), "experiment[1].factor[1]", "needs two levels"),
        (one(factor=[{"name": "b", "level": [{"name": "x"}] * 2}]), "experiment[1].factor[1].level[2].name",
         "is the name of"),
        (one(factor=[{"name": "b", "level": [{"name": "x", "weight": 0}, {"name": "y", "weight": 0}]}]),
         "experiment[1].factor[1]", "has no level with a weight above 0"),
        (one(factor=[BUTTON, BUTTON]), "experiment[1].factor[2].name", "is the name of"),
        (one(factor=[{**BUTTON, "name": f"f{n}"} for n in range(7)]), "experiment[1]", "has 128 variants"),
        (one(promoted="button=red"), "experiment[1].promoted", "'red', which is no level"),
        (one(promoted="green"), "experiment[1].promoted", "is no combination of levels"),
        (one(promoted="layout=new"), "experiment[1].promoted", "must have one level of each factor: button"),
        (one(factor=[BUTTON, LAYOUT], variant=[{"levels": "button=blue, layout=old"}]), "experiment[1].variant",
         "is the only one"),
        (one(variant=[{"levels": BLUE}, {"levels": BLUE}]), "experiment[1].variant[2].levels", "is listed twice"),
        (one(factor=[BUTTON, LAYOUT], promoted="button=green, layout=old", variant=[
            {"levels": "button=blue, layout=old"}, {"levels": "layout=new, button=green"}]),
         "experiment[1].promoted", "is not among the variants that are listed"),
        (one(when="status:200"), "experiment[1].when", "is known when the head of the response is there"),
        (one(when="host:"), "experiment[1].when", ""),
        (one(goal=[{"name": "g", "when": "took:>1s"}]), "experiment[1].goal[1].when", "is known when all is over"),
        (one(goal=[{"name": "g", "when": "body:x"}]), "experiment[1].goal[1].when", ""),
        (one(goal=[{"name": "g"}, {"name": "g"}]), "experiment[1].goal[2].name", "is the name of"),
        (one(goal=[{"name": "g", "when": "path:/x", "value": "took"}]), "experiment[1].goal[1].value",
         "is not looked at for a conversion"),
        (one(goal=[{"name": "g", "when": "path:/x", "kind": "sum"}]), "experiment[1].goal[1]",
         "needs both when and value"),
        (one(goal=[{"name": "g", "kind": "sum", "value": "json:total"}]), "experiment[1].goal[1].value",
         'a JSON pointer begins with "/"'),
        (one(goal=[{"name": "g", "kind": "sum", "value": "header:x"}]), "experiment[1].goal[1].value",
         "is no place of a value"),
        (one(routes=["shop"]), "experiment[1].routes[1]", "no route"),
        (one(factor=[{"name": "b", "level": [{"name": "x"}, {"name": "y", "upstream": "p"}]}]),
         "experiment[1].factor[1].level[2].upstream", "upstream"),
        (one(factor=[{"name": "b", "level": [{"name": "x"}, {"name": "y", "request_fields": ["Host: evil"]}]}]),
         "experiment[1].factor[1].level[2].request_fields[1]", "is written by Interpose itself"),
        (one(factor=[{"name": "b", "level": [{"name": "x"}, {"name": "y", "response_fields": ["X: a\r\nB: c"]}]}]),
         "experiment[1].factor[1].level[2].response_fields[1]", "control characters"),
        (one(decision={"goal": "h"}, goal=[{"name": "g"}]), "experiment[1].decision.goal", "goal"),
        (one(decision={"promote": True}), "experiment[1].decision.promote", "needs a goal to decide by"),
        (one(decision={"ramp": [0.5, 0.5]}), "experiment[1].decision.ramp", "must rise from step to step"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_its_place(experiment: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tables(experiment))
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert where in found, found
    assert what in found[where]


def test_several_experiments_are_told_apart_and_agree_on_the_holdout_of_their_layer() -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tables(one(layer="page", holdout=0.1), {**one(layer="page"), "name": "Checkout"}))
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert set(found) == {"experiment[2].name", "experiment[2].factor[1].name", "experiment[2].holdout"}


def test_only_gateways_have_experiments() -> None:
    with pytest.raises(ConfigError, match='needs a listener with the role "gateway"'):
        config_of({**tables(one()), "listener": [{"name": "p", "role": "proxy", "address": "127.0.0.1:0"}]})


# --- deciding --------------------------------------------------------------------------------------------------------

RAMP = {"ramp": [0.1, 1.0], "ramp_step_s": 0.0}
PROMOTE = {"promote": True, "planned_units": 2000}


class World:
    """The service of an instance, which applies what is decided by planning anew."""

    def __init__(self, directory: Path, *experiments: dict[str, Any]) -> None:
        self.written = config_of(tables(*experiments, process={"state_dir": str(directory)}))
        self.live = LiveExperiments(plan_of)
        self.plan = self.live.plan_of(self.written)
        self.service = ExperimentService(self.written)
        self.service.apply = self.apply
        self.applied = 0
        self.reloading = self

    async def apply(self) -> Result:
        self.applied += 1
        self.plan = self.live.plan_of(self.written)
        return Result(generation=self.applied, errors=())

    def config(self) -> bytes:
        return self.plan.config

    @property
    def serves(self) -> Experiment:
        """The experiment as workers have it."""
        return msgspec.msgpack.decode(self.plan.config, type=Config).experiments[0]

    async def see(self, variant: str, units: int, orders: int = 0, *, errors: int = 0, count: int = 0) -> None:
        """As many units more come to a variant, and some of them to the goal."""
        known = sum(row.units for row in (await self.service.shown("checkout")).report.variants)
        keys = [(known + n).to_bytes(16, "big") for n in range(units)]
        notes = Notes(
            name="checkout", salt="checkout", shares={BLUE: 0.5, GREEN: 0.5}, most_units=100_000,
            exposures=[(key, variant, 1.0) for key in keys],
            events=[Event(key, "order", "conversion", 1.0, 2.0) for key in keys[:orders]],
            requests={variant: Requests(count, errors)} if count else {},
        )  # fmt: skip
        assert await self.service.answer("experiments.notes", encode_notes([notes])) == b""

    async def __aenter__(self) -> World:
        await self.service.open()
        self.service._instance = self  # without the task that looks every few seconds
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.close()


@pytest.fixture
async def promoting(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path, one(goal=[{"name": "order"}], decision=PROMOTE)) as world:
        yield world


async def test_a_ramp_goes_up_in_the_configuration_that_workers_have(tmp_path: Path) -> None:
    async with World(tmp_path, one(decision=RAMP, share=0.5)) as world:
        assert world.serves.share == 0.1
        assert await world.service.look("checkout") is None  # it begins
        decided = await world.service.look("checkout")
        assert decided is not None
        assert decided.why == "100 % of the units take part; nothing spoke against it."
        assert (world.serves.share, world.applied) == (1.0, 1)
        assert await world.service.look("checkout") is None
    assert msgspec.msgpack.decode(world.plan.written, type=Config).experiments[0].share == 0.5


async def test_a_winner_is_promoted_and_stays_so_after_a_restart(promoting: World, tmp_path: Path) -> None:
    service = promoting.service
    await service.look("checkout")
    await promoting.see(BLUE, 1_000, 100)
    await promoting.see(GREEN, 1_000, 120)
    assert await service.look("checkout") is None
    await promoting.see(BLUE, 1_000, 100)
    await promoting.see(GREEN, 1_000, 280)
    decided = await service.look("checkout")
    assert decided is not None
    assert (decided.phase, decided.variant) == ("promoted", GREEN)
    assert promoting.serves.promoted == GREEN
    again = World(tmp_path, one(goal=[{"name": "order"}], decision=PROMOTE))
    assert again.serves.promoted == GREEN
    shown = await service.shown("checkout")
    assert (shown.phase, shown.variant, shown.is_fixed) == ("promoted", GREEN, False)
    assert [state.phase for state in shown.decisions] == ["promoted", "running"]
    assert shown.report.units == 4_000


async def test_a_broken_guard_rolls_back_and_is_undone_by_hand(tmp_path: Path) -> None:
    guard = {"metric": "errors", "tolerance": 0.01, "min_requests": 1000}
    async with World(tmp_path, one(decision={"guard": [guard]})) as world:
        await world.service.look("checkout")
        await world.see(BLUE, 10, count=5_000, errors=5)
        await world.see(GREEN, 10, count=5_000, errors=500)
        decided = await world.service.look("checkout")
        assert decided is not None
        assert decided.phase == "rolled back"
        assert decided.why.startswith("button=green: 10 % of its exchanges fail, 0.1 % of the control's")
        assert world.serves.paused
        assert await world.service.look("checkout") is None
        result = await world.service.decide("checkout", "resume", who="alice", why="fixed")
        assert result.errors == ()
        assert not world.serves.paused
        shown = await world.service.shown("checkout")
        assert (shown.phase, shown.by, shown.why) == ("running", "alice", "fixed")
        assert shown.guards[0].broken.startswith("button=green: 10 %")


async def test_decisions_by_hand_are_effective_at_once(promoting: World) -> None:
    service = promoting.service
    await service.decide("checkout", "promote", variant=GREEN, who="bob")
    assert (promoting.serves.promoted, promoting.serves.paused) == (GREEN, False)
    await service.decide("checkout", "pause", who="bob")
    assert (promoting.serves.promoted, promoting.serves.paused) == ("", True)
    await service.decide("checkout", "resume", who="bob")
    assert (promoting.serves.promoted, promoting.serves.paused) == ("", False)
    with pytest.raises(ValueError, match="no variant"):
        await service.decide("checkout", "promote", variant="button=red")
    with pytest.raises(LookupError, match="no experiment"):
        await service.decide("check-in", "pause")


async def test_how_what_is_known_came_to_be_is_kept_from_when_there_is_something(promoting: World) -> None:
    service = promoting.service
    await service.note_trends(1_000.0)
    for minute, orders in enumerate((10, 40), 1):
        await promoting.see(BLUE, 200, 10)
        await promoting.see(GREEN, 200, orders)
        await service.note_trends(1_000.0 + 60 * minute)
    await service.note_trends(2_000.0)  # nothing has changed
    trend = await service.trend("checkout")
    assert trend.at[:2] == [1_060.0, 1_120.0]
    assert len(trend.at) == 3, "what is known now comes last"
    [goal] = trend.goals
    blue, green = goal.variants
    assert (blue.units, blue.mean) == ([200, 400, 400], [0.05, 0.05, 0.05])
    assert green.mean == [0.05, 0.125, 0.125]
    assert green.difference == [0.0, pytest.approx(0.075), pytest.approx(0.075)]
    with pytest.raises(LookupError, match="chekout"):
        await service.trend("chekout")


async def test_what_the_configuration_itself_says_is_changed_there(tmp_path: Path) -> None:
    async with World(tmp_path, one(paused=True)) as world:
        with pytest.raises(ValueError, match="The configuration itself says that checkout is paused"):
            await world.service.decide("checkout", "resume")
        shown = await world.service.shown("checkout")
        assert (shown.phase, shown.is_fixed, shown.why) == ("paused", True, "The configuration says so.")


async def test_posted_goals_count_for_units_that_were_shown_something(promoting: World) -> None:
    service = promoting.service
    unit = Assignment(design_of(promoting.serves, (promoting.serves,))).digest(b"someone")
    shown = Notes(name="checkout", salt="checkout", shares={BLUE: 0.5, GREEN: 0.5}, most_units=10,
                  exposures=[(unit, GREEN, 1.0)])  # fmt: skip
    await service.answer("experiments.notes", encode_notes([shown]))
    for name in ("someone", "someone", "somebody else"):
        assert await service.post("checkout", "order", name)
    estimates = (await service.shown("checkout")).report.goals[0].estimates
    assert [estimate.reached for estimate in estimates] == [0, 1]
    with pytest.raises(LookupError, match="no goal"):
        await service.post("checkout", "orders", "someone")
    with pytest.raises(ValueError, match="A value must be a number"):
        await service.post("checkout", "order", "someone", float("nan"))


async def test_books_that_cannot_be_written_refuse_what_they_are_told(promoting: World) -> None:
    with pytest.raises(Failure, match="cannot be written"):
        await promoting.service.answer("experiments.notes", b"\x93no notes")
    with pytest.raises(Failure, match="Nobody answers"):
        await promoting.service.answer("experiments.other", b"")


async def test_f8_damaged_books_do_not_keep_an_instance_from_starting(tmp_path: Path) -> None:
    world = World(tmp_path, one())
    directory = books_directory(world.written)
    directory.mkdir(parents=True)
    (directory / FILE).write_bytes(b"no database" * 100)
    assert not World(tmp_path, one()).serves.paused
    async with world:
        assert (await world.service.shown("checkout")).report.units == 0

"""Experiments in the API: what is shown has the described types, who may decide, and what is wrong is a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.support.asgi import Asgi
from tests.support.console import TOKEN, ToldInstance, page_of

from interpose.config.experiment_service import ExperimentService
from interpose.config.load import config_of
from interpose.console.access import Access
from interpose.console.application import CONSOLE, CONTROL, application, groups_of
from interpose.console.services import Services
from interpose.core.experiment.notes import Notes, encode_notes

BLUE, GREEN = "button=blue", "button=green"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    config = config_of(
        {
            "process": {"name": "e", "state_dir": str(tmp_path)},
            "listener": [{"role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}],
            "upstream": [{"name": "o", "servers": ["127.0.0.1:9"]}],
            "experiment": [
                {
                    "name": "checkout",
                    "factor": [{"name": "button", "level": [{"name": "blue"}, {"name": "green"}]}],
                    "goal": [{"name": "order"}, {"name": "spent", "kind": "sum"}],
                    "decision": {"ramp": [0.1, 1.0], "guard": [{"metric": "errors"}, {"metric": "latency"}]},
                }
            ],
        }
    )
    service = ExperimentService(config)
    await service.open()
    notes = Notes(name="checkout", salt="checkout", shares={BLUE: 0.5, GREEN: 0.5}, most_units=10,
                  exposures=[(bytes(16), BLUE, 1.0), (bytes([1] * 16), GREEN, 1.0)])  # fmt: skip
    await service.answer("experiments.notes", encode_notes([notes]))
    yield Services(instance=ToldInstance(), experiments=service)
    await service.close()


def access() -> Access:
    return Access(TOKEN, port=8081, hosts=("console.example",), instance="e")


async def test_what_is_shown_is_what_is_described(services: Services) -> None:
    control = Asgi(application(services), CONTROL)
    (group,) = [group for group in groups_of(services) if group.name == "experiments"]
    kinds = {resource.path: resource.answer for resource in group.resources if resource.method == "GET"}
    for path, pattern in (("/experiments", "/experiments"), ("/experiments/checkout", "/experiments/{name}"),
                          ("/experiments/checkout/trend", "/experiments/{name}/trend")):  # fmt: skip
        answer = await control.get(path)
        assert answer.status == 200
        read = msgspec.json.decode(answer.content, type=kinds[pattern])
        assert msgspec.json.decode(msgspec.json.encode(read)) == answer.json
    assert [row["units"] for row in (await control.get("/experiments/checkout")).json["report"]["variants"]] == [1, 1]


async def test_a37_who_only_looks_decides_nothing(services: Services) -> None:
    served, guard = application(services, access()), access()
    for role, status in (("viewer", 403), ("editor", 200), ("admin", 200)):
        browser = await page_of(served, guard, role)
        assert browser.prefix == CONSOLE
        assert (await browser.get("/experiments")).status == 200
        answer = await browser.ask("POST", "/experiments/checkout/decide", {"action": "pause", "why": role})
        assert answer.status == status, role
        posted = await browser.ask("POST", "/experiments/checkout/events", {"goal": "order", "unit": "x"})
        assert posted.status == status, role
    decisions = (await browser.get("/experiments/checkout")).json["decisions"]
    assert [decision["why"] for decision in decisions] == ["admin", "editor"]


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/experiments/check-in/decide", {"action": "pause"}, 404, "there is no experiment"),
        ("/experiments/checkout/decide", {"action": "stop"}, 422, "stop"),
        ("/experiments/checkout/decide", {"action": "promote"}, 422, "no variant"),
        ("/experiments/checkout/decide", {"action": "promote", "variant": "button=red"}, 422, "no variant"),
        ("/experiments/checkout/events", {"goal": "orders", "unit": "x"}, 404, "no goal"),
        ("/experiments/checkout/events", {"goal": "order"}, 422, "unit"),
        ("/experiments/checkout/events", {"goal": "spent", "unit": "x", "value": 1e300}, 422, "A value must be"),
    ],
)
async def test_what_cannot_be_is_a_sentence(
    services: Services, path: str, content: dict[str, object], status: int, said: str
) -> None:
    answer = await Asgi(application(services), CONTROL).ask("POST", path, content)
    assert answer.status == status
    assert said in answer.json["errors"][0]


async def test_without_experiments_it_says_how_there_would_be_some() -> None:
    answer = await Asgi(application(Services(instance=ToldInstance())), CONTROL).get("/experiments")
    assert answer.status == 404
    assert "[[experiment]]" in answer.json["errors"][0]

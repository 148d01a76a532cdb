"""The description of the API: whole, and true."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.support.console import Console, ToldInstance
from tests.support.journal_records import record
from tests.unit.console.test_control import FakeCaches, FakeFaults
from tests.unit.console.test_desk_api import held, waiting
from tests.unit.console.test_spool_api import stored

from interpose.console.application import CONSOLE, groups_of
from interpose.console.openapi import description
from interpose.console.services import Services


async def described(console: Console) -> dict[str, Any]:
    return (await (await console.page("viewer")).get("/openapi.json")).json  # type: ignore[no-any-return]


def refs(value: Any) -> set[str]:
    """Every reference in a description."""
    if isinstance(value, dict):
        return {value["$ref"]} if "$ref" in value else set().union(*map(refs, value.values()), set())
    return set().union(*map(refs, value), set()) if isinstance(value, list) else set()


async def test_it_is_whole(console: Console) -> None:
    told = await described(console)
    assert told["openapi"] == "3.1.0"
    assert told["servers"] == [{"url": "/api/v1"}]
    names = set(told["components"]["schemas"])
    assert {ref.removeprefix("#/components/schemas/") for ref in refs(told)} <= names
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    operations = [
        (path, method, told["paths"][path][method]) for path in told["paths"] for method in told["paths"][path]
    ]
    operations = [one for one in operations if one[1] != "parameters"]
    assert len({operation["operationId"] for _, _, operation in operations}) == len(operations) > 30
    tags = {tag["name"] for tag in told["tags"]}
    for path, method, operation in operations:
        assert path.startswith("/"), path
        in_path = {one["name"] for one in told["paths"][path].get("parameters", ())}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        assert set(operation["tags"]) <= tags
        assert operation["summary"].endswith("."), (path, method)
        assert any(status.startswith("2") for status in operation["responses"])
        for answer in operation["responses"].values():
            assert answer["description"]


async def test_every_resource_is_described_and_answers(console: Console) -> None:
    """What is described is there: nobody answers 404 for want of a route, or 405."""
    page = await console.page()
    for path, methods in (await described(console))["paths"].items():
        for method in methods:
            if method == "parameters" or path == "/events":
                continue
            asked = path.replace("{id}", "1").replace("{side}", "request")
            answer = await page.ask(method.upper(), asked)
            assert answer.status != 405, (method, path)
            assert b"There is nothing here." not in answer.content, (method, path)


async def test_what_is_answered_is_what_is_described(console: Console) -> None:
    """Real answers, read as the types of the description are: nothing is missing, nothing is of another kind."""
    await console.record(record(), record(1))
    id = stored(console.spool)
    paths = [
        "/flows", "/flows/count", "/flows/complete?text=h", "/flows/compare?a=1&b=2", "/flows/1", "/overview", "/desk",
        "/flows/1/preview/response", "/flows/1/messages", "/desk/abcdefgh", "/desk/audit", "/desk/rules", "/spool",
        f"/spool/{id}", "/session", "/console", "/firewall",
    ]  # fmt: skip
    page = await console.page()
    kinds = {
        resource.path: resource.answer
        for group in groups_of(console.services, console.access)
        for resource in group.resources
        if resource.method == "GET"
    }
    async with waiting(console, held()):
        for path in paths:
            answer = await page.get(path)
            assert answer.status == 200, path
            pattern = re.sub(r"/(1|2|abcdefgh|[a-z2-7]{16})(?=/|\Z)", "/{id}", path.partition("?")[0])
            kind = kinds[re.sub(r"(preview)/\w+", r"\1/{side}", pattern)]
            read = msgspec.json.decode(answer.content, type=kind)
            assert msgspec.json.decode(msgspec.json.encode(read)) == answer.json, path


@pytest.mark.parametrize("is_all", [True, False])
def test_it_describes_what_there_is(is_all: bool) -> None:
    services = Services(instance=ToldInstance(), faults=FakeFaults(), caches=FakeCaches()) if is_all else Services(
        instance=ToldInstance()
    )  # fmt: skip
    paths = description(groups_of(services), CONSOLE)["paths"]
    assert ("/faults" in paths, "/cache/purge" in paths, "/flows" in paths) == (is_all, is_all, False)

import asyncio
from typing import Any, NamedTuple

import msgspec
import pytest

from interpose.console.control import control_application


class Result(NamedTuple):
    generation: int
    errors: tuple[str, ...] = ()


class FakeInstance:
    def __init__(self) -> None:
        self.is_ready = True
        self.result = Result(2)
        self.ended = 0

    def status(self) -> dict[str, Any]:
        return {"name": "web", "workers": [{"pid": 7}]}

    def config(self) -> bytes:
        return msgspec.msgpack.encode({"process": {"name": "web"}})

    async def reload(self) -> Result:
        await asyncio.sleep(0)
        return self.result

    def end(self) -> None:
        self.ended += 1


class FakeFaults:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.result = Result(3)

    def listed(self) -> list[dict[str, Any]]:
        return [{"of": "listener", "name": "web", "faults": ["timeout"], "live": True}]

    async def set(self, name: str, faults: Any) -> Result:
        self.asked.append((name, faults))
        return self.result

    async def clear(self, name: str) -> Result:
        self.asked.append(name)
        return self.result


async def ask(
    instance: FakeInstance, method: str, path: str, content: bytes = b"", faults: FakeFaults | None = None
) -> tuple[int, Any]:
    """One request to the application, without a server."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "root_path": ""}
    await control_application(instance, faults)(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], msgspec.json.decode(body) if body.startswith(b"{") else body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "content"),
    [
        ("GET", "/v1/status", 200, {"name": "web", "workers": [{"pid": 7}]}),
        ("GET", "/v1/ready", 200, {"ready": True}),
        ("GET", "/v1/config", 200, {"process": {"name": "web"}}),
        ("POST", "/v1/reload", 200, {"generation": 2, "errors": []}),
        ("POST", "/v1/drain", 202, {"draining": True}),
        ("GET", "/v1/drain", 405, "Method Not Allowed"),
        ("GET", "/v1/reload", 405, "Method Not Allowed"),
        ("GET", "/", 404, "Not Found"),
    ],
)
async def test_what_the_api_answers(method: str, path: str, status: int, content: Any) -> None:
    instance = FakeInstance()
    assert await ask(instance, method, path) == (status, content)
    assert instance.ended == (status == 202)


async def test_f18_readiness_is_503_when_new_connections_are_not_welcome() -> None:
    instance = FakeInstance()
    instance.is_ready = False
    assert await ask(instance, "GET", "/v1/ready") == (503, {"ready": False})


async def test_f15_a_refused_reload_says_every_error() -> None:
    instance = FakeInstance()
    instance.result = Result(1, ("file.toml:3: one.", "file.toml:9: two."))
    status, content = await ask(instance, "POST", "/v1/reload")
    assert (status, content) == (422, {"generation": 1, "errors": ["file.toml:3: one.", "file.toml:9: two."]})


async def test_faults_are_listed_set_and_cleared() -> None:
    instance, faults = FakeInstance(), FakeFaults()
    assert await ask(instance, "GET", "/v1/faults", faults=faults) == (200, {"faults": faults.listed()})
    content = b'{"name": "web", "faults": ["timeout", {"kind": "latency", "latency_s": 1}]}'
    assert await ask(instance, "PUT", "/v1/faults", content, faults) == (200, {"generation": 3, "errors": []})
    assert await ask(instance, "DELETE", "/v1/faults", b'{"name": "web"}', faults) == (
        200,
        {"generation": 3, "errors": []},
    )
    assert (await ask(instance, "DELETE", "/v1/faults", faults=faults))[0] == 200
    assert faults.asked == [("web", ["timeout", {"kind": "latency", "latency_s": 1}]), "web", ""]
    faults.result = Result(3, ("it does not fit.",))
    assert (await ask(instance, "PUT", "/v1/faults", content, faults))[0] == 422


@pytest.mark.parametrize("content", [b"nonsense", b"[]", b'{"name": 5}', b'{"fault": []}', b'{"faults": [5]}'])
async def test_a_wish_for_faults_that_makes_no_sense_is_refused(content: bytes) -> None:
    faults = FakeFaults()
    status, answer = await ask(FakeInstance(), "PUT", "/v1/faults", content, faults)
    assert (status, faults.asked) == (422, [])
    assert answer["errors"][0].startswith("the content cannot be used: ")


async def test_an_instance_without_live_faults_has_no_such_resource() -> None:
    assert (await ask(FakeInstance(), "GET", "/v1/faults"))[0] == 404

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


async def ask(instance: FakeInstance, method: str, path: str) -> tuple[int, Any]:
    """One request to the application, without a server."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "root_path": ""}
    await control_application(instance)(scope, receive, send)
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

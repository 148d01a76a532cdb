from typing import Any

import msgspec
import pytest
from tests.support.asgi import Asgi
from tests.support.console import HOST, TOKEN, Console, Result, ToldInstance

from interpose.console.application import CONTROL, application
from interpose.console.control import serve_control
from interpose.console.services import Services


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


class FakeCaches:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def stored(self, pattern: str, limit: int) -> dict[str, Any]:
        if pattern == "?":
            raise ValueError("`?` is no pattern.")
        self.asked.append((pattern, limit))
        return {"stored": []}

    async def shown(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        return {"stored": [], "last_miss": None}

    async def purge(self, pattern: str, *, soft: bool) -> dict[str, Any]:
        self.asked.append((pattern, soft))
        return {"purged": 2}


def control(instance: ToldInstance, faults: FakeFaults | None = None, caches: FakeCaches | None = None) -> Asgi:
    return Asgi(application(Services(instance=instance, faults=faults, caches=caches)), CONTROL)


@pytest.mark.parametrize(
    ("method", "path", "status", "content"),
    [
        ("GET", "/ready", 200, {"ready": True}),
        ("GET", "/config", 200, {"process": {"name": "web"}}),
        ("POST", "/reload", 200, {"generation": 2, "errors": []}),
        ("POST", "/drain", 202, {"draining": True}),
        ("GET", "/console", 200, {}),
        ("GET", "/drain", 405, {"errors": ["This cannot be done with it."]}),
        ("GET", "/reload", 405, {"errors": ["This cannot be done with it."]}),
        ("GET", "/", 404, {"errors": ["There is nothing here."]}),
        ("GET", "/session", 404, {"errors": ["There is nothing here."]}),
    ],
)
async def test_what_the_api_answers(method: str, path: str, status: int, content: Any) -> None:
    instance = ToldInstance()
    answer = await control(instance).ask(method, path)
    assert (answer.status, answer.json) == (status, content)
    assert instance.ended == (status == 202)


async def test_the_status_is_what_the_instance_says() -> None:
    answer = await control(ToldInstance()).get("/status")
    assert (answer.json["name"], answer.json["workers"][0]["pid"]) == ("web", 7)


async def test_the_link_of_the_console_is_told_to_its_owner_only(console: Console) -> None:
    link = f"http://{HOST}/?token={TOKEN}"
    assert (await console.control.get("/status")).json["console"] == link
    assert (await (await console.page("admin")).get("/status")).json["console"] == link
    for role in ("viewer", "editor"):
        answer = await (await console.page(role)).get("/status")
        assert (answer.status, TOKEN in answer.content.decode()) == (200, False)


async def test_f18_readiness_is_503_when_new_connections_are_not_welcome() -> None:
    instance = ToldInstance()
    instance.is_ready = False
    answer = await control(instance).get("/ready")
    assert (answer.status, answer.json) == (503, {"ready": False})


async def test_f15_a_refused_reload_says_every_error() -> None:
    instance = ToldInstance()
    instance.result = Result(1, ("file.toml:3: one.", "file.toml:9: two."))
    answer = await control(instance).post("/reload")
    assert (answer.status, answer.json["errors"]) == (422, ["file.toml:3: one.", "file.toml:9: two."])
    assert answer.json["generation"] == 1


async def test_faults_are_listed_set_and_cleared() -> None:
    faults = FakeFaults()
    asked = control(ToldInstance(), faults)
    assert (await asked.get("/faults")).json == {"faults": faults.listed()}
    wanted = {"name": "web", "faults": ["timeout", {"kind": "latency", "latency_s": 1}]}
    assert (await asked.put("/faults", wanted)).json == {"generation": 3, "errors": []}
    assert (await asked.ask("DELETE", "/faults", {"name": "web"})).json == {"generation": 3, "errors": []}
    assert (await asked.ask("DELETE", "/faults")).status == 200
    assert faults.asked == [("web", ["timeout", {"kind": "latency", "latency_s": 1}]), "web", ""]
    faults.result = Result(3, ("it does not fit.",))
    assert (await asked.put("/faults", wanted)).status == 422


@pytest.mark.parametrize("content", [b"nonsense", b"[]", b'{"name": 5}', b'{"fault": []}', b'{"faults": [5]}', b"\xff"])
async def test_a_wish_for_faults_that_makes_no_sense_is_refused(content: bytes) -> None:
    faults = FakeFaults()
    answer = await control(ToldInstance(), faults).put("/faults", content)
    assert (answer.status, faults.asked) == (422, [])
    assert answer.json["errors"][0].startswith("The content cannot be used: ")


async def test_content_that_never_ends_is_refused_before_it_has_come() -> None:
    answer = await control(ToldInstance(), FakeFaults()).ask("PUT", "/faults", pieces=[b"[" * (1 << 20)] * 17)
    assert answer.status == 413


async def test_caches_are_looked_into_and_emptied() -> None:
    caches = FakeCaches()
    asked = control(ToldInstance(), caches=caches)
    assert (await asked.get("/cache")).json == {"stored": []}
    assert (await asked.get("/cache?pattern=host:a&limit=5")).status == 200
    assert (await asked.get("/cache/show?url=http://a/")).status == 200
    assert (await asked.post("/cache/purge", {"pattern": "*", "soft": True})).json == {"purged": 2}
    assert caches.asked == [("*", 100), ("host:a", 5), "http://a/", ("*", True)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/cache?pattern=%3F", "`?` is no pattern."),
        ("/cache?limit=many", "`limit` must be a whole number up to 1000, not 'many'."),
        ("/cache?limit=1001", "`limit` must be a whole number up to 1000, not '1001'."),
        ("/cache?limit=%D9%A2", "`limit` must be a whole number up to 1000, not '\u0662'."),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(path: str, why: str) -> None:
    answer = await control(ToldInstance(), caches=FakeCaches()).get(path)
    assert (answer.status, answer.json) == (422, {"errors": [why]})


@pytest.mark.parametrize("path", ["/faults", "/cache", "/flows", "/flows/1/replay", "/desk", "/desk/a", "/spool"])
async def test_what_is_off_says_so(path: str) -> None:
    for method in ("GET", "POST"):
        answer = await control(ToldInstance()).ask(method, path)
        assert answer.status == 404
        assert answer.json["errors"][0] != "There is nothing here."


async def test_a_server_without_anything_to_keep_is_made_of_an_instance_alone() -> None:
    server = serve_control(ToldInstance(), None)
    server.stop()
    assert server.should_exit


async def test_what_nobody_foresaw_is_in_the_log_and_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    instance = ToldInstance()
    instance.config = lambda: b"\xc1"  # type: ignore[method-assign]
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(b"\xc1")
    answer = await control(instance).get("/config")
    assert (answer.status, b"0xc1" in answer.content) == (500, False)
    assert "could not answer" in caplog.text

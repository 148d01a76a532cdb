"""The desk of the whole program: curl sends, somebody decides with `interpose desk`, and whatever is killed meanwhile,
nothing that was acknowledged is lost or sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.command import command
from tests.support.instance import INTERPOSE, RealInstance, kill, left_of, toml
from tests.support.raw_origin import OK, RawOrigin, answering

DEADLINE_S = 30


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("d")


class Answer(NamedTuple):
    """What curl got."""

    status: int
    location: str
    content: str


class Curl:
    """One request of curl's, under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await self.process.communicate()
        content, status, location = out.decode().rsplit("\n", 2)
        return Answer(int(status), location, content)


class DeskInstance(RealInstance):
    """A gateway before `origin` that holds as `holds` say. People decide with `decide`."""

    def __init__(self, directory: Path, origin: str, holds: list[dict[str, Any]], **plan: Any) -> None:
        super().__init__(directory, origin, {"workers": 1, **plan})
        self.holds = holds

    def write(self, **changes: Any) -> None:
        super().write(**changes)
        with self.file.open("a") as file:
            file.write(toml({"hold": changes.get("holds", self.holds)}))

    @asynccontextmanager
    async def curl(self, path: str, *options: str, port: int = 0) -> AsyncIterator[Curl]:
        """curl, with a request that it sends to the gateway."""
        written = "\n%{http_code}\n%header{location}"
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--noproxy", "*", "--max-time", str(DEADLINE_S), "-w", written, *options,
            f"http://127.0.0.1:{port or self.port}{path}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Curl(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def decide(self, *arguments: str, status: int = 0) -> str:
        """What `interpose desk` prints."""
        of = ("--name", self.plan["name"], "--state", self.plan["state_dir"])
        said = await command("desk", *arguments, *of, deadline_s=DEADLINE_S)
        assert said.status == status, said
        return said.out.decode()

    async def waiting(self, count: int = 1) -> list[dict[str, Any]]:
        """The holds that wait, once there are so many."""
        return await self.listed("waiting", lambda holds: len(holds) == count)

    async def listed(self, state: str, condition: Any) -> list[dict[str, Any]]:
        """The holds of a state, once the condition holds for them."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status, content = await self.ask("GET", f"/v1/desk?state={state}")
                assert status == 200
                if condition(content["holds"]):
                    return content["holds"]
                await asyncio.sleep(0.02)

    async def one(self) -> dict[str, Any]:
        """The only hold that waits."""
        [hold] = await self.waiting()
        return hold


POSTS = [{"name": "posts", "when": "method:POST", "timeout_s": 0.0}]


class CommandInstance(DeskInstance):
    """The same, started as `interpose gateway … --hold …`."""

    def command(self) -> list[str]:
        [upstream] = self.plan["upstreams"]
        options = ["--listen", "127.0.0.1:0", "--workers", "1", "--no-console", "--log", "off", "--log-format", "json"]
        state = ["--name", self.plan["name"], "--state", self.plan["state_dir"]]
        return [INTERPOSE, "gateway", upstream["servers"][0], *options, *state, "--hold", "method:POST"]


async def test_an_edit_is_released_on_the_command_line_and_the_origin_gets_it(place: Path) -> None:
    edited = place / "edited.json"
    edited.write_text('{"amount": 1, "for": "somebody else"}')
    async with (
        RawOrigin(answering(OK)) as origin,
        CommandInstance(place, origin.address, []) as instance,
        instance.curl("/orders", "-H", "Content-Type: application/json", "-d", '{"amount": 100}') as curl,
    ):
        hold = await instance.one()
        assert (hold["method"], hold["client_waits"], hold["rule"]) == ("POST", True, "method:POST")
        assert not origin.connections
        await instance.decide("edit", hold["id"], "--content", str(edited))
        await instance.decide("release", hold["id"], "--version", "1", status=1)
        await instance.decide("release", hold["id"], "--version", "2")
        assert await curl.answer() == Answer(200, "", "ok")
        [request] = origin.requests()
        assert (request.method, request.target, request.body) == ("POST", "/orders", edited.read_bytes())
        async with instance.curl("/") as plain:
            assert (await plain.answer()).content == "ok"
        [settled] = await instance.listed("all", lambda holds: holds[0]["state"] == "settled")
        assert (settled["verdict"], settled["outcome"]) == ("release", "answered with 200")


async def test_what_is_dropped_is_told_with_a_page_and_what_is_answered_by_hand_never_goes_on(place: Path) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        CommandInstance(place, origin.address, []) as instance,
    ):
        async with instance.curl("/", "-d", "x") as curl:
            await instance.decide("drop", (await instance.one())["id"], "--why", "Not on a Friday.")
            answer = await curl.answer()
            assert answer.status == 403
            assert "Not on a Friday." in answer.content
        async with instance.curl("/", "-d", "y") as curl:
            (place / "answer").write_text("We will call you.\n")
            hold = await instance.one()
            by_hand = ("--status", "201", "--header", "Location: /7", "--content", str(place / "answer"))
            await instance.decide("answer", hold["id"], *by_hand)
            assert await curl.answer() == Answer(201, "/7", "We will call you.\n")
        assert not origin.connections


@pytest.mark.parametrize(("on_timeout", "status"), [("drop", 403), ("release", 200)])
async def test_a_deadline_does_what_its_rule_says(place: Path, on_timeout: str, status: int) -> None:
    rule = {"when": "method:POST", "timeout_s": 0.5, "on_timeout": on_timeout}
    async with (
        RawOrigin(answering(OK)) as origin,
        DeskInstance(place, origin.address, [rule]) as instance,
        instance.curl("/", "-d", "x") as curl,
    ):
        answer = await curl.answer()
        assert answer.status == status
        assert len(origin.requests()) == (status == 200)
        if status == 403:
            assert "Nobody decided in time" in answer.content


async def test_f26_what_was_told_202_is_delivered_when_the_origin_is_back(place: Path) -> None:
    accept = [{"when": "method:POST", "mode": "accept", "timeout_s": 0.0}]
    async with RawOrigin(answering(OK)) as there:
        address = there.address
    async with DeskInstance(place, address, accept) as instance:
        async with instance.curl("/jobs", "-d", "work") as curl:
            told = await curl.answer()
            assert told.status == 202
        hold = await instance.one()
        assert told.location.endswith(hold["id"])
        assert not hold["client_waits"]
        await instance.decide("release", hold["id"])
        await instance.listed("all", lambda holds: holds[0]["state"] == "decided" and holds[0]["outcome"])
        async with instance.curl(told.location) as curl:
            standing = json.loads((await curl.answer()).content)
            assert (standing["state"], standing["decision"], standing["status"]) == ("decided", "release", None)
        async with RawOrigin(answering(OK), port=int(address.rpartition(":")[2])) as back:
            await instance.listed("all", lambda holds: holds[0]["state"] == "settled")
            async with instance.curl(told.location) as curl:
                standing = json.loads((await curl.answer()).content)
                assert (standing["state"], standing["status"]) == ("settled", 200)
            [request] = back.requests()
            assert (request.target, request.body) == ("/jobs", b"work")


@pytest.mark.parametrize("who", ["worker", "supervisor", "all"])
async def test_f9_a_hold_outlives_who_is_killed_and_is_sent_from_the_desk(place: Path, who: str) -> None:
    async with RawOrigin(answering(OK)) as origin:
        async with contextlib.AsyncExitStack() as running:
            instance = await running.enter_async_context(DeskInstance(place, origin.address, POSTS))
            curl = await running.enter_async_context(instance.curl("/pay", "-d", "amount=10"))
            hold = await instance.one()
            pids = await instance.pids()
            killed = {"worker": pids, "supervisor": [instance.process.pid], "all": [instance.process.pid, *pids]}[who]
            for pid in killed:
                kill(pid, signal.SIGKILL)
            if who == "worker":
                assert (await curl.answer()).status == 0
                await _is_sent_from_the_desk(instance, hold["id"], origin)
                return
            async with asyncio.timeout(DEADLINE_S):
                await instance.process.wait()
            assert (await curl.answer()).status == (503 if who == "supervisor" else 0)
            async with asyncio.timeout(DEADLINE_S):
                while left_of(set(pids)):  # noqa: ASYNC110 - a worker that is on its own drains, and tells nobody
                    await asyncio.sleep(0.02)
        assert not origin.connections
        async with DeskInstance(place, origin.address, POSTS) as again:
            await _is_sent_from_the_desk(again, hold["id"], origin)


async def _is_sent_from_the_desk(instance: DeskInstance, id: str, origin: RawOrigin) -> None:
    """The hold waits, says that its client has gone, is sent when somebody says so, and once."""
    [hold] = await instance.listed("waiting", lambda holds: len(holds) == 1 and holds[0]["outcome"])
    assert hold["id"] == id
    assert not hold["client_waits"]
    assert "client has" in hold["outcome"]
    shown = await instance.decide("show", id)
    assert "amount=10" in shown
    await instance.decide("send", id)
    [settled] = await instance.listed("all", lambda holds: holds[0]["state"] == "settled")
    assert settled["outcome"] == "answered with 200"
    [request] = origin.requests()
    assert (request.method, request.target, request.body) == ("POST", "/pay", b"amount=10")


async def test_what_waits_lives_on_through_a_reload_that_holds_nothing_any_more(place: Path) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        DeskInstance(place, origin.address, POSTS) as instance,
        instance.curl("/", "-d", "before") as curl,
    ):
        hold = await instance.one()
        instance.write(holds=[])
        instance.process.send_signal(signal.SIGHUP)
        await instance.until(lambda status: status["generation"] == 2)
        async with instance.curl("/", "-d", "after") as later:
            assert (await later.answer()).status == 200
        assert (await instance.one())["client_waits"]
        await instance.decide("release", hold["id"])
        assert await curl.answer() == Answer(200, "", "ok")
        assert [request.body for request in origin.requests()] == [b"after", b"before"]


def drains(status: dict[str, Any]) -> bool:
    return any(worker["state"] == "draining" for worker in status["workers"])


async def test_while_it_drains_somebody_may_still_decide(place: Path) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        DeskInstance(place, origin.address, POSTS, grace_s=20.0) as instance,
        instance.curl("/", "-d", "amount=10") as curl,
    ):
        hold = await instance.one()
        begun = time.monotonic()
        instance.process.send_signal(signal.SIGTERM)
        await instance.until(drains)
        await instance.decide("release", hold["id"])
        assert await curl.answer() == Answer(200, "", "ok")
        async with asyncio.timeout(DEADLINE_S):
            assert await instance.process.wait() == 0
        assert time.monotonic() - begun < 15
        assert len(origin.requests()) == 1


@pytest.mark.parametrize("signals", [1, 2])
async def test_ctrl_c_does_not_wait_for_people_and_keeps_what_waited(place: Path, signals: int) -> None:
    async with RawOrigin(answering(OK)) as origin:
        async with (
            DeskInstance(place, origin.address, POSTS, grace_s=1.0 if signals == 1 else 60.0) as instance,
            instance.curl("/pay", "-d", "amount=10") as curl,
        ):
            hold = await instance.one()
            begun = time.monotonic()
            instance.process.send_signal(signal.SIGINT)
            if signals == 2:
                await instance.until(drains)
                instance.process.send_signal(signal.SIGINT)
            assert (await curl.answer()).status in (0, 503)
            async with asyncio.timeout(DEADLINE_S):
                await instance.process.wait()
            assert time.monotonic() - begun < 10
        assert not origin.connections
        async with DeskInstance(place, origin.address, POSTS) as again:
            await _is_sent_from_the_desk(again, hold["id"], origin)

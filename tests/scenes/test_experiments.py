"""Experiments end to end: variants through a cache and to servers of their own, and books that are exact whatever
becomes of the processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from tests.scenes.judge import Response
from tests.support.program import NAME, Program, children_of, interpose, wait_until
from tests.support.raw_client import RawClient
from tests.support.raw_origin import Connection, RawOrigin

from interpose import serve
from interpose.config.experiment_service import ExperimentService
from interpose.config.load import config_of
from interpose.config.office import Office
from interpose.core.query import parse

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "experiment.toml"
UNIT = re.compile(r"interpose-unit=([A-Za-z0-9_-]{22})")


async def telling(connection: Connection) -> None:
    """Response with what the variant was told to be; it may be kept for a minute, by everybody."""
    while True:
        request = await connection.request(None)
        told = ", ".join(value for name, value in request.fields if name.lower() == "experiment-checkout").encode()
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(told)
        await connection.send(head + told)


async def beta(connection: Connection) -> None:
    """Another server, which says so."""
    while True:
        await connection.request(None)
        await connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbeta")


def tables(place: Path, origin: str, other: str) -> dict[str, Any]:
    levels = [{"name": "blue"}, {"name": "green"}, {"name": "red", "upstream": "beta"}]
    return {
        "process": {"name": "shop", "state_dir": str(place / "state"), "grace_s": 0.0},
        "log": {"access": "off"},
        "journal": {},
        "cache": [{"name": "memory"}],
        "listener": [
            {"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "shop", "cache": "memory"}
        ],
        "upstream": [{"name": "shop", "servers": [origin]}, {"name": "beta", "servers": [other]}],
        "experiment": [
            {
                "name": "checkout",
                "factor": [{"name": "button", "level": levels}],
                "goal": [{"name": "bought", "when": "path:/thanks status:200"}],
            }
        ],
    }


def fields_of(answer: Response, name: str) -> list[str]:
    return [value for key, value in answer.fields if key.lower() == name]


async def test_a14_variants_have_cached_answers_and_servers_of_their_own(tmp_path: Path) -> None:
    """Nobody gets what was made for another variant, and the origin is asked once for each of them."""
    async with RawOrigin(telling) as origin, RawOrigin(beta) as other:
        config = config_of(tables(tmp_path, origin.address, other.address))
        office = Office(config)
        clients: dict[str, bytes] = {}
        async with serve(config, office=office) as running, RawClient(running.addresses["web"]) as client:

            async def get(path: str, *lines: bytes) -> Response:
                client.send(b"GET %b HTTP/1.1\r\nHost: shop\r\n%b\r\n" % (path.encode(), b"".join(lines)))
                [answer] = await client.answers("GET")
                return answer

            seen = []
            while len(clients) < 3:
                answer = await get("/cart")
                [cookie] = fields_of(answer, "set-cookie")
                assert fields_of(answer, "cache-control") == ["max-age=60", "private"]
                seen.append(answer.body)
                clients.setdefault(answer.body.decode(), f"Cookie: {cookie.partition(';')[0]}\r\n".encode())
            assert set(clients) == {"button=blue", "button=green", "beta"}
            for _ in range(2):
                for told, line in clients.items():
                    answer = await get("/cart", line, b"Experiment-Checkout: button=evil\r\n")
                    assert answer.body == told.encode()
                    assert "hit" in fields_of(answer, "cache-status")[0]
                    assert fields_of(answer, "vary") == ["Cookie"]
            assert len(origin.requests()) == 2
            assert len(other.requests()) == 1
            assert (await get("/thanks", clients["button=green"])).status == 200
        again = Office(config)
        await again.open()
        service = again.services["experiments"]
        assert isinstance(service, ExperimentService)
        shown = await service.shown("checkout")
        assert sum(row.units for row in shown.report.variants) == len(seen)
        reached = {estimate.variant: estimate.reached for estimate in shown.report.goals[0].estimates}
        assert reached == {"button=blue": 0, "button=green": 1, "button=red": 0}
        found = again.readers[0].find(parse("variant.button:red")).rows
        assert len(found) == seen.count(b"beta") + 2
        await again.end()


async def orders(connection: Connection) -> None:
    """The shop of the example: an order of 12.5 for whoever posts one."""
    while True:
        request = await connection.request(None)
        body = b'{"total": 12.5}' if request.method == "POST" else b"page"
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    async with RawOrigin(orders) as shop, RawOrigin(orders) as newer:
        raw = tomllib.loads(EXAMPLE.read_text())
        raw["process"] = {"name": "example", "state_dir": str(tmp_path), "grace_s": 0.0}
        raw["listener"][0]["address"] = raw["console"]["address"] = "127.0.0.1:0"
        for upstream, origin in zip(raw["upstream"], (shop, newer), strict=True):
            upstream["servers"] = [origin.address]
        [experiment] = raw["experiment"]
        assert experiment["decision"].pop("ramp") == [0.01, 0.1, 0.5, 1.0]  # here everybody takes part at once
        config = config_of(raw)
        office = Office(config)
        async with serve(config, office=office) as running, RawClient(running.addresses["web"]) as client:

            async def ask(head: bytes) -> Response:
                client.send(head + b"\r\n")
                [answer] = await client.answers(head.partition(b" ")[0].decode())
                return answer

            chosen = await ask(b"GET /cart?experiment-checkout=button=green+layout=new HTTP/1.1\r\nHost: a\r\n")
            assert "experiment-checkout=button=green+layout=new" in fields_of(chosen, "set-cookie")[0]
            robot = await ask(b"GET /cart HTTP/1.1\r\nHost: a\r\nUser-Agent: a-bot/1\r\n")
            assert fields_of(robot, "set-cookie") == []
            for _ in range(30):
                answer = await ask(b"GET /cart HTTP/1.1\r\nHost: a\r\n")
                cookie = fields_of(answer, "set-cookie")[0].partition(";")[0].encode()
                post = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nCookie: %b\r\n" % cookie
                assert (await ask(post)).body == b'{"total": 12.5}'
        assert newer.requests()[0].target == "/cart"
        told = {name: value for name, value in newer.requests()[0].fields if name == "Experiment-checkout"}
        assert told == {"Experiment-checkout": "button=green, layout=new"}
        again = Office(config)
        await again.open()
        service = again.services["experiments"]
        assert isinstance(service, ExperimentService)
        (order, spent), row = (await service.shown("checkout")).report.goals, await service.shown("checkout")
        await again.end()
        units = sum(one.units for one in order.estimates)
        assert units + row.report.held_out == 30
        assert units > 20
        assert [one.reached for one in order.estimates] == [one.units for one in order.estimates]
        assert {one.mean for one in spent.estimates if one.units} == {12.5}
        assert len(newer.requests()) > 5


# --- the real program ------------------------------------------------------------------------------------------------

CONFIGURATION = """
[process]
workers = 2
[log]
access = "off"
[[listener]]
name = "web"
role = "gateway"
address = "127.0.0.1:0"
[[route]]
name = "shop"
answer = { text = "page" }
[[experiment]]
name = "checkout"
routes = ["shop"]
[[experiment.factor]]
name = "button"
level = [{ name = "blue" }, { name = "green", response_fields = ["X-Button: green"] }]
[[experiment.goal]]
name = "bought"
when = "path:/thanks"
[[experiment.goal]]
name = "spent"
kind = "sum"
"""


def ask(program: Program, path: str, cookie: str = "") -> tuple[str, str]:
    """One request on a connection of its own, so that both workers get some: the cookie that is set, and X-Button."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Cookie": f"interpose-unit={cookie}"} if cookie else {})
        response = connection.getresponse()
        response.read()
        found = UNIT.match(response.getheader("Set-Cookie") or "")
        return found[1] if found else "", response.getheader("X-Button") or ""
    finally:
        connection.close()


def control(program: Program, path: str, content: dict[str, Any] | None = None) -> Any:
    """What the instance answers on its control socket."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(program.state / NAME / "control.sock"))
    try:
        method = "GET" if content is None else "POST"
        connection.request(method, f"/v1/experiments/checkout{path}", msgspec.json.encode(content or {}))
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())
    finally:
        connection.close()


def totals(program: Program) -> dict[str, tuple[int, int]]:
    """Units, and those that bought, by variant."""
    (goal, _) = control(program, "")["report"]["goals"]
    return {one["variant"]: (one["units"], one["reached"]) for one in goal["estimates"]}


def test_totals_are_exact_across_workers_and_after_a_kill_and_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(CONFIGURATION)
    expected = {"button=blue": [0, 0], "button=green": [0, 0]}
    buyers: list[str] = []
    which = ("--name", NAME, "--state", str(tmp_path / "state"))

    def come(program: Program, count: int) -> None:
        for number in range(count):
            unit, button = ask(program, "/cart")
            for _ in range(2):
                assert ask(program, "/cart", unit) == ("", button), "another variant than before"
            variant = f"button={button or 'blue'}"
            expected[variant][0] += 1
            if number % 3 == 0:
                buyers.append(unit)
                expected[variant][1] += 1
                for _ in range(2):
                    ask(program, "/thanks", unit)

    def are_written(program: Program) -> bool:
        return totals(program) == {name: (units, bought) for name, (units, bought) in expected.items()}

    with Program(tmp_path, "run", str(file)) as program:
        come(program, 30)
        wait_until(lambda: are_written(program), "what both workers saw is in the books")
        killed = children_of(program.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len({*children_of(program.process.pid)} - {killed}) == 2, "another takes its place")
        come(program, 10)
        wait_until(lambda: are_written(program), "what came after a worker's death is there too")
        come(program, 3)  # just before it ends, which loses nothing
        decision = {"action": "promote", "variant": "button=green", "why": "prettier"}
        assert control(program, "/decide", decision)["errors"] == []
        assert {ask(program, "/cart") for _ in range(8)} == {("", "green")}

    with Program(tmp_path, "run", str(file)) as program:
        assert {ask(program, "/cart") for _ in range(4)} == {("", "green")}, "a restart keeps what was decided"
        assert are_written(program)
        listed = control(program, "")
        assert (listed["phase"], listed["variant"], listed["why"]) == ("promoted", "button=green", "prettier")
        assert control(program, "/decide", {"action": "resume"})["errors"] == []
        unit, _ = ask(program, "/cart")
        assert unit, "it goes on, and clients get cookies again"
        for value in (2.5, 3.5):
            event = {"goal": "spent", "unit": buyers[0], "value": value}
            assert control(program, "/events", event) == {"takes_part": True}
        (_, spent) = control(program, "")["report"]["goals"]
        assert sum(one["mean"] * one["units"] for one in spent["estimates"]) == 6.0
        table = interpose("experiments", "show", "checkout", *which).stdout
        assert "button=green" in table
        assert "prettier" in table
        status = interpose("status", *which).stdout
        assert re.search(r"checkout +running +100 %", status)
        said = interpose("experiments", "pause", "checkout", *which)
        assert said.stdout == "Nobody takes part now.\n", said
        assert ask(program, "/cart") == ("", "")
        refused = interpose("experiments", "promote", "checkout", "button=red", *which)
        assert refused.returncode == 2
        assert "no variant" in refused.stderr

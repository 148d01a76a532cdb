"""How servers of upstreams stand, as the terminal and monitoring are told by a real instance."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.support.background import in_background
from tests.support.program import NAME, Program, interpose, wait_until
from tests.support.raw_origin import RawOrigin, answering

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONFIGURATION = """
[process]
workers = 2
[metrics]
address = "127.0.0.1:0"
[[listener]]
name = "front"
role = "gateway"
address = "127.0.0.1:0"
[[route]]
name = "api"
path = "/api"
upstream = "app"
[[route]]
name = "one"
path = "/one"
upstream = "one"
[[upstream]]
name = "app"
servers = ["{origin}", "127.0.0.1:9"]
[upstream.check]
kind = "tcp"
interval_s = 1
fall = 1
[[upstream]]
name = "one"
servers = ["{origin}"]
"""


def test_every_worker_s_requests_and_a_server_that_is_down_are_seen(tmp_path: Path) -> None:
    with in_background(lambda: RawOrigin(answering(ANSWER))) as origin:
        (tmp_path / "site.toml").write_text(CONFIGURATION.format(origin=origin.address))
        with Program(tmp_path, "run", str(tmp_path / "site.toml"), listeners=2) as program:
            where = ("--state", str(tmp_path / "state"), "--name", NAME)

            def told() -> dict[str, float]:
                with urllib.request.urlopen(program.urls["metrics"], timeout=10) as answer:
                    families = text_string_to_metric_families(answer.read().decode())
                return {
                    one.labels["server"]: one.value
                    for family in families
                    for one in family.samples
                    if one.name == "interpose_upstream_server_up"
                }

            def ask(path: str) -> None:
                with urllib.request.urlopen(f"{program.urls['front']}{path}", timeout=10) as answer:
                    assert answer.read() == b"ok"

            server, dead = f"http://{origin.address}", "http://127.0.0.1:9"
            wait_until(lambda: told() == {server: 1.0, dead: 0.0}, "monitoring is told of the server that is down")
            for _ in range(6):
                ask("/api")
                ask("/one")

            def counted() -> bool:
                rows = json.loads(interpose("status", "--json", *where).stdout)["upstreams"]
                found = {(row["upstream"], row["server"], row["state"]): row["requests"] for row in rows}
                return found == {("app", server, "up"): 6, ("app", dead, "down"): 0, ("one", server, "lone"): 6}

            wait_until(counted, "the requests of both workers")
            said = interpose("status", *where).stdout
            assert "app       1 of 2" in said
            assert "one       1 of 1" in said
            assert f"{dead} is down: " in said

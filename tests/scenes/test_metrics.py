"""The metrics of real instances, read as Prometheus reads them, beside the traffic that they count."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.background import in_background
from tests.support.program import NAME, Program, interpose, is_alive, wait_until
from tests.support.raw_origin import RawOrigin, answering

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"

CONFIGURATION = """
[process]
workers = {workers}
pre_drain_s = {pre_drain_s}
[log]
access = "{log}"
format = "json"
[metrics]
address = "127.0.0.1:0"
{more}
[[listener]]
name = "front"
role = "gateway"
address = "127.0.0.1:0"
[[route]]
name = "api"
path = "/api"
upstream = "app"
[[route]]
name = "busy"
path = "/busy"
upstream = "busy"
[[upstream]]
name = "app"
servers = ["{origin}"]
[[upstream]]
name = "busy"
servers = ["{busy}"]
"""


class Answer(NamedTuple):
    status: int
    fields: http.client.HTTPMessage
    content: bytes


def ask(address: str, path: str, **fields: str) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", path, headers=fields)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def samples_at(address: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a scrape finds, by name and labels."""
    text = ask(address, "/metrics").content.decode()
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


class Scene(NamedTuple):
    program: Program
    origin: RawOrigin
    busy: RawOrigin
    file: Path

    @property
    def front(self) -> str:
        return self.program.urls["front"].removeprefix("http://")

    @property
    def monitor(self) -> str:
        return self.program.urls["metrics"].removeprefix("http://").removesuffix("/metrics")

    def value(self, name: str, **labels: str) -> float:
        """Of one sample; 0.0 for one that is not there."""
        return samples_at(self.monitor).get((f"interpose_{name}", frozenset(labels.items())), 0.0)

    def reaches(self, count: float, name: str, **labels: str) -> None:
        """Wait until a sample is so much; it must never be more."""

        def has_come() -> bool:
            value = self.value(name, **labels)
            assert value <= count, (name, labels, value)
            return value == count

        wait_until(has_come, f"{name} {labels} is {count:g}")


@contextmanager
def serving(
    directory: Path, *, workers: int = 2, pre_drain_s: float = 0, more: str = "", listeners: int = 2
) -> Iterator[Scene]:
    with ExitStack() as stack:
        origin = stack.enter_context(in_background(lambda: RawOrigin(answering(ANSWER))))
        busy = stack.enter_context(in_background(lambda: RawOrigin(answering(BUSY))))
        file = directory / "site.toml"
        file.write_text(
            CONFIGURATION.format(
                workers=workers, pre_drain_s=pre_drain_s, more=more, origin=origin.address, busy=busy.address,
                log=directory / "access.log",
            )
        )  # fmt: skip
        program = stack.enter_context(Program(directory, "run", str(file), listeners=listeners))
        yield Scene(program, origin, busy, file)


def test_every_exchange_of_every_worker_is_counted_once(tmp_path: Path) -> None:
    with serving(tmp_path) as scene:
        for _ in range(20):
            assert ask(scene.front, "/api/x").status == 200
        for _ in range(3):
            assert ask(scene.front, "/busy").status == 503
        assert ask(scene.front, "/nowhere").status == 404
        host, _, port = scene.front.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"this is no request\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        scene.reaches(20, "requests_total", listener="front", route="api", status="2xx")
        scene.reaches(3, "requests_total", listener="front", route="busy", status="5xx")
        scene.reaches(2, "requests_total", listener="front", route="(none)", status="4xx")
        scene.reaches(20, "request_duration_seconds_count", listener="front", route="api")
        scene.reaches(100, "response_content_bytes_total", listener="front", route="api")
        server = {"upstream": "app", "server": f"http://{scene.origin.address}"}
        scene.reaches(20, "upstream_requests_total", **server, status="2xx")
        scene.reaches(20, "upstream_latency_seconds_bucket", **server, le="+Inf")
        scene.reaches(
            3, "upstream_requests_total", upstream="busy", server=f"http://{scene.busy.address}", status="5xx"
        )
        scene.reaches(25, "exchanges_total")
        assert scene.value("workers", state="serving") == 2


def test_a_server_that_is_not_there_is_counted_as_one_that_did_not_answer(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        gone = '[[route]]\nname = "gone"\npath = "/gone"\nupstream = "gone"\n'
        gone += f'[[upstream]]\nname = "gone"\nservers = ["127.0.0.1:{port}"]'
        with serving(tmp_path, workers=1, more=gone) as scene:
            assert ask(scene.front, "/gone").status == 502
            server = {"upstream": "gone", "server": f"http://127.0.0.1:{port}"}
            scene.reaches(1, "requests_total", listener="front", route="gone", status="5xx")
            assert scene.value("upstream_requests_total", **server, status="none") >= 1
            assert scene.value("upstream_latency_seconds_count", **server) == 0


def test_f4_counts_outlive_workers_that_are_killed_and_reloads(tmp_path: Path) -> None:
    counted = {"listener": "front", "route": "api", "status": "2xx"}
    with serving(tmp_path, workers=1) as scene:
        for _ in range(5):
            ask(scene.front, "/api")
        scene.reaches(5, "requests_total", **counted)
        (worker,) = [one["pid"] for one in scene.program.status()["workers"]]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: scene.value("worker_restarts_total") == 1, "the worker is restarted")
        assert scene.value("requests_total", **counted) == 5
        wait_until(lambda: scene.value("ready") == 1, "the new worker serves")
        for _ in range(2):
            ask(scene.front, "/api")
        scene.reaches(7, "requests_total", **counted)
        reloaded = interpose("reload", "--name", NAME, "--state", str(scene.program.state))
        assert reloaded.returncode == 0, reloaded
        ask(scene.front, "/api")
        scene.reaches(8, "requests_total", **counted)
        assert scene.value("config_reloads_total", result="done") == 1


def test_a_worker_that_is_replaced_tells_all_that_it_has_counted(tmp_path: Path) -> None:
    counted = {"listener": "front", "route": "api", "status": "2xx"}
    with serving(tmp_path, workers=1) as scene:
        for round_ in range(1, 4):
            (worker,) = [one["pid"] for one in scene.program.status()["workers"] if one["state"] == "serving"]
            for _ in range(7):
                assert ask(scene.front, "/api").status == 200
            os.kill(worker, signal.SIGTERM)  # it asks to be replaced, and drains
            wait_until(lambda pid=worker: not is_alive(pid), "the worker has ended")
            scene.reaches(7 * round_, "requests_total", **counted)
            assert scene.value("exchanges_total") == 7 * round_


def test_f15_a_reload_that_failed_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as scene:
        scene.file.write_text("[nothing")
        assert interpose("reload", "--name", NAME, "--state", str(scene.program.state)).returncode != 0
        assert scene.value("config_reloads_total", result="failed") == 1
        assert scene.value("config_generation") == 1


def test_while_it_drains_it_is_healthy_and_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path, pre_drain_s=60) as scene:
        assert ask(scene.monitor, "/readyz").status == 200
        assert ask(scene.monitor, "/healthz").status == 200
        scene.program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(scene.monitor, "/readyz").status == 503, "it is not ready any more")
        assert ask(scene.monitor, "/healthz").status == 200
        assert ask(scene.front, "/api").status == 200  # for balancers that have not heard yet


def test_a23_no_client_of_a_proxy_is_led_to_the_metrics(tmp_path: Path) -> None:
    more = '[[listener]]\nname = "proxy"\nrole = "proxy"\naddress = "127.0.0.1:0"'
    with serving(tmp_path, workers=1, more=more, listeners=3) as scene:
        proxy = scene.program.urls["proxy"].removeprefix("http://")
        port = scene.monitor.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
            answer = ask(proxy, f"http://{host}:{port}/metrics")
            assert answer.status in ((403,) if host == "127.0.0.1" else (400, 403, 502)), (host, answer.status)
            assert b"interpose_ready" not in answer.content
        tunnel = http.client.HTTPConnection(proxy, timeout=20)
        tunnel.set_tunnel("127.0.0.1", int(port))
        with pytest.raises(OSError, match="403"):
            tunnel.connect()
        tunnel.close()
        assert ask(proxy, f"http://{scene.origin.address}/").status == 200  # others on loopback may be reached


def test_the_console_tells_the_same_to_whom_it_lets_in(tmp_path: Path) -> None:
    with Program(tmp_path, "proxy", "--console", "127.0.0.1:0", listeners=2) as program:
        found = re.fullmatch(r"http://([0-9.:]+)/\?token=(.*)", program.urls["console"])
        assert found is not None
        assert ask(found[1], "/api/v1/metrics").status == 401
        answer = ask(found[1], "/api/v1/metrics", Authorization=f"Bearer {found[2]}")
        assert answer.status == 200
        assert answer.fields["content-type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in text_string_to_metric_families(answer.content.decode())}
        assert {"interpose_ready", "interpose_exchanges", "interpose_workers"} <= names


def test_traces_pass_begin_and_are_in_the_log(tmp_path: Path) -> None:
    traces = "[traces]\nstart = true\nserver_timing = true"
    with serving(tmp_path, workers=1, more=traces) as scene:
        parent = f"00-{TRACE}-{SPAN}-01"
        answer = ask(scene.front, "/api/one", traceparent=parent, tracestate="shop=1")
        assert re.fullmatch(r"interpose;dur=\d+, upstream;dur=\d+", answer.fields["server-timing"])
        ask(scene.front, "/api/two")
        seen = heads_of(scene.origin)
        assert f"traceparent: {parent}\r\n".encode() in seen[0]
        assert b"tracestate: shop=1\r\n" in seen[0]
        begun = re.search(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r\n", seen[1])
        assert begun is not None
        log = lines_of(tmp_path / "access.log", 2)
        assert log[0]["notes"] == {"trace": TRACE, "span": SPAN}
        assert log[1]["notes"] == {"trace": begun[1].decode(), "span": begun[2].decode()}


def test_without_the_tables_nothing_is_added(tmp_path: Path) -> None:
    with (
        in_background(lambda: RawOrigin(answering(ANSWER))) as origin,
        Program(tmp_path, "gateway", origin.address) as program,
    ):
        answer = ask(program.url.removeprefix("http://"), "/one")
        assert "server-timing" not in answer.fields
        (head,) = heads_of(origin)
        assert b"traceparent" not in head.lower()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_metrics_for_everybody_are_refused(tmp_path: Path, address: str) -> None:
    file = tmp_path / "site.toml"
    file.write_text(f'[metrics]\naddress = "{address}"\n[[listener]]\naddress = "127.0.0.1:0"\nrole = "echo"\n')
    said = interpose("run", str(file), "--state", str(tmp_path / "state"))
    assert said.returncode == 2
    assert "metrics.address" in said.stderr
    assert "allow_from" in said.stderr


def heads_of(origin: RawOrigin) -> list[bytes]:
    """The heads of the requests that came, none of which had content."""
    received = b"".join([connection.received for connection in origin.connections])
    return [head + b"\r\n" for head in received.split(b"\r\n\r\n")[:-1]]


def lines_of(log: Path, count: int) -> list[dict[str, Any]]:
    """The lines of the access log, once there are so many."""
    wait_until(lambda: log.exists() and log.read_text().count("\n") >= count, f"{count} lines in the log")
    return [json.loads(line) for line in log.read_text().splitlines()]

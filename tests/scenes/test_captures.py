"""Captures and archives of a real instance, read by the programs that they are for: tshark and Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from tests.scenes.test_browser import CHROMIUM, FLAGS
from tests.scenes.test_console import Scene, running
from tests.support.program import INTERPOSE, NAME, Program, interpose, wait_until
from tests.support.tshark import complaints, fields, followed, objects

CONTENT = b'{"ok":true}'


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with running(tmp_path) as made:
        yield made


def test_tshark_reads_the_same_requests_and_contents(scene: Scene, tmp_path: Path) -> None:
    assert scene.pass_by("/first?page=1", f"http://{scene.origin.address}/second")[0] == 200
    assert scene.pass_by("/order", "--json", '{"amount": 100}')[0] == 200
    assert scene.pass_by("/only-its-head", "--head")[0] == 200
    rows = {row["path"]: row for row in scene.flows(4)}
    file = tmp_path / "passed.pcapng"
    said = scene.run("flows", "export", "--pcapng", str(file))
    assert f"{file}: {file.stat().st_size} octets." in said
    assert complaints(file) == []
    asked = fields(file, "http.request && frame.interface_name == clients", "http.request.method",
                   "http.request.full_uri", "tcp.srcport", "tcp.stream")  # fmt: skip
    ports = [row["client"].rpartition(":")[2] for row in rows.values()]
    assert sorted(row[:3] for row in asked) == sorted(
        (row["method"], row["url"], port) for row, port in zip(rows.values(), ports, strict=True)
    )
    by_path = {row[1].rpartition("/")[2]: row[3] for row in asked}
    assert by_path["first?page=1"] == by_path["second"], "curl kept its connection, and the capture has one"
    upstream = fields(file, "http.request && frame.interface_name == origins", "http.request.method", "http.host")
    assert sorted(upstream) == sorted((row["method"], scene.origin.address) for row in rows.values())
    found = objects(file, tmp_path / "objects")
    assert sorted(found.values()) == sorted([CONTENT] * 6 + [b'{"amount": 100}'] * 2)


def address_of(program: Program) -> str:
    """Where its first listener is."""
    return str(program.ready[0]["address"])


def test_what_passes_a_relay_is_followed(tmp_path: Path) -> None:
    with (
        Program(tmp_path / "u", "upper", "--listen", "127.0.0.1:0", "-q") as upper,
        Program(tmp_path / "r", "relay", "--listen", "127.0.0.1:0", "--to", address_of(upper), "--console",
                "127.0.0.1:0", listeners=2) as relay,
    ):  # fmt: skip
        said = interpose("connect", address_of(relay), input="hello\n")
        assert "HELLO" in said.stdout, said
        which = ("--name", NAME, "--state", str(relay.state))

        def is_there() -> bool:
            return len(json.loads(interpose("flows", "list", *which, "--json").stdout)["flows"]) == 1

        wait_until(is_there, "the conversation in the journal")
        file = tmp_path / "relay.pcapng"
        assert interpose("flows", "export", *which, "--pcapng", str(file)).returncode == 0
    assert complaints(file) == []
    ports = {address_of(upper).rpartition(":")[2], address_of(relay).rpartition(":")[2]}
    assert {row[0] for row in fields(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.dstport")} == ports
    for stream in (0, 1):
        text = followed(file, stream)
        assert "hello" in text
        assert "HELLO" in text


def test_a_query_chooses_what_is_captured(scene: Scene, tmp_path: Path) -> None:
    for path in ("/wanted", "/other"):
        scene.pass_by(path)
    scene.flows(2)
    file = tmp_path / "some.pcapng"
    scene.run("flows", "export", "--pcapng", str(file), "path:/wanted")
    asked = fields(file, "http.request && frame.interface_name == clients", "http.request.uri")
    assert asked == [(f"http://{scene.origin.address}/wanted",)]


def test_a_pipe_gets_what_passes_while_it_passes(scene: Scene, tmp_path: Path) -> None:
    scene.pass_by("/before")
    scene.flows(1)
    file = tmp_path / "live.pcapng"
    command = [INTERPOSE, "flows", "follow", "--name", NAME, "--state", str(scene.program.state), "--pcapng", "-"]
    with file.open("wb") as written:
        follower = subprocess.Popen(command, stdout=written, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: file.stat().st_size > 0, "the beginning of the capture")
        for number in range(3):
            scene.pass_by(f"/after/{number}")

            def is_there(number: int = number) -> bool:
                return file.read_bytes().count(b"GET /after/%d" % number) == 1

            wait_until(is_there, f"request {number} in the capture")
    finally:
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=20)
    assert b"Traceback" not in said
    assert complaints(file) == []
    asked = fields(file, "http.request && frame.interface_name == clients", "http.request.uri")
    assert asked == [(f"http://{scene.origin.address}/after/{number}",) for number in range(3)]


def test_wireshark_may_end_first(scene: Scene) -> None:
    scene.pass_by("/one")
    scene.flows(1)
    command = [INTERPOSE, "flows", "export", "--name", NAME, "--state", str(scene.program.state), "--pcapng", "-"]
    exporting = subprocess.Popen([*command, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert exporting.stdout is not None
    with exporting:
        assert exporting.stdout.read(4) == b"\x0a\x0d\x0d\x0a"
        exporting.stdout.close()

        def has_ended() -> bool:
            scene.pass_by("/another")
            return exporting.poll() is not None

        wait_until(has_ended, "the export ends when nobody reads it")
        assert exporting.stderr is not None
        assert exporting.stderr.read() == b""


def test_an_archive_is_taken_in_as_it_was_given(scene: Scene, tmp_path: Path) -> None:
    scene.pass_by("/item?name=a%20b", "--header", "Authorization: secret")
    [row] = scene.flows(1)
    file = tmp_path / "passed.har"
    scene.run("flows", "export", "--har", str(file))
    [entry] = json.loads(file.read_bytes())["log"]["entries"]
    assert entry["request"]["queryString"] == [{"name": "name", "value": "a b"}]
    assert entry["response"]["content"] == {"size": 11, "mimeType": "application/json", "text": CONTENT.decode()}
    assert entry["comment"] == "Redacted in the request: Authorization. Redacted in the response: Set-Cookie."
    assert "1 flows taken in." in scene.run("flows", "import", str(file))
    again = scene.flows(2)[0]
    for same in ("method", "url", "status", "type", "request_size", "response_size"):
        assert again[same] == row[same]
    assert again["listener"] == "har"


def test_what_is_no_archive_is_refused_with_a_sentence(scene: Scene, tmp_path: Path) -> None:
    for bad, sentence in (
        (b'{"log": {"entries": [{}]}}', "Entry 1 is none: "),
        (b'{"log": 5}', "It is no HAR file: "),
    ):
        file = tmp_path / "bad.har"
        file.write_bytes(bad)
        said = scene.run("flows", "import", str(file), status=2)
        assert sentence in said
        assert "Nothing was taken in." in said
    assert scene.ask("/api/v1/flows/export?format=tar")[0] == 422


def test_a_browser_is_served_from_an_archive(scene: Scene, tmp_path: Path) -> None:
    url = f"http://{scene.origin.address}/data?page=2"
    assert scene.pass_by("/data?page=2")[0] == 200
    scene.flows(1)
    file = tmp_path / "passed.har"
    scene.run("flows", "export", "--har", str(file))
    assert shutil.which(CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page()
            page.route_from_har(file, not_found="abort")
            answer: Any = page.goto(url, timeout=20_000)
            assert (answer.status, answer.body()) == (200, CONTENT)
            assert answer.headers["content-type"] == "application/json"
        finally:
            browser.close()
    asked = b"".join(connection.received for connection in scene.origin.connections)
    assert asked.count(b"GET /data") == 1, "only the proxy asked the origin; the browser looks for an icon by itself"


def test_wireshark_has_running_instances_in_its_list_and_captures_there(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "wireshark" / "extcap"
    folder.mkdir(parents=True)
    (folder / "interpose").write_text(f'#!/bin/sh\nexec {INTERPOSE} extcap "$@"\n')
    (folder / "interpose").chmod(0o755)
    surroundings = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
        "INTERPOSE_STATE": str(scene.program.state),
        "HOME": str(tmp_path),
    }
    said = subprocess.run(["tshark", "-D"], capture_output=True, text=True, env=surroundings, timeout=60, check=False)
    assert f"interpose-{NAME} (Interpose: {NAME})" in said.stdout
    file = tmp_path / "live.pcapng"
    command = ["tshark", "-i", f"interpose-{NAME}", "-w", str(file), "-c", "12", "-q"]
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as shark:
        try:

            def has_ended() -> bool:
                scene.pass_by("/seen")
                return shark.poll() is not None

            wait_until(has_ended, "tshark has its packets")
        finally:
            shark.kill()
    assert ("clients", "GET") in fields(file, "http.request", "frame.interface_name", "http.request.method")

"""The console of a real instance, asked by curl and by the commands: what passes, what waits, who may."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.background import in_background
from tests.support.command import typing
from tests.support.program import INTERPOSE, NAME, Program, interpose, wait_until
from tests.support.raw_origin import Connection, RawOrigin, answering

from interpose.cli import run

JSON = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: id=c4nary\r\nContent-Length: 11\r\n\r\n"
    b'{"ok":true}'
)
CANARY = "c4nary-s3cret"


class Scene(NamedTuple):
    """A proxy with a console, and an origin behind it."""

    program: Program
    origin: RawOrigin
    directory: Path

    @property
    def console(self) -> str:
        """Its address."""
        return re.fullmatch(r"http://([0-9.:]+)/\?token=.*", self.program.urls["console"])[1]  # type: ignore[index]

    @property
    def token(self) -> str:
        return self.program.urls["console"].rpartition("=")[2]

    def ask(self, path: str, *options: str, who: bool = True) -> tuple[int, bytes]:
        """Status and content of what the console answers curl."""
        bearer = ["--header", f"Authorization: Bearer {self.token}"] if who else []
        return curl(f"http://{self.console}{path}", *bearer, *options)

    def pass_by(self, path: str, *options: str) -> tuple[int, bytes]:
        """What a client gets through the proxy."""
        return curl(f"http://{self.origin.address}{path}", "--proxy", self.program.url, *options)

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a command prints that asks this instance. It runs in this process: starting one costs the most of it."""
        words = 1 if arguments[0] == "status" else 2
        which = ["--name", NAME, "--state", str(self.program.state)]
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            ended_with = run([*arguments[:words], *which, *arguments[words:]])
        said = out.buffer.getvalue().decode() + err.getvalue()  # type: ignore[attr-defined]
        assert ended_with == status, said
        return said

    def flows(self, count: int) -> list[dict[str, Any]]:
        """The flows, as soon as there are so many."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            found[:] = json.loads(self.ask("/api/v1/flows")[1])["flows"]
            return len(found) >= count

        wait_until(are_there, f"{count} flows")
        return found

    def held(self) -> dict[str, Any]:
        """The only hold that waits, as soon as it does."""
        found: list[dict[str, Any]] = []

        def waits() -> bool:
            found[:] = json.loads(self.ask("/api/v1/desk")[1])["holds"]
            return len(found) == 1

        wait_until(waits, "a hold")
        return found[0]


def curl(url: str, *options: str) -> tuple[int, bytes]:
    """The status and the content of what curl gets."""
    command = ["curl", "--silent", "--noproxy", "", "--max-time", "20", "--write-out", "\n%{http_code}", *options, url]
    said = subprocess.run(command, capture_output=True, timeout=25, check=False).stdout
    content, _, status = said.rpartition(b"\n")
    return int(status), content


@contextmanager
def running(directory: Path, *options: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        origin = stack.enter_context(in_background(lambda: RawOrigin(answering(JSON))))
        always = ("--console", "127.0.0.1:0", "--allow-upstream", "127.0.0.0/8", "--workers", "1")
        program = stack.enter_context(Program(directory, "proxy", *always, *options, listeners=2))
        yield Scene(program, origin, directory)


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as they like, and not coloured."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with running(tmp_path) as made:
        yield made


def test_what_passes_is_recorded_shown_and_sent_again(scene: Scene) -> None:
    secret = ["--header", f"Authorization: Bearer {CANARY}"]
    assert scene.pass_by("/orders?page=2", *secret, "--json", '{"amount": 100}') == (200, b'{"ok":true}')
    [row] = scene.flows(1)
    assert (row["method"], row["path"], row["status"], row["type"]) == (
        "POST",
        "/orders?page=2",
        200,
        "application/json",
    )
    flow = json.loads(scene.ask("/api/v1/flows/1")[1])
    assert flow["request"]["redacted"] == ["authorization"]
    assert flow["attempts"][0]["line"] == "POST /orders?page=2 HTTP/1.1"
    assert scene.ask("/api/v1/flows/1/request/content") == (200, b'{"amount": 100}')
    preview = json.loads(scene.ask("/api/v1/flows/1/preview/response")[1])
    assert (preview["kind"], preview["text"]) == ("json", '{\n  "ok": true\n}')
    change = json.dumps({"message": {"text": '{"amount": 1}'}})
    status, content = scene.ask("/api/v1/flows/1/replay", "--json", change)
    assert (status, json.loads(content)["status"], json.loads(content)["missing"]) == (200, 200, ["authorization"])
    rows = scene.flows(2)
    assert rows[0]["is"] == ["replayed"]
    assert scene.origin.connections[-1].received.endswith(b'{"amount": 1}')
    listed = json.loads(scene.ask("/api/v1/flows?q=is:replayed")[1])["flows"]
    assert [row["id"] for row in listed] == [2]


def test_a37_a_secret_that_passed_is_nowhere(tmp_path: Path) -> None:
    with running(tmp_path) as scene:
        cookie = ["--header", f"Cookie: id={CANARY}", "--header", f"Authorization: Bearer {CANARY}"]
        scene.pass_by("/", *cookie, "--header", f"Proxy-Authorization: Basic {CANARY}")
        scene.flows(1)
        for path in (
            "/flows",
            "/flows/1",
            "/flows/1/curl",
            "/flows/export",
            "/flows/compare?a=1&b=1",
            "/status",
            "/config",
        ):
            status, content = scene.ask(f"/api/v1{path}")
            assert status == 200
            assert CANARY.encode() not in content, path
            assert b"id=c4nary" not in content, path
        assert CANARY not in scene.run("flows", "show", "1")
        token = scene.token
    kept = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "console-token"
    )
    assert CANARY.encode() not in kept
    assert token.encode() not in kept
    assert CANARY not in scene.program.said


def test_a34_nobody_gets_in_without_the_token(scene: Scene) -> None:
    for path in ("/api/v1/flows", "/api/v1/events", "/api/v1/config", "/api/v1/openapi.json"):
        assert scene.ask(path, who=False)[0] == 401
    assert scene.ask("/api/v1/flows", "--header", "Host: evil.example")[0] == 421
    assert scene.ask("/api/v1/drain", "--request", "POST", "--header", "Origin: http://evil.example")[0] == 403
    status, page = scene.ask("/", who=False)
    assert (status, b"<title>Interpose</title>" in page) == (200, True)
    mode = (scene.program.state / NAME / "console-token").stat().st_mode
    assert mode & 0o077 == 0


def test_a23_the_console_is_not_reached_through_the_proxy(scene: Scene) -> None:
    port = scene.console.rpartition(":")[2]
    bearer = ["--header", f"Authorization: Bearer {scene.token}", "--proxy", scene.program.url]
    for host in (
        "127.0.0.1",
        "localhost",
        "127.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "LOCALHOST.",
    ):
        for options in ([], ["--proxytunnel"]):
            _, content = curl(f"http://{host}:{port}/api/v1/flows", *bearer, *options)
            assert b'"flows"' not in content, (host, options)


def test_a_held_request_is_edited_in_an_editor_and_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "text = file.read_text()\n"
        "assert text.startswith('POST http://'), text\n"
        "assert text.endswith('\\n\\n{\\n  \"amount\": 100\\n}'), text\n"
        "file.write_text(text.replace('100', '1000000').replace('/orders', '/small-orders') + '\\n')\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    with running(tmp_path / "run", "--hold", "method:POST") as scene:
        answers: list[tuple[int, bytes]] = []
        client = threading.Thread(target=lambda: answers.append(scene.pass_by("/orders", "--json", '{"amount": 100}')))
        client.start()
        hold = scene.held()
        assert (hold["method"], hold["client_waits"], hold["version"]) == ("POST", True, 1)
        assert hold["id"] in scene.run("desk", "list")
        assert scene.run("desk", "edit", hold["id"]) == f"Hold {hold['id']} has version 2 now.\n"
        assert '{"amount": 1000000}' in scene.run("desk", "show", hold["id"])
        stale = scene.run("desk", "release", hold["id"], "--version", "1", status=1)
        assert "has version 2 now" in stale
        assert scene.run("desk", "release", hold["id"], "--why", "it is fine") == f"{hold['id']} is released.\n"
        client.join(20)
        assert answers == [(200, b'{"ok":true}')]
        [connection] = scene.origin.connections
        head, _, content = connection.received.partition(b"\r\n\r\n")
        assert (head.split(b"\r\n")[0], content) == (b"POST /small-orders HTTP/1.1", b'{"amount": 1000000}')
        assert b"\r\ncontent-length: 19" in head.lower()
        audit = scene.run("desk", "audit")
        assert re.search(r"released .*it is fine", audit), audit
        assert scene.run("desk", "list") == "Nothing waits.\n"


def test_a_held_request_is_answered_dropped_or_allowed_from_a_terminal(tmp_path: Path) -> None:
    with running(tmp_path, "--hold", "method:DELETE") as scene:
        answers: list[tuple[int, bytes]] = []

        def client() -> threading.Thread:
            thread = threading.Thread(target=lambda: answers.append(scene.pass_by("/x", "--request", "DELETE")))
            thread.start()
            return thread

        waiting = client()
        hold = scene.held()
        answer = ["--status", "418", "--header", "Content-Type: text/plain", "--content", str(tmp_path / "tea")]
        (tmp_path / "tea").write_bytes(b"tea")
        scene.run("desk", "answer", hold["id"], *answer)
        waiting.join(20)
        waiting = client()
        scene.run("desk", "drop", scene.held()["id"], "--why", "no")
        waiting.join(20)
        waiting = client()
        hold = scene.held()
        assert "may pass until" in scene.run("desk", "allow", hold["id"], "--for", "60")
        scene.run("desk", "release", hold["id"])
        waiting.join(20)
        client().join(20)
        assert [status for status, _ in answers] == [418, 403, 200, 200]
        assert answers[0][1] == b"tea"
        rules = scene.run("desk", "rules")
        number = json.loads(scene.run("desk", "rules", "--json"))["rules"][0]["id"]
        assert "method:DELETE" in rules or "host:" in rules
        scene.run("desk", "rules", "--remove", str(number))
        assert json.loads(scene.run("desk", "rules", "--json")) == {"rules": []}
        assert "There is no hold" in scene.run("desk", "release", "zzzzzzzz", status=2)


def test_flows_are_looked_at_from_a_terminal(scene: Scene, tmp_path: Path) -> None:
    for number in range(3):
        scene.pass_by(f"/item/{number}", "--header", "X-Evil: a\u009b31m\u202eb")
    scene.flows(3)
    lines = scene.run("flows", "list", "path:/item/*").splitlines()
    assert [re.search(r"/item/(\d)", line)[1] for line in lines[1:]] == ["0", "1", "2"]  # type: ignore[index]
    assert [row["id"] for row in json.loads(scene.run("flows", "list", "--json", "--limit", "2"))["flows"]] == [3, 2]
    assert "At character 1: there is no word `stats`" in scene.run("flows", "list", "stats:1", status=2)
    story = scene.run("flows", "show", "1")
    assert '"ok": true' in story
    assert not set(story) & {"\x1b", "\x9b", "\u202e"}
    assert "X-Evil: a" in story
    assert scene.run("flows", "curl", "1").startswith("curl http://")
    assert scene.run("flows", "content", "1") == '{"ok":true}'
    assert scene.run("flows", "mark", "2", "--comment", "look") == "Flow 2 is marked with star.\n"
    marked = json.loads(scene.run("flows", "list", "mark:star comment:look", "--json"))["flows"]
    assert [row["id"] for row in marked] == [2]
    assert scene.run("flows", "replay", "1") == "Answered with 200.\n"
    export = tmp_path / "flows.ndjson"
    assert "3 flows." in scene.run("flows", "export", "--output", str(export), "--", "-is:replayed")
    assert scene.run("flows", "import", str(export)) == "3 flows taken in.\n"
    export.write_bytes(export.read_bytes()[:-9])
    assert "Nothing was taken in." in scene.run("flows", "import", str(export), status=2)
    assert "There is no flow 99" in scene.run("flows", "show", "99", status=2)
    assert len(scene.flows(7)) == 7


@pytest.mark.parametrize("query", ["", "path:/wanted/*"])
def test_flows_are_followed_as_they_pass(scene: Scene, query: str) -> None:
    which = ["--name", NAME, "--state", str(scene.program.state)]
    command = [INTERPOSE, "flows", "follow", *query.split(), "--json", *which]
    seen: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        lines = following.stdout
        assert lines is not None
        reading = threading.Thread(target=lambda: seen.extend(json.loads(line)["path"] for line in lines))
        reading.start()

        def comes() -> bool:
            scene.pass_by("/wanted/first")
            return bool(seen)

        try:
            wait_until(comes, "the first that was followed")
            scene.pass_by("/other")
            scene.pass_by("/wanted/last")
            wait_until(lambda: "/wanted/last" in seen, "the last")
        finally:
            following.terminate()
            reading.join(10)
    assert ("/other" in seen) == (query == "")
    assert seen.count("/wanted/last") == 1


def test_an_instance_without_a_console_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    with Program(tmp_path, "proxy", "--workers", "1") as program:
        which = ["--name", NAME, "--state", str(program.state)]
        for command in ("flows list", "flows follow", "desk audit"):
            said = interpose(*command.split(), *which)
            assert (said.returncode, said.stdout) == (2, ""), said
            assert re.match(r"interpose: under-test: (Nothing is recorded|This instance has no desk)", said.stderr), (
                said
            )
        assert not (program.state / NAME / "journal").exists()


def test_events_come_as_they_happen_and_end_with_the_instance(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with running(tmp_path) as scene:
            bearer = ["--header", f"Authorization: Bearer {scene.token}"]
            command = ["curl", "--silent", "--no-buffer", *bearer, f"http://{scene.console}/api/v1/events"]
            watching = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(watching.kill)
            assert watching.stdout is not None
            assert watching.stdout.readline() == b"retry: 2000\n"
            scene.pass_by("/seen")
            kinds = set()
            while kinds < {"second", "flow"}:
                line = watching.stdout.readline().decode()
                assert line, "the stream has ended"
                if line.startswith("event: "):
                    kinds.add(line[7:-1])
        assert watching.wait(10) == 0


def test_a_file_of_a_spool_is_looked_at_edited_and_released_from_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(connection: Connection) -> None:
        await connection.until(b"!")
        await connection.send(b"%d octets" % len(connection.received))
        connection.end()

    editor = tmp_path / "editor.py"
    code = "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\nfile.write_text(file.read_text() + ' friend!')\n"
    editor.write_text(code)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    with ExitStack() as stack:
        server = stack.enter_context(in_background(lambda: RawOrigin(count)))
        files = ("--to", server.address, "--dir", str(tmp_path / "spool"), "--hold", "--form", "plain")
        program = stack.enter_context(Program(tmp_path / "run", "spool", *files, "--listen", "127.0.0.1:0"))
        scene = Scene(program, server, tmp_path)
        with socket.create_connection(("127.0.0.1", program.port), timeout=20) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            items: list[dict[str, Any]] = []

            def waits() -> bool:
                items[:] = json.loads(scene.run("desk", "list", "--json"))["items"]
                return bool(items)

            wait_until(waits, "the file")
            id = items[0]["id"]
            assert id in scene.run("desk", "list")
            assert "held" in scene.run("desk", "show", id)
            assert scene.run("desk", "edit", id) == f"{id} is changed: 13 octets will be sent.\n"
            assert scene.run("desk", "release", id) == f"{id} is released.\n"
            with client.makefile("rb") as answer:
                assert answer.read() == b"13 octets"
        assert server.connections[0].received == b"hello friend!"
        assert scene.run("desk", "list") == "Nothing waits.\n"


async def test_on_a_terminal_flows_are_followed_in_a_table_until_ctrl_c(tmp_path: Path) -> None:
    with running(tmp_path) as scene:
        which = ["--name", NAME, "--state", str(scene.program.state)]
        async with typing("flows", "follow", *which) as person:
            await person.sees(b"0 flows; Ctrl-C ends it.")
            await asyncio.to_thread(scene.pass_by, "/in-a-table")
            await person.sees(b"1 flow; Ctrl-C ends it.")
            await person.sees(b"/in-a-table")
            person.types(b"\x03")
            assert await person.ends() == 130
        assert b"Traceback" not in person.seen


def test_the_status_prints_the_link_again(scene: Scene) -> None:
    link = scene.program.urls["console"]
    assert f"console at {link}\n" in scene.run("status")
    assert json.loads(scene.run("status", "--json"))["console"] == link
    assert curl(link, "--location", "--cookie-jar", "/dev/null", "--cookie", "")[0] == 200

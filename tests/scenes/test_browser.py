"""Chromium on its way through Interpose: pages with everything on them, the set-up page, automatic configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority
from tests.support.name_server import NXDOMAIN, NameServer, Reply
from tests.support.nginx import Nginx
from tests.support.program import Program
from tests.support.raw_origin import Connection, RawOrigin
from tests.support.site import EXPECTED, WHAT_CAME, make_site
from tests.support.websocket import CLOSE, Frame, acceptance, frames, server_frame

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
# Loopback goes through the proxy, and what a browser wants to tell its makers goes nowhere.
FLAGS += ["--proxy-bypass-list=<-loopback>;*.com", "--host-resolver-rules=MAP *.com ~NOTFOUND"]
DEADLINE_MS = 20_000

Launch = Callable[..., Browser]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start a browser with further flags."""
    with sync_playwright() as playwright:
        browsers = []

        def start(*flags: str, **options: Any) -> Browser:
            browsers.append(playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], **options))
            return browsers[-1]

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("site")
    return root, make_site(root)


def addresses(name: str, kind: int) -> Reply:
    """(name server) One name has an address; what else the browser asks for has none."""
    return Reply(("127.0.0.1",)) if name == "site.test" else Reply(status=NXDOMAIN)


def load(browser: Browser, url: str) -> dict[str, Any]:
    """What of the site's page has come."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(url)
    page.wait_for_function("document.title === 'loaded'")
    came: dict[str, Any] = page.evaluate(WHAT_CAME)
    context.close()
    assert failed == []
    return came


def test_a_page_with_images_and_scripts_loads_through_the_proxy(
    launch: Launch, site: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, paths = site
    with Nginx(tmp_path / "nginx", root) as origin, Program(tmp_path, "proxy") as program:
        browser = launch(f"--proxy-server={program.url}")
        assert load(browser, f"http://127.0.0.1:{origin.port}/") == EXPECTED
        browser.close()
    log = program.log()
    assert sorted(urlsplit(line["target"]).path for line in log) == sorted(paths)
    assert {(line["status"], line.get("failure")) for line in log} == {(200, None)}
    assert sorted(origin.requests) == sorted(f"GET {path} 200" for path in paths)


def test_a_page_loads_through_tunnels_when_it_is_https(
    launch: Launch, site: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, paths = site
    certificate = CertificateAuthority(tmp_path).issue("127.0.0.1")
    with Nginx(tmp_path / "nginx", root, certificate=certificate) as origin, Program(tmp_path, "proxy") as program:
        browser = launch(f"--proxy-server={program.url}")
        assert load(browser, f"https://127.0.0.1:{origin.tls_port}/") == EXPECTED
        browser.close()
    log = program.log()
    assert {(line["method"], line["target"], line["status"]) for line in log} == {
        ("CONNECT", f"127.0.0.1:{origin.tls_port}", 200)
    }
    assert sum(line["bytes"] for line in log) > sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert sorted(origin.requests) == sorted(f"GET {path} 200" for path in paths)


def test_a_page_loads_from_a_gateway_that_speaks_tls(
    launch: Launch, site: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, paths = site
    certificate = CertificateAuthority(tmp_path).issue("127.0.0.1")
    identity = ("--tls-certificate", certificate.certificate, "--tls-key", certificate.key)
    with (
        Nginx(tmp_path / "nginx", root) as origin,
        Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", *identity) as program,
    ):
        browser = launch()
        assert load(browser, program.url) == EXPECTED
        browser.close()
    log = program.log()
    assert sorted(urlsplit(line["target"]).path for line in log) == sorted(paths)
    assert {line["status"] for line in log} == {200}


def test_the_set_up_page_shows_and_its_script_leads_a_browser_through_the_proxy(
    launch: Launch, site: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, paths = site
    with ExitStack() as stack:
        origin = stack.enter_context(Nginx(tmp_path / "nginx", root))
        names = stack.enter_context(in_background(lambda: NameServer(addresses)))
        file = tmp_path / "proxy.toml"
        listener = 'address = "127.0.0.1:0"\nrole = "proxy"\npac_exceptions = ["direct.test"]\n'
        file.write_text(
            f"[log]\naccess = {json.dumps(str(tmp_path / 'access.log'))}\n[dns]\nservers = ['{names.address}']\n"
            f"[[listener]]\n{listener}"
        )
        program = stack.enter_context(Program(tmp_path, "run", str(file)))

        browser = launch(f"--proxy-pac-url={program.url}/proxy.pac")
        page = browser.new_page()
        page.goto(program.url)
        assert "This is a proxy" in (page.text_content("h1") or "")
        assert page.evaluate("getComputedStyle(document.querySelector('section')).borderRadius") != "0px"  # its CSP
        assert page.text_content("#automatic pre") == f"{program.url}/proxy.pac"

        assert load(browser, f"http://site.test:{origin.port}/") == EXPECTED
        browser.close()
    log = program.log()
    through = [line["target"] for line in log if "site.test" in line["target"]]
    assert sorted(through) == sorted(f"http://site.test:{origin.port}{path}" for path in paths)
    asked = {urlsplit(line["target"]).path for line in log if "127.0.0.1" in line["target"]}
    assert asked == {"/", "/proxy.pac"}


def test_a_browser_is_let_in_with_its_password(launch: Launch, site: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, paths = site
    users = tmp_path / "users"
    users.write_text("ann:$2b$04$14J0ko8z6XFtMuC3vUxFzO8rFIHeYSHQgogaBraW4cZ7DOiCwV12q\n")
    with Nginx(tmp_path / "nginx", root) as origin, Program(tmp_path, "proxy", "--auth", str(users)) as program:
        browser = launch(proxy={"server": program.url, "username": "ann", "password": "pass word"})
        assert load(browser, f"http://127.0.0.1:{origin.port}/") == EXPECTED
        browser.close()
    log = program.log()
    assert {line["status"] for line in log} <= {200, 407}
    assert {line.get("user") for line in log if line["status"] == 200} == {"ann"}
    assert sorted(origin.requests) == sorted(f"GET {path} 200" for path in paths)


def test_a_browser_is_shown_why_a_page_did_not_come(launch: Launch, tmp_path: Path) -> None:
    with Nginx(tmp_path / "nginx", tmp_path) as gone:
        pass
    with Program(tmp_path, "proxy") as program:
        browser = launch(f"--proxy-server={program.url}")
        page = browser.new_page()
        answer = page.goto(f"http://127.0.0.1:{gone.port}/")
        assert answer is not None
        assert (answer.status, answer.headers["proxy-status"].partition(";")[0]) == (502, "interpose")
        assert "refused the connection" in page.inner_text("body")
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px"  # its style sheet is let in
        browser.close()
    [line] = program.log()
    assert line["failure"] == "connection_refused"


async def talk(connection: Connection) -> None:
    """An origin of events and of a WebSocket that says everything back."""
    request = await connection.request()
    if request.target == "/events":
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\n\r\ndata: one\n\n"
        )
        while not connection.has_ended:
            await connection.send(b": beat\n\n")
            await asyncio.sleep(0.1)
        return
    if request.target == "/":
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<link rel=icon href=data:,>\n"
        )
        return
    [key] = request.values("sec-websocket-key")
    start = len(connection.received)
    await connection.send(acceptance(key))
    heard: list[Frame] = []

    def has_heard() -> bool:
        return len(frames(connection.received[start:])[0]) > len(heard)

    while not heard or heard[-1].opcode != CLOSE:
        await connection.wait_for(has_heard)
        heard.append(frames(connection.received[start:])[0][len(heard)])
        await connection.send(server_frame(heard[-1].opcode, heard[-1].payload))


SOCKET = """url => new Promise((done, failed) => {
  const socket = new WebSocket(url), got = [];
  socket.onopen = () => { socket.send("hello"); socket.send("x".repeat(70000)); };
  socket.onmessage = event => { got.push(event.data.length); if (got.length === 2) socket.close(1000, "enough"); };
  socket.onerror = () => failed(new Error("the socket broke"));
  socket.onclose = event => done([...got, event.code, event.reason, event.wasClean]);
})"""

EVENT = """url => new Promise((done, failed) => {
  const source = new EventSource(url);
  source.onmessage = event => { source.close(); done(event.data); };
  source.onerror = () => failed(new Error("the stream broke"));
})"""


@pytest.mark.parametrize("role", ["proxy", "gateway"])
def test_a_web_socket_and_an_event_stream_live_in_a_browser(launch: Launch, role: str, tmp_path: Path) -> None:
    with in_background(lambda: RawOrigin(talk)) as origin:
        arguments = ["proxy"] if role == "proxy" else ["gateway", origin.address]
        with Program(tmp_path, *arguments) as program:
            browser = launch(f"--proxy-server={program.url}" if role == "proxy" else "--no-proxy-server")
            host = origin.address if role == "proxy" else f"127.0.0.1:{program.port}"
            page = browser.new_page()
            page.set_default_timeout(DEADLINE_MS)
            page.goto(f"http://{host}/")
            assert page.evaluate(SOCKET, f"ws://{host}/socket") == [5, 70000, 1000, "enough", True]
            assert page.evaluate(EVENT, f"http://{host}/events") == "one"
            browser.close()
        log = program.log()
    methods = {line["method"]: line["status"] for line in log if line["status"] != 200 or line["method"] == "CONNECT"}
    assert methods == ({"CONNECT": 200} if role == "proxy" else {"GET": 101})

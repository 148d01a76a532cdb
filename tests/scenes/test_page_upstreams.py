"""Upstreams on the page: how servers stand and stood, hostile names as text, and draining one."""

from __future__ import annotations

import re
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from playwright.sync_api import Page, expect
from tests.support.background import in_background
from tests.support.fake_console import FakeConsole
from tests.support.program import Program
from tests.support.raw_origin import RawOrigin, answering
from tests.support.upstream_views import history, server, some

pytest_plugins = ["tests.support.page"]

FACE = "<img src=x onerror=hacked=1>"


def test_a35_how_servers_stand_is_said_drawn_and_changed_and_names_are_text(page: Page) -> None:
    with FakeConsole() as console:
        upstreams, servers, past = some()
        hostile = server("hostile", FACE, "ejected", why=FACE, workers={"ejected": 1, "up": 1}, drain="")
        console.upstreams = {"upstreams": upstreams, "servers": [*servers, hostile]}
        console.upstream_history = past
        page.goto(f"{console.url}#/upstreams")
        app = page.get_by_role("article", name="app")
        expect(app.locator(".tag").first).to_have_text("2 of 3 get requests")
        expect(app.locator("header")).to_contain_text(
            "the server with the least under way · asked every 5 s for /healthz · spare stands in"
        )
        rows = app.locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.nth(0)).to_contain_text("http://10.0.0.1:8000")
        expect(rows.nth(1).locator(".tag")).to_have_text("drained")
        drawn = rows.nth(2).get_by_role("img", name="requests a second of the last minutes").locator("path").first
        line = drawn.get_attribute("d")
        assert line is not None
        assert (line.count("M"), line.count("L"), line.split("L")[-1].split()[0]) == (1, 89, "90"), (
            "up to the right edge"
        )
        expect(app.locator("canvas")).to_have_count(3)
        expect(page.get_by_role("article", name="spare")).to_contain_text("is alone: nothing is chosen")
        lately = page.get_by_role("region", name="Lately").get_by_role("listitem")
        expect(lately.last).to_contain_text("http://10.0.0.3:8000 of app was up and is ejected: Connection refused")
        expect(lately.first).to_contain_text("http://10.0.0.2:8000 of app was up and is drained")
        odd = page.get_by_role("article", name="hostile")
        expect(odd).to_contain_text(FACE)
        expect(odd.locator("tbody .tag")).to_have_text("ejected in 1, up in 1")
        expect(odd.get_by_role("button")).to_have_count(0)
        assert page.evaluate("typeof hacked") == "undefined"

        rows.nth(0).get_by_role("button", name="Drain http://10.0.0.1:8000").click()
        dialog = page.get_by_role("dialog", name="Drain a server")
        expect(dialog).to_contain_text("What is under way on it goes on: 5 now.")
        expect(dialog.get_by_role("alert")).to_have_count(0)
        dialog.get_by_role("button", name="Drain").click()
        expect(dialog).to_have_count(0)
        rows.nth(1).get_by_role("button", name="Let http://10.0.0.2:8000 have requests again").click()
        expect(page.get_by_text("gets requests again.")).to_be_visible()
        assert console.asked == [
            ("POST", "/api/v1/upstreams/drain", {"server": "http://10.0.0.1:8000", "undo": False}),
            ("POST", "/api/v1/upstreams/drain", {"server": "http://10.0.0.2:8000", "undo": True}),
        ]


def test_whoever_drains_the_last_server_is_told_what_follows_and_an_instance_without_any_says_so(page: Page) -> None:
    with FakeConsole() as console:
        servers = [server("app", "10.0.0.1:8000"), server("app", "10.0.0.2:8000", "down", why="it refused a check")]
        console.upstreams = {"upstreams": [], "servers": servers}
        console.upstream_history = history(servers)
        page.goto(f"{console.url}#/upstreams")
        page.get_by_role("button", name="Drain http://10.0.0.1:8000").click()
        warning = page.get_by_role("dialog").get_by_role("alert")
        expect(warning).to_have_text("No other server of app gets requests: they will be answered with 503.")
        page.keyboard.press("Escape")
        console.upstream_history = None
        expect(page.locator(".upstream canvas")).to_have_count(0)
        console.upstreams = {"upstreams": [], "servers": []}
        expect(page.get_by_role("heading", name="This instance has no upstreams")).to_be_visible()


def test_a_server_is_drained_on_the_page_of_a_real_gateway_and_the_other_gets_all(page: Page, tmp_path: Path) -> None:
    def asked(url: str) -> set[bytes]:
        found = set()
        for _ in range(8):
            with urllib.request.urlopen(url, timeout=10) as answer:  # each time on a connection of its own
                found.add(answer.read())
        return found

    with ExitStack() as stack:
        names = ("one", "two")
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + name.encode() for name in names]
        one, two = (stack.enter_context(in_background(partial(RawOrigin, answering(answer)))) for answer in answers)
        command = ("gateway", one.address, two.address, "--workers", "2")
        program = stack.enter_context(Program(tmp_path, *command, console=True, listeners=2))
        front = program.urls["gateway"]
        page.goto(program.urls["console"])
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        page.keyboard.press("5")
        assert asked(front) == {b"one", b"two"}
        view = page.get_by_role("region", name="Upstreams")
        expect(view.locator(".tag").first).to_have_text("2 of 2 get requests")
        expect(view.locator("tbody")).to_contain_text(re.compile("0 of [1-7]"))
        view.get_by_role("button", name=f"Drain http://{one.address}").click()
        page.get_by_role("dialog").get_by_role("button", name="Drain").click()
        expect(view.locator("tbody .tag")).to_have_text(["drained", "up"])
        assert asked(front) == {b"two"}
        expect(view.get_by_role("region", name="Lately")).to_contain_text(f"http://{one.address} of")
        expect(view.locator("canvas").first).to_be_visible()
        view.get_by_role("button", name=f"Let http://{one.address} have requests again").click()
        expect(view.locator("tbody .tag")).to_have_text(["up", "up"])
        assert asked(front) == {b"one", b"two"}

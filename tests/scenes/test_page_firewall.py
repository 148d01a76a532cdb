"""The firewall's view: what matched is listed and explained, hostile text stays text, and other rules can be tried."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect
from tests.support.console import Console
from tests.support.journal_records import record
from tests.support.served_console import served_console

from interpose.core.record import Part

pytest_plugins = ["tests.support.page"]

FACE = "<img src=x onerror=hacked=1>"
SENT = b"Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n"
SQL = "1%27%20union%20select%20name%20from%20users%20--%20"
TABLES = {
    "process": {"name": "web"},
    "firewall": {"inbound_threshold": 5},
    "listener": [{"name": "gateway", "role": "gateway", "address": "127.0.0.1:0"}],
}
MATCHES = (
    "942100 5 ARGS:id SQL Injection Attack Detected via libinjection | "
    f"942190 5 ARGS:id Detects MSSQL code execution | 920420 5 ARGS:{FACE.replace(' ', '_')} {FACE}"
)


async def refusing(console: Console) -> None:
    """Two requests are refused from one second to the next."""
    for blocked in (7.0, 9.0):
        console.instance.counters.update(firewall_blocked_total=blocked, firewall_detected_total=1.0)
        console.overview.sample()


def test_a35_what_matched_is_explained_and_other_rules_are_tried_on_it(page: Page, tmp_path: Path) -> None:
    ours = {"listener": "gateway", "scheme": "http", "request": Part(SENT)}
    blocked = {
        "firewall": "blocked inbound 15 of 5",
        "firewall_matches": MATCHES,
        "filter": "firewall",
        "rule": "942100",
    }
    noted = {"firewall": "noted inbound 3 of 5", "firewall_matches": "920350 3 REQUEST_HEADERS:Host An address in Host"}
    with served_console(tmp_path) as served:
        served.console.instance.tables = TABLES
        served.record(
            record(1, **ours, target=f"http://shop.example/things?id={SQL}", status=403, notes=blocked),
            record(2, **ours, target="http://shop.example/lamps?page=2", notes=noted),
            record(3, **ours, target="http://shop.example/chairs?page=2"),
        )
        served.do(refusing(served.console))
        page.goto(served.link())
        page.goto(f"{served.url}#/firewall")
        view = page.get_by_role("region", name="Firewall")
        expect(view.locator(".setting summary")).to_contain_text("It blocks: requests from a score of 5")
        expect(view.get_by_role("img")).to_have_accessible_name(
            re.compile("Refused in 15 seconds, .* now: blocked 2, ")
        )
        latest = view.get_by_role("button", expanded=False)
        expect(latest).to_have_count(2)
        expect(latest.first).to_contain_text("/lamps?page=2")
        latest.nth(1).click()
        story = view.locator(".stored .story").first
        expect(story.locator(".rules li")).to_have_count(3)
        expect(story.locator(".rules li").first).to_contain_text("942100 +5 ARGS:id SQL Injection Attack Detected")
        expect(story).to_contain_text(FACE)
        assert page.evaluate("typeof hacked") == "undefined"

        form = view.get_by_role("form", name="What if")
        form.get_by_role("button", name="Try").click()
        result = form.get_by_role("status")
        expect(result).to_contain_text("3 exchanges tried. Blocked by the rules as they are: 1; by these: 1.")
        expect(result.locator(".proposal")).to_contain_text('variables = ["ARGS:id"]')
        form.get_by_label("Leave out").fill("942000-942999, 932000-932999")
        form.get_by_role("button", name="Try").click()
        expect(result).to_contain_text("Newly free: 1")
        expect(result).to_contain_text(f"/things?id={SQL}")
        form.get_by_label("Leave out").fill("everything")
        form.get_by_role("button", name="Try").click()
        expect(form.get_by_role("alert")).to_contain_text("'everything' is not the number of a rule")

        view.get_by_label("Which exchanges").fill("path:/lamps")
        view.get_by_role("button", name="Search").click()
        expect(latest).to_have_count(1)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

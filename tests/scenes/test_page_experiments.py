"""Experiments on the page: what is known of each, hostile names as text, and deciding."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from tests.support.experiment_views import experiment, some, trend
from tests.support.fake_console import FakeConsole

pytest_plugins = ["tests.support.page"]

FACE = "<img src=x onerror=hacked=1>"


def test_a35_what_is_known_is_said_drawn_and_decided_upon_and_names_are_text(page: Page) -> None:
    with FakeConsole() as console:
        hostile = experiment(
            "hostile", {"f": ("a", FACE)}, {"f=a": (200, 20), f"f={FACE}": (200, 30)}, goal=FACE, why=FACE
        )
        console.experiments = [*some(), hostile]
        page.goto(f"{console.url}#/experiments")
        checkout = page.get_by_role("article", name="checkout")
        expect(checkout.locator(".said")).to_have_text(
            "button=green is better than button=blue: sure at 95 %, however often one looks."
        )
        bars = checkout.get_by_role("img")
        expect(bars).to_have_count(2)
        expect(bars.nth(1)).to_have_attribute("aria-label", "13.3 %, from 12.6 % to 14.0 %")
        left, right = (bars.nth(place).locator("rect").bounding_box() for place in (0, 1))
        assert left is not None
        assert right is not None
        assert left["x"] + left["width"] < right["x"], "intervals that do not overlap are drawn apart"
        expect(checkout.locator(".ramp .now")).to_have_text("50 %")
        expect(page.get_by_role("article", name="search").get_by_role("alert").first).to_contain_text(
            "Something loses units"
        )
        expect(page.get_by_role("article", name="new").locator(".said")).to_have_text("Too few units to say anything.")
        expect(page.get_by_role("article", name="page").get_by_role("button")).to_have_text(
            ["Resume…", "Promote…", "Roll back…"]
        )
        expect(page.get_by_role("article", name="hostile")).to_contain_text(FACE)
        assert page.evaluate("typeof hacked") == "undefined"

        console.trends["checkout"] = trend(
            "checkout", {"button": ("blue", FACE)}, {"button=blue": (9_873, 1_021), f"button={FACE}": (9_941, 1_320)}
        )
        checkout.get_by_text("How it came to be").click()
        chart = checkout.get_by_role("img", name="order, to button=blue, all of its life; now: ")
        expect(chart).to_have_accessible_name(re.compile(r"<img src=x onerror=hacked=1> \+2\.94 points$"))
        expect(chart.locator("canvas")).to_be_visible()
        assert page.evaluate("typeof hacked") == "undefined"

        checkout.get_by_role("button", name="Promote…").click()
        dialog = page.get_by_role("dialog", name="Promote checkout")
        expect(dialog.get_by_label("Variant")).to_have_value("button=green")
        dialog.get_by_label("Why").fill("sure enough")
        dialog.get_by_role("button", name="Promote").click()
        expect(dialog).to_have_count(0)
        assert console.asked == [
            ("POST", "/api/v1/experiments/checkout/decide",
             {"action": "promote", "variant": "button=green", "why": "sure enough"})
        ]  # fmt: skip
        console.experiments = None
        expect(page.get_by_role("heading", name="This instance has no experiments")).to_be_visible()

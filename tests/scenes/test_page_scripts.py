"""What the overview shows of scripts that fail."""

from playwright.sync_api import Page, expect
from tests.support.fake_console import FakeConsole

pytest_plugins = ["tests.support.page"]

HOSTILE = "ValueError: <img src=x onerror='hacked=1'>"


def test_f23_the_overview_shows_where_scripts_fail_and_runs_nothing_of_it(page: Page) -> None:
    with FakeConsole() as console:
        page.goto(f"{console.url}#/overview")
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
        expect(page.get_by_role("region", name="Scripts")).to_have_count(0)
        trouble = {"function": "edit", "file": "/s/a.py", "line": 7, "error": HOSTILE, "count": 2, "at": 1.0,
                   "exchange": "0-1"}  # fmt: skip
        console.scripts = [
            {"file": "/s/a.py", "functions": ["edit", "count"], "errors": 2, "broken": "", "off": ["edit"],
             "troubles": [trouble]},
            {"file": "/s/b.py", "functions": ["b"], "errors": 0, "broken": "/s/b.py:1: invalid syntax", "off": [],
             "troubles": []},
        ]  # fmt: skip
        page.reload()
        scripts = page.get_by_role("region", name="Scripts")
        expect(scripts.locator("tbody tr")).to_have_text(
            [
                "a.pyedit, count2",
                "Not called at the moment: edit",
                f"a.py:7 in edit: {HOSTILE} (2 times, last in 0-1)",
                "b.pyb0",
                "The changed file does not run: /s/b.py:1: invalid syntax",
            ]
        )
        assert page.evaluate("typeof hacked") == "undefined"

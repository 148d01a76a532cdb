"""The console's page in Chromium: what waits at the desk, edited, decided, and changed by two at once."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect
from tests.support.fake_console import FakeConsole

pytest_plugins = ["tests.support.page"]

CONTENT = "Content"


def test_a_held_request_is_edited_and_released_with_what_was_seen(page: Page) -> None:
    with FakeConsole() as console:
        page.goto(f"{console.url}#/desk")
        expect(page.get_by_text("Nothing waits")).to_be_visible()
        console.hold("abc23456", deadline=time.time() + 300)
        page.get_by_role("link", name="POST http://shop.example/orders").click()
        expect(page).to_have_title("(1) fake · Interpose")
        expect(page.locator(".detail .deadline")).to_contain_text("dropped in 4:")
        page.get_by_label(CONTENT, exact=True).fill('{"amount": 5')
        expect(page.get_by_role("alert")).to_contain_text("This is no JSON")
        expect(page.get_by_role("button", name="Save and release")).to_be_disabled()
        page.get_by_label(CONTENT, exact=True).fill('{"amount": 5}')
        page.get_by_label("Value of Content-Type").press("Enter")
        page.get_by_label("Name of field 3").fill("X-Seen")
        page.get_by_label("Value of X-Seen").fill("by ann")
        page.get_by_role("tab", name="Changes").click()
        expect(page.locator(".differences")).to_contain_text("x-seen")
        expect(page.locator(".diff .gone")).to_have_text('- {"amount": 100, "to": "ann"}')
        expect(page.locator(".diff .new")).to_have_text('+ {"amount": 5}')
        page.get_by_role("button", name="Save and release").click()
        expect(page.get_by_role("status").filter(has_text="Released")).to_be_visible()
        expect(page).to_have_title("fake · Interpose")
    changes = [
        (method, path.rpartition("/")[2], content) for method, path, content in console.asked if "review" not in path
    ]
    fields = [["Host", "shop.example"], ["Content-Type", "application/json"], ["X-Seen", "by ann"]]
    digest = console.holds["abc23456"]["digest"]
    assert changes == [
        ("PUT", "abc23456", {"fields": fields, "text": '{"amount": 5}'}),
        ("POST", "release", {"version": 2, "digest": digest, "why": ""}),
    ]


def test_who_was_not_quick_enough_is_told_and_keeps_both_edits(page: Page) -> None:
    with FakeConsole() as console:
        console.hold("abc23456")
        page.goto(f"{console.url}#/desk/abc23456")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        page.get_by_label(CONTENT, exact=True).fill('{"amount": 1}')
        console.edit("abc23456", {"text": '{"amount": 2}'}, "bob")
        conflict = page.get_by_role("alert", name="Somebody else changed it")
        expect(conflict).to_contain_text("bob changed it while you were editing")
        expect(conflict.locator(".gone")).to_have_text('- {"amount": 2}')
        expect(conflict.locator(".new")).to_have_text('+ {"amount": 1}')
        expect(page.get_by_role("button", name="Save and release")).to_be_disabled()
        page.get_by_role("button", name="Save mine over theirs").click()
        expect(conflict).to_have_count(0)
        assert console.holds["abc23456"]["content"]["text"] == '{"amount": 1}'
        assert console.holds["abc23456"]["version"] == 3

        page.get_by_label(CONTENT, exact=True).fill('{"amount": 3}')
        console.edit("abc23456", {"text": '{"amount": 4}'}, "bob")
        page.get_by_role("button", name="Take theirs, give up mine").click()
        expect(page.get_by_label(CONTENT, exact=True)).to_have_value('{"amount": 4}')


def test_an_edit_that_comes_too_late_is_refused_and_offered_again(page: Page) -> None:
    with FakeConsole() as console:
        console.hold("abc23456")
        page.route("**/events", lambda route: route.abort())  # what the other does is learnt from the refusal alone
        page.goto(f"{console.url}#/desk/abc23456")
        page.get_by_label(CONTENT, exact=True).fill('{"amount": 1}')
        console.edit("abc23456", {"text": '{"amount": 2}'}, "bob")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("alert", name="Somebody else changed it")).to_contain_text("version 2")
        assert console.holds["abc23456"]["content"]["text"] == '{"amount": 2}'


def test_the_desk_is_worked_by_keys_alone(page: Page) -> None:
    with FakeConsole() as console:
        for name in ("aaaaaaaa", "bbbbbbbb", "cccccccc"):
            console.hold(name, text=f'{{"name": "{name}"}}')
        page.goto(f"{console.url}#/flows")
        expect(page.get_by_label("3 waiting")).to_be_visible()
        page.keyboard.press("2")
        expect(page.locator(".hold")).to_have_count(3)
        page.keyboard.press("j")
        expect(page.get_by_label(CONTENT, exact=True)).to_have_value('{"name": "cccccccc"}')
        page.keyboard.press("e")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("7")
        page.keyboard.press("ControlOrMeta+s")
        expect(page.get_by_role("button", name="Release", exact=True)).to_be_enabled()
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        expect(page.get_by_label(CONTENT, exact=True)).to_have_value('{"name": "bbbbbbbb"}')
        page.keyboard.press("d")
        page.get_by_label("Why").press_sequentially("not today")
        page.keyboard.press("Enter")
        expect(page.get_by_label(CONTENT, exact=True)).to_have_value('{"name": "aaaaaaaa"}')
        page.keyboard.press("a")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Status").fill("418")
        dialog.get_by_label(CONTENT, exact=True).fill("short and stout")
        dialog.get_by_role("button", name="Answer", exact=True).click()
        expect(page.get_by_text("Nothing waits")).to_be_visible()
    decided = {
        path.split("/")[-2]: content
        for method, path, content in console.asked
        if method == "POST" and "review" not in path
    }
    assert {name: hold["verdict"] for name, hold in console.holds.items()} == {
        "cccccccc": "release",
        "bbbbbbbb": "drop",
        "aaaaaaaa": "answer",
    }
    assert console.holds["cccccccc"]["content"]["text"] == "7"
    assert decided["bbbbbbbb"]["why"] == "not today"
    answer = decided["aaaaaaaa"]["answer"]
    assert (answer["status"], answer["text"]) == (418, "short and stout")


def test_content_is_edited_as_octets(page: Page) -> None:
    with FakeConsole() as console:
        console.hold("abc23456", text="abc")
        page.goto(f"{console.url}#/desk/abc23456")
        page.get_by_role("radio", name="Hex").click()
        field = page.get_by_label(CONTENT, exact=True)
        expect(field).to_have_value("61 62 63")
        field.fill("61 6")
        expect(page.get_by_role("alert")).to_contain_text("half an octet")
        field.fill("00 ff")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
    assert [content for method, _, content in console.asked if method == "PUT"] == [{"base64": "AP8="}]


def test_something_is_always_let_pass_for_a_while(page: Page) -> None:
    with FakeConsole() as console:
        console.hold("abc23456")
        page.goto(f"{console.url}#/desk/abc23456")
        page.get_by_role("button", name="Always let pass").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Query")).to_have_value("method:POST host:shop.example")
        dialog.get_by_label("For").select_option("a day")
        dialog.get_by_role("button", name="Let pass").click()
        page.get_by_role("link", name="Rules").click()
        expect(page.get_by_role("row", name="method:POST host:shop.example")).to_be_visible()
    assert console.rules[0]["until"] - console.holds["abc23456"]["at"] == 86_400


def test_a_new_hold_is_said_aloud_on_any_view(page: Page) -> None:
    with FakeConsole(flows=10) as console:
        page.goto(f"{console.url}#/overview")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        console.hold("abc23456")
        expect(page.locator("[aria-live=assertive]")).to_have_text(
            "POST http://shop.example/orders waits for a decision."
        )
        expect(page.get_by_label("1 waiting")).to_be_visible()

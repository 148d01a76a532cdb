"""The console's page in Chromium, over a journal that is made up: the table of flows and what one of them was."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.support.fake_console import FakeConsole, picture, row

MANY = 100_000
ROWS = ".flow-table .rows .row"

pytest_plugins = ["tests.support.page"]


def numbers(page: Page) -> list[int]:
    """Of the records whose rows are in sight, from the top, once all that is in sight is there."""
    found: list[int] = page.evaluate(
        """async () => {
          const table = document.querySelector('.flow-table'), head = table.querySelector('.row-head').offsetHeight;
          for (let frame = 0; frame < 600; frame += 1) {
            await new Promise(requestAnimationFrame);
            const { top, bottom } = table.getBoundingClientRect();
            const rows = [...table.querySelectorAll('.rows .row')].map(row => [row, row.getBoundingClientRect()])
              .filter(([, at]) => at.top >= top + head - 1 && at.bottom <= bottom + 1)
              .sort(([, a], [, b]) => a.top - b.top).map(([row]) => row);
            const fit = Math.floor((bottom - top - head) / (rows[0]?.offsetHeight || 1)) - 1;
            const isFull = rows.length >= Math.min(fit, Number(table.getAttribute('aria-rowcount')) - 1);
            if (rows.length && isFull && rows.every(row => row.id)) return rows.map(row => Number(row.id.slice(5)));
          }
          return [];
        }"""
    )
    return found


def scroll_to(page: Page, share: float) -> None:
    """Drag the scroll bar so far."""
    page.evaluate(
        "share => { const t = document.querySelector('.flow-table');"
        " t.scrollTop = share * (t.scrollHeight - t.clientHeight); }",
        share,
    )


def test_a_hundred_thousand_rows_are_a_few_elements_and_every_place_can_be_reached(page: Page) -> None:
    with FakeConsole(flows=MANY) as console:
        page.goto(console.url)
        expect(page.get_by_text("100,000 flows")).to_be_visible()
        expect(page.locator("[role=grid]")).to_have_attribute("aria-rowcount", str(MANY + 1))
        assert numbers(page)[0] == MANY
        assert page.locator(ROWS).count() < 100

        scroll_to(page, 0.5)
        shown = numbers(page)
        assert abs(shown[0] - MANY / 2) < 50, shown
        assert shown == list(range(shown[0], shown[0] - len(shown), -1))
        assert page.locator(ROWS).count() < 100

        scroll_to(page, 1.0)
        expect(page.locator("#flow-1")).to_be_visible()
        scroll_to(page, 0.0)
        expect(page.locator(f"#flow-{MANY}")).to_be_visible()


def test_scrolling_on_and_back_meets_every_row_once(page: Page) -> None:
    with FakeConsole(flows=1200) as console:
        page.goto(console.url)
        expect(page.locator("#flow-1200")).to_be_visible()
        seen: list[int] = []
        while not seen or seen[-1] != 1:
            seen += [number for number in numbers(page) if not seen or number < seen[-1]]
            page.evaluate("document.querySelector('.flow-table').scrollTop += 600")
            assert len(seen) <= 1200
        assert seen == list(range(1200, 0, -1))

        back: list[int] = []
        while not back or back[-1] != 1200:
            back += [number for number in reversed(numbers(page)) if not back or number > back[-1]]
            page.evaluate("document.querySelector('.flow-table').scrollTop -= 600")
            assert len(back) <= 1200
        assert back == list(range(1, 1201))


def test_new_flows_come_in_at_the_top_and_move_nothing_that_is_being_read(page: Page) -> None:
    with FakeConsole(flows=2000) as console:
        page.goto(console.url)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        console.pass_by(row(2001), row(2002, host="fresh.example"))
        expect(page.locator("#flow-2002")).to_contain_text("fresh.example")
        assert numbers(page)[:2] == [2002, 2001]

        scroll_to(page, 0.3)
        before = numbers(page)
        console.pass_by(*(row(number) for number in range(2003, 2043)))
        expect(page.get_by_text("↑ 40 new")).to_be_visible()
        assert numbers(page) == before
        page.get_by_text("↑ 40 new").click()
        expect(page.locator("#flow-2042")).to_be_visible()
        expect(page.get_by_text("2,042 flows")).to_be_visible()


def test_a_query_is_completed_searched_and_told_which_word_is_wrong(page: Page) -> None:
    with FakeConsole(flows=600) as console:
        page.goto(console.url)
        expect(page.locator("#flow-600")).to_be_visible()
        page.keyboard.press("/")
        field = page.get_by_role("combobox", name="Query")
        expect(field).to_be_focused()
        page.keyboard.type("sta")
        expect(page.get_by_role("option")).to_contain_text("the status of the answer")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        expect(field).to_have_value("status:")
        page.keyboard.type("404")
        page.keyboard.press("Enter")
        expect(page.get_by_text("100 flows")).to_be_visible()
        assert {console.rows[number]["status"] for number in numbers(page)} == {404}

        console.pass_by(row(601), row(603, status=404, host="late.example"))
        expect(page.locator("#flow-603")).to_contain_text("late.example")
        assert 601 not in numbers(page)

        field.fill("host:shop stats:5")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("did you mean status?")
        expect(page.locator("mark")).to_have_text("stats:")


def test_the_keyboard_leads_through_flows(page: Page) -> None:
    with FakeConsole(flows=300) as console:
        page.goto(console.url)
        expect(page.locator("#flow-300")).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(page.locator("[aria-selected=true][role=row]")).to_have_attribute("id", "flow-299")
        expect(page.get_by_role("complementary")).to_contain_text(console.rows[299]["path"])
        for _ in range(60):
            page.keyboard.press("j")
        expect(page.locator("#flow-239")).to_be_in_viewport()
        page.keyboard.press("m")
        expect(page.locator("#flow-239 .star")).to_be_visible()
        page.keyboard.press("r")
        expect(page.get_by_role("status").filter(has_text="the answer was 201")).to_contain_text(
            "without authorization"
        )
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.get_by_role("heading", name="Flows 239 and 238")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("complementary", name="Flow 238")).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Next flow")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.get_by_role("complementary")).to_have_count(0)
    changed = [(method, path) for method, path, _ in console.asked]
    assert changed == [("POST", "/api/v1/flows/239/mark"), ("POST", "/api/v1/flows/239/replay")]


def test_a_flow_is_shown_from_both_sides_of_the_proxy(page: Page) -> None:
    with FakeConsole(flows=20) as console:
        console.rows[20].update(comment="look at this", failure="connection_refused", status=502)
        page.goto(f"{console.url}#/flows/20")
        detail = page.get_by_role("complementary")
        expect(detail).to_contain_text("On the upstream side. 127.0.0.1:8001 refused the connection")
        expect(detail).to_contain_text("allow-loopback")
        expect(detail.get_by_label("Comment")).to_have_value("look at this")
        detail.get_by_role("tab", name="Request").click()
        expect(detail.get_by_role("row", name=re.compile("Authorization"))).to_contain_text("redacted")
        detail.get_by_role("tab", name="Upstream").click()
        expect(detail).to_contain_text("Via")
        expect(detail).to_contain_text("127.0.0.1:50312")


@pytest.mark.parametrize(
    ("preview", "shown"),
    [
        ({"kind": "json", "text": '{\n  "a": [1, true]\n}'}, '{\n  "a": [1, true]\n}'),
        ({"kind": "html", "text": "<b>bold</b><script>1</script>"}, "<b>bold</b><script>1</script>"),
        ({"kind": "protobuf", "text": "1: 150\n2: testing"}, "1: 150\n2: testing"),
        ({"kind": "form", "rows": [["name", "ann & bob"]], "text": ""}, "name\tann & bob"),
    ],
)
def test_content_is_shown_as_text_of_its_kind(page: Page, preview: dict[str, Any], shown: str) -> None:
    with FakeConsole(flows=20) as console:
        console.preview = {"cut": False, "media_type": "x/y", **preview}
        page.goto(f"{console.url}#/flows/19")
        page.get_by_role("tab", name="Response").click()
        place = (
            page.locator(".content-about ~ table.fields") if preview["kind"] == "form" else page.locator("pre.content")
        )
        expect(place).to_be_visible()
        assert place.inner_text() == shown
        page.get_by_role("radio", name="Hex").click()
        expect(page.locator("pre.dump")).to_contain_text('{"total": 12.5}')


def test_pictures_are_shown_only_as_data_of_formats_that_carry_no_script(page: Page) -> None:
    with FakeConsole(flows=20) as console:
        console.preview = {"kind": "image", "image": picture(), "text": None, "cut": False, "media_type": "image/png"}
        page.goto(f"{console.url}#/flows/19")
        page.get_by_role("tab", name="Response").click()
        expect(page.get_by_role("img", name="The picture that was sent")).to_have_js_property("naturalWidth", 1)
        console.preview = {**console.preview, "image": "data:image/svg+xml;base64,PHN2Zy8+"}
        page.reload()
        page.get_by_role("tab", name="Response").click()
        expect(page.get_by_text("There is no way to read this as text.")).to_be_visible()
        expect(page.locator(".detail img")).to_have_count(0)


def test_a_conversation_is_shown_by_who_said_it(page: Page) -> None:
    with FakeConsole(flows=20) as console:
        console.rows[20].update(kind="websocket", messages=2)
        console.messages = [
            {
                "n": 0,
                "at_ms": 2.0,
                "inbound": True,
                "kind": "text",
                "size": 5,
                "cut": False,
                "text": "hello",
                "base64": "",
            },
            {
                "n": 1,
                "at_ms": 9.0,
                "inbound": False,
                "kind": "binary",
                "size": 2,
                "cut": False,
                "text": None,
                "base64": "AP8=",
            },
        ]
        page.goto(f"{console.url}#/flows/20")
        page.get_by_role("tab", name="Messages").click()
        expect(page.locator(".message.inbound")).to_contain_text("hello")
        expect(page.locator(".message.outbound")).to_contain_text("00 ff")


def test_a_request_is_edited_and_sent_again(page: Page) -> None:
    with FakeConsole(flows=20) as console:
        console.rows[15].update(method="POST", request_size=15)
        page.goto(f"{console.url}#/flows/15")
        page.get_by_role("button", name="Edit and replay").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("write authorization anew")
        dialog.get_by_label("Value of User-Agent").fill("another client")
        dialog.get_by_label("Content").fill('{"total": 13}')
        dialog.get_by_role("button", name="Send").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    [(method, path, content)] = console.asked
    assert (method, path) == ("POST", "/api/v1/flows/15/replay")
    assert content["message"]["text"] == '{"total": 13}'
    assert ["User-Agent", "another client"] in content["message"]["fields"]
    assert set(content["message"]) == {"fields", "text"}

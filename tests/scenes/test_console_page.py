"""The page in Chromium over a real console: let in by its link, fed by a real journal, deciding at a real desk."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.background import in_background
from tests.support.desk_conformance import held, request
from tests.support.journal_records import record
from tests.support.page_watch import Watch
from tests.support.program import Program
from tests.support.raw_origin import OK, RawOrigin, answering
from tests.support.served_console import Served, served_console

from interpose.core.hold import Content, Verdict
from interpose.core.record import Kind, Part, Passage
from interpose.storage.spool_item import State

pytest_plugins = ["tests.support.page"]

FACES = (
    b"<script>hacked=1</script>",
    b"<img src=x onerror=hacked=1>",
    b"<svg/onload=hacked=1>",
    b'"><b onmouseover=hacked=1>x</b>',
    b"</pre><script>hacked=1</script>",
    b"<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    b"<a href=javascript:hacked=1 autofocus onfocus=hacked=1>x</a>",
    b"<style>*{display:none}</style>",
    b"<math><mtext><table><mglyph><style><img src=x onerror=hacked=1>",
    b"<object data=javascript:hacked=1>",
)
TYPES = (b"text/html", b"application/json", b"image/svg+xml", b"text/css", b"application/xhtml+xml")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_console(tmp_path) as console:
        yield console


def enter(page: Page, served: Served, role: str = "admin") -> None:
    """Open the page by its link, and wait until it hears what happens."""
    page.goto(served.link(role))
    expect(page.get_by_text("live", exact=True)).to_be_visible()


def test_a35_fifty_hostile_flows_of_the_journal_are_shown_and_no_script_runs(page: Page, served: Served) -> None:
    page.set_viewport_size({"width": 1280, "height": 1900})  # all rows in sight
    hostile = []
    for number in range(50):
        face, kind = FACES[number % len(FACES)], TYPES[number % len(TYPES)]
        text = face.decode()
        fields = b"Content-Type: %b\r\nX-Face: %b\r\n" % (kind, face)
        hostile.append(
            record(
                number,
                target=f"http://shop.example/{text}",
                method="GET",
                user=text,
                detail=text,
                failure="connection_refused" if number % 7 == 0 else "",
                notes={text: text},
                request=Part(fields, face, len(face), 0.1),
                response=Part(fields, face, len(face), 0.2),
            )
        )
    served.record(*hostile)
    enter(page, served)
    expect(page.get_by_text("50 flows")).to_be_visible()
    rows = served.console.reader.find(None, limit=50).rows
    for row in rows:
        text = FACES[(row.id - 1) % len(FACES)].decode()
        page.goto(f"{served.url}#/flows/{row.id}")
        detail = page.locator(f"[aria-label='Flow {row.id}']")
        expect(detail.locator("h2")).to_contain_text(text)
        expect(detail.locator(".panel")).to_contain_text(text)
        for side in ("Request", "Response"):
            detail.get_by_role("tab", name=side).click()
            expect(detail.get_by_role("row", name="X-Face")).to_contain_text(text)
            expect(detail.locator("pre.content")).to_be_visible()
        detail.get_by_role("tab", name="Summary").click()
    assert page.locator(".flow-table .row[id]").count() == 50
    assert page.evaluate("typeof hacked") == "undefined"
    foreign = "main script, main iframe, main img, main object, main style, main math, main [onload], main [onerror]"
    assert page.evaluate("what => document.querySelectorAll(what).length", foreign) == 0


def test_who_has_no_link_is_told_and_the_link_lets_in(page: Page, served: Served) -> None:
    page.goto(served.url)
    expect(page.get_by_role("heading")).to_have_text("This page needs its link")
    page.goto(served.link())
    expect(page.get_by_text("Nothing has passed yet")).to_be_visible()
    assert "token" not in page.url
    expect(page.locator(".command code")).to_have_text("curl -x http://127.0.0.1:8080 http://example.com/")


def test_flows_come_in_are_searched_and_read_in_full(page: Page, served: Served) -> None:
    enter(page, served)
    packed = gzip.compress(b'{"total": 12.5, "items": [1, 2]}')
    fields = b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nSet-Cookie: id=secret\r\n"
    served.record(
        record(1, response=Part(fields, packed, len(packed), 0.2)),
        record(2, status=503, target="https://shop.example/broken"),
        record(3, kind=Kind.WEBSOCKET, status=101, messages_total=2,
               messages=[Passage(0.1, True, b"hello", 5, "text"), Passage(0.2, False, b"\x00\xff", 2, "binary")]),
    )  # fmt: skip
    expect(page.locator(".flow-table .rows .row")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("stat")
    expect(page.get_by_role("option").first).to_contain_text("status:")
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Query").fill("status:>=500")
    page.keyboard.press("Enter")
    expect(page.locator(".flow-table .rows .row")).to_have_count(1)
    page.get_by_role("combobox", name="Query").fill("stats:5 host:x")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("stats")
    page.get_by_role("button", name="Clear the query").click()
    page.locator("#flow-1").click()
    page.get_by_role("tab", name="Response").click()
    expect(page.locator("pre.content")).to_contain_text('"total": 12.5')
    expect(page.locator(".detail")).to_contain_text("gzip, decoded")
    expect(page.get_by_role("row", name="Set-Cookie")).to_contain_text("redacted")
    assert "secret" not in page.locator(".detail").inner_text()
    page.locator("#flow-3").click()
    page.get_by_role("tab", name="Messages").click()
    expect(page.locator(".message.inbound")).to_contain_text("hello")
    expect(page.locator(".message.outbound")).to_contain_text("00 ff")
    page.keyboard.press("m")
    expect(page.locator("#flow-3 .star")).to_be_visible()


def test_flows_are_commented_replayed_and_compared(page: Page, served: Served) -> None:
    content = b'{"amount": 1}'
    secret = b"Content-Type: application/json\r\nAuthorization: Bearer abc\r\n"
    served.record(record(1, method="POST", request=Part(secret, content, len(content), 0.1)), record(2, status=404))
    enter(page, served)
    page.locator("#flow-1").click()
    page.get_by_label("Comment").fill("the first order")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("button", name="Keep")).to_be_disabled()
    assert [row.comment for row in served.console.reader.find(None).rows] == ["", "the first order"]
    page.get_by_role("button", name="Edit and replay").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The journal does not keep secrets")
    dialog.get_by_label("Content", exact=True).fill('{"amount": 2}')
    dialog.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").filter(has_text="the answer was 201")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#flow-1 .remark")).to_be_visible()
    [(message, of)] = served.console.replayed
    assert (message.method, message.content.data, of.id) == ("POST", b'{"amount": 2}', 1)
    page.keyboard.press("x")
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(page.get_by_role("heading", name="Flows 1 and 2")).to_be_visible()
    expect(page.get_by_role("row", name="status")).to_contain_text("404")


def test_a_held_post_is_edited_on_the_page_and_goes_on_as_edited(page: Page, served: Served) -> None:
    enter(page, served)
    page.keyboard.press("2")
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    packed = gzip.compress(b'{"amount": 100, "to": "ann"}')
    fields = b"Host: shop.example\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    waiting = served.start(served.console.desk.hold(held(request(packed, fields=fields))))
    page.locator(".hold").click()
    editor = page.get_by_label("Content", exact=True)
    assert json.loads(editor.input_value()) == {"amount": 100, "to": "ann"}
    editor.fill('{"amount": 7, "to": "bob"}')
    page.get_by_label("URL").fill("http://shop.example/other")
    page.get_by_role("button", name="Save and release").click()
    decision = waiting.result(20)
    assert (decision.verdict, decision.version) == (Verdict.RELEASE, 2)
    assert decision.message is not None
    assert decision.message.target == "http://shop.example/other"
    assert gzip.decompress(decision.message.content.data) == b'{"amount": 7, "to": "bob"}'
    assert decision.message.content == Content.of(decision.message.content.data)
    assert decision.digest == decision.message.digest
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    expect(page.get_by_role("complementary")).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    expect(page.locator(".audit")).to_contain_text("edited")
    expect(page.locator(".audit")).to_contain_text("release")


def test_two_pages_race_an_edit_and_one_is_told(chromium: Browser, served: Served) -> None:
    waiting = served.start(served.console.desk.hold(held()))
    contexts = [chromium.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    watches = [Watch(page) for page in pages]
    for page, name in zip(pages, ("ann", "bob"), strict=True):
        enter(page, served)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("2")
        page.locator(".hold").click()
        page.get_by_label("Content", exact=True).fill(f'{{"by": "{name}"}}')
    ann, bob = pages
    expect(ann.locator(".detail-head")).to_contain_text("bob looks at it too")
    ann.get_by_role("button", name="Save", exact=True).click()
    conflict = bob.get_by_role("alert", name="Somebody else changed it")
    expect(conflict).to_contain_text("ann changed it while you were editing")
    expect(conflict).to_contain_text('{"by": "ann"}')
    bob.get_by_role("button", name="Save mine over theirs").click()
    expect(ann.get_by_label("Content", exact=True)).to_have_value('{"by": "bob"}')
    ann.get_by_role("button", name="Release", exact=True).click()
    decision = waiting.result(20)
    assert decision.message is not None
    assert (decision.message.content.data, decision.by, decision.version) == (b'{"by": "bob"}', "ann", 3)
    expect(bob.locator(".detail-head")).to_contain_text("decided")
    for context, watch in zip(contexts, watches, strict=True):
        context.close()
        watch.check()


def test_a_hold_is_dropped_answered_and_let_pass_from_now_on(page: Page, served: Served) -> None:
    desk = served.console.desk
    dropped, answered = (served.start(desk.hold(held())) for _ in range(2))
    enter(page, served)
    expect(page.get_by_label("2 waiting")).to_be_visible()
    page.keyboard.press("2")
    page.locator(".hold").last.click()
    expect(page.get_by_role("button", name="Drop")).to_be_visible()
    page.keyboard.press("d")
    page.get_by_label("Why").fill("not today")
    page.keyboard.press("Enter")
    assert dropped.result(20).verdict is Verdict.DROP
    assert dropped.result(20).why == "not today"
    expect(page.locator(".hold")).to_have_count(1)
    page.get_by_role("button", name="Always let pass").click()
    page.get_by_role("button", name="Let pass", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Status").fill("418")
    dialog.get_by_label("Content", exact=True).fill("short and stout")
    dialog.get_by_role("button", name="Answer", exact=True).click()
    message = answered.result(20).message
    assert message is not None
    assert (message.status, message.content.data) == (418, b"short and stout")
    page.get_by_role("link", name="Rules").click()
    expect(page.get_by_role("row", name="host:shop.example")).to_contain_text("in 7 days")
    third = served.start(desk.hold(held()))
    assert third.result(20).by == "rule"


def test_a_file_of_the_spool_is_edited_and_released_as_it_was_seen(page: Page, served: Served) -> None:
    spool = served.console.spool
    upload = spool.begin(client="127.0.0.1:4000", name="sums.csv")
    upload.write(b"a,1\n")
    item = upload.finish(State.HELD, 1.0)
    enter(page, served)
    page.keyboard.press("3")
    page.locator(".hold").click()
    page.get_by_label("Content", exact=True).fill("a,2\n")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="this is what will be sent")).to_be_visible()
    page.get_by_role("button", name="Release", exact=True).click()
    expect(page.locator(".hold")).to_contain_text("approved")
    assert Path(spool.path(item.id)).read_bytes() == b"a,2\n"


def test_a_viewer_may_look_and_is_told_why_no_more(page: Page, served: Served) -> None:
    served.record(record(1))
    enter(page, served, "viewer")
    page.locator("#flow-1").click()
    page.keyboard.press("m")
    expect(page.locator(".notice.problem")).to_contain_text("role editor")
    assert [row.mark for row in served.console.reader.find(None).rows] == [""]


def test_the_page_goes_on_after_the_console_was_away(page: Page, tmp_path: Path) -> None:
    with served_console(tmp_path / "one") as served:
        enter(page, served)
    expect(page.get_by_text("not connected")).to_be_visible()


def test_a_post_from_curl_is_held_edited_on_the_page_and_answered(page: Page, tmp_path: Path) -> None:
    with ExitStack() as stack:
        origin = stack.enter_context(in_background(lambda: RawOrigin(answering(OK))))
        options = ("--console", "127.0.0.1:0", "--hold", "method:POST", "--allow-upstream", "127.0.0.0/8")
        program = stack.enter_context(Program(tmp_path, "proxy", *options, listeners=2))
        page.goto(program.urls["console"])
        expect(page.locator(".command code")).to_have_text(f"curl -x {program.url} http://example.com/")
        url = f"http://{origin.address}/orders"
        client = subprocess.Popen(
            ["curl", "--silent", "--max-time", "50", "--proxy", program.url, "--json", '{"amount": 100}', url],
            stdout=subprocess.PIPE,
        )
        stack.callback(client.kill)
        expect(page.get_by_label("1 waiting")).to_be_visible()
        page.keyboard.press("2")
        page.locator(".hold").click()
        page.get_by_role("tab", name="About").click()
        page.get_by_text("What was done").wait_for()
        about = page.get_by_role("link", name="of this message").get_attribute("href")
        page.get_by_role("tab", name="Message").click()
        page.get_by_label("Content", exact=True).fill('{"amount": 1000000}')
        page.get_by_role("button", name="Save and release").click()
        assert client.communicate(timeout=20)[0] == b"ok"
        [connection] = origin.connections
        head, _, content = connection.received.partition(b"\r\n\r\n")
        assert content == b'{"amount": 1000000}'
        assert b"\r\ncontent-length: 19" in head.lower()
        page.keyboard.press("1")
        page.locator(".flow-table .row[id]").click()
        expect(page.locator(".detail .facts")).to_contain_text("edited")
        page.get_by_role("tab", name="Upstream").click()
        expect(page.locator(".attempt")).to_contain_text("POST /orders HTTP/1.1")
        page.goto(f"{program.urls['console'].partition('?')[0]}{about}")
        expect(page.locator(".flow-table .row[id]")).to_have_count(1)
        page.goto("about:blank")  # what listens to events counts as a connection of nobody's

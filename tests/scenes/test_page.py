"""The console's page in Chromium: every view at every width, what captured traffic cannot do to it, and who gets in."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect
from tests.support.experiment_views import long_experiment, some
from tests.support.fake_console import FakeConsole, row
from tests.support.upstream_views import history, server, told

pytest_plugins = ["tests.support.page"]

LONG = "http://shop.example/" + "long-" * 60
VIEWS = ("#/flows", "#/flows/7", "#/flows/compare/6/7", "#/desk", "#/desk/abc23456", "#/desk/audit", "#/desk/rules",
         "#/spool/aaaaaaaaaaaaaaaa", "#/overview", "#/cache", "#/experiments", "#/access?q=0-1f",
         "#/upstreams")  # fmt: skip
FACES = (
    "<script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "<svg/onload=hacked=1>",
    '"><b onmouseover=hacked=1>x</b>',
    "javascript:hacked=1",
    "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "${hacked=1}",
    "</textarea><script>hacked=1</script>",
    "<a href=javascript:hacked=1 autofocus onfocus=hacked=1>x</a>",
    "\u202e<style>*{display:none}</style>",
)
CONTRAST = """() => {
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n.slice(0, 3), n[3] ?? 1]; };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const [rgb, alpha] = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return parse(getComputedStyle(document.body).backgroundColor)[0];
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest(':disabled, .unseen, noscript')) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)[0]), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([walk.currentNode.data.slice(0, 40), ratio.toFixed(2)]);
  }
  return faint;
}"""
NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, textarea, select, [role=tab], [role=radio]')]
  .filter(e => e.checkVisibility() && !(e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length))
  .map(e => e.outerHTML.slice(0, 100))"""


def access_of(console: FakeConsole, text: str) -> None:
    """Rules, a list and an explanation that are called, and say, this."""
    rule = {"number": 1, "name": text, "when": f"host:{text}", "action": "deny", "dry_run": True, "listeners": []}
    reasons = [{"part": text, "found": text}, {"part": text, "found": None}]
    listed = {"name": text, "rules": 100_000, "fetched_at": 1.0, "problem": text, "hits": 1}
    console.access = {"rules": [{**rule, "hits": 12_345}], "blocklists": [listed]}
    decision = {"action": "deny", "rule": 2, "name": text, "status": 403, "message": text}
    console.explained = {
        "listener": "proxy", "method": "GET", "url": text, "client": "10.0.0.1", "user": text, "groups": None,
        "rules": [
            {**rule, "matched": False, "reasons": reasons},
            {**rule, "number": 2, "matched": True, "reasons": []},
        ],
        "decision": decision,
        "others": [{"by": "addresses", "why": text, "refuses": True}],
    }  # fmt: skip
    notes = {"filter": "access", "rule": text, "why": text}
    console.refused = {
        "reference": "0-1f",
        "record": 1,
        "status": 403,
        "failure": "http_request_denied",
        "notes": notes,
    }


def upstreams_of(console: FakeConsole, text: str) -> None:
    """An upstream that is called this, with a server that is, and says it."""
    name = "u" * 60
    about = {**told({"name": "app", "servers": ["127.0.0.1:1", "127.0.0.1:2"]})[0], "name": name, "backup": text}
    ill = server(name, text, "ejected", why=text, workers={"ejected": 1, "up": 1}, requests=1_000_000_000, failures=1)
    console.upstreams = {"upstreams": [about], "servers": [server(name, "127.0.0.1:1"), ill]}
    console.upstream_history = history([server(name, text)], [ill])


def full(console: FakeConsole) -> None:
    """Something in every view, with values that are too long for any of them."""
    now = time.time()
    console.rows[7].update(
        url=LONG, path="/" + "p" * 900, host="h" * 240 + ".example", comment="c" * 400, user="u" * 200
    )
    console.problems = [{"text": "Something is wrong with " + "x" * 300, "link": "#/flows?q=status:502"}]
    console.hold("abc23456", url=LONG, fields=[["X-" + "n" * 200, "v" * 2000]], deadline=now + 90, reviewers=["r" * 80])
    console.edit("abc23456", {"text": "t" * 3000}, "somebody" * 20)
    console.experiments = [*some(), long_experiment()]
    access_of(console, "r" * 200)
    upstreams_of(console, "s" * 200)
    console.rules = [{"id": "r", "query": "host:" + "q" * 300, "until": now + 1000, "who": "ann"}]
    item = {"id": "aaaaaaaaaaaaaaaa", "state": "held", "name": "n" * 255, "client": "127.0.0.1:1", "received_at": now}
    console.spool["aaaaaaaaaaaaaaaa"] = (item, b"x" * 5000)
    console.stored = [
        {"cache": "cache", "key": f"GET {LONG}", "status": 200, "bytes": 10, "varies_on": [], "tags": ["t" * 300],
         "stored_at": now, "freshness": "fresh for 60 s", "fresh_s": 30.0}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(360, "light"), (360, "dark"), (768, "light"), (1280, "dark"), (1280, "light"), (2560, "dark")],
)
def test_every_view_fits_can_be_read_and_is_named(page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    with FakeConsole(flows=40) as console:
        full(console)
        for view in VIEWS:
            page.goto("about:blank")
            page.goto(console.url + view)
            expect(page.locator("main [class]").first).to_be_visible()
            expect(page.get_by_text("Reading…")).to_have_count(0)
            over = page.evaluate(
                "() => [...document.querySelectorAll('html, main, .page, .panel, .list, .detail, .detail-head')]"
                ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className || e.tagName)"
            )
            assert over == [], view
            assert page.evaluate(CONTRAST) == [], view
            assert page.evaluate(NAMELESS) == [], view


def test_a35_hostile_flows_are_shown_as_text_in_every_part(page: Page) -> None:
    with FakeConsole() as console:
        for number, text in enumerate(FACES, 1):
            console.rows[number] = row(
                number,
                url=f"http://{text}/",
                host=text,
                path=f"/{text}",
                method=text,
                type=text,
                user=text,
                comment=text,
                failure=text,
                client=text,
                status=200,
            )
        page.goto(console.url)
        for number, text in enumerate(FACES, 1):
            console.preview = {"kind": "html", "text": text, "cut": False, "media_type": text, "coding": text}
            console.content = text.encode()
            console.messages = [
                {"n": 0, "at_ms": 1, "inbound": True, "kind": text, "size": 1, "cut": False, "text": text, "base64": ""}
            ]
            console.rows[number]["messages"] = 1
            page.goto(f"{console.url}#/flows/{number}")
            detail = page.locator(f"[aria-label='Flow {number}']")
            expect(detail.locator("h2")).to_contain_text(text)
            for tab in ("Summary", "Request", "Response", "Messages", "Upstream"):
                detail.get_by_role("tab", name=tab).click()
                expect(detail.locator(".panel")).to_contain_text(text if tab != "Request" else "Content")
            detail.get_by_role("tab", name="Summary").click()
        assert page.locator(".flow-table .row[id] .url").count() == len(FACES)
        assert page.evaluate("typeof hacked") == "undefined"
        assert (
            page.evaluate(
                "document.querySelectorAll('main script, main iframe, main img, main style, main [onload]').length"
            )
            == 0
        )


def test_a35_hostile_names_at_desk_spool_and_cache_are_shown_as_text(page: Page) -> None:
    with FakeConsole(flows=2) as console:
        console.problems = [{"text": FACES[0], "link": "javascript:hacked=1"}]
        for number, text in enumerate(FACES):
            console.hold(
                f"hold{number}", url=f"http://{text}/", method=text, rule=text, user=text, reviewers=[text], text=text
            )
            console.spool[f"item{number}"] = (
                {"id": f"item{number}", "state": "held", "name": text, "client": text},
                text.encode(),
            )
        console.stored = [
            {"cache": "cache", "key": f"GET http://x/{text}", "status": 200, "bytes": 10, "varies_on": [text],
             "tags": [text], "stored_at": 1.0, "freshness": text, "fresh_s": 30.0} for text in FACES
        ]  # fmt: skip
        page.goto(console.url)
        for number, text in enumerate(FACES):
            page.goto(f"{console.url}#/desk/hold{number}")
            expect(page.locator(".detail h2")).to_contain_text(text)
            expect(page.get_by_label("Content", exact=True)).to_have_value(text)
            page.goto(f"{console.url}#/spool/item{number}")
            expect(page.locator(".detail h2")).to_have_text(text)
            expect(page.get_by_label("Content", exact=True)).to_have_value(text)
        page.goto(f"{console.url}#/cache")
        for text in FACES:
            page.get_by_role("button", name=f"http://x/{text}", exact=True).click()
        expect(page.locator(".story")).to_have_count(len(FACES))
        for text in FACES[:5]:
            access_of(console, text)
            page.goto("about:blank")
            page.goto(f"{console.url}#/access?q=0-1f")
            expect(page.locator(".why")).to_contain_text(f"rule {text}: {text}")
            expect(page.locator(".stored").last).to_contain_text(text)
        page.goto(f"{console.url}#/overview")
        expect(page.locator(".problems")).to_have_text(FACES[0])
        expect(page.locator(".problems a")).to_have_count(0)
        assert page.evaluate("typeof hacked") == "undefined"


def test_who_has_not_been_let_in_is_told_how(page: Page) -> None:
    with FakeConsole() as console:
        console.is_open = False
        page.goto(console.url)
        expect(page.get_by_role("heading")).to_have_text("This page needs its link")
        console.is_open = True
        page.get_by_role("button", name="I have opened the link").click()
        expect(page.get_by_text("Nothing has passed yet")).to_be_visible()
        expect(page.locator(".command code")).to_have_text("curl -x http://127.0.0.1:8080 http://example.com/")


def test_files_of_the_spool_are_edited_released_and_dropped(page: Page) -> None:
    with FakeConsole() as console:
        console.spool["aaaa"] = (
            {"id": "aaaa", "state": "held", "name": "sums.csv", "size": 5, "received_at": 2.0},
            b"a,1\n",
        )
        console.spool["bbbb"] = (
            {"id": "bbbb", "state": "held", "name": "raw", "size": 2, "received_at": 1.0},
            b"\x00\xff",
        )
        page.goto(f"{console.url}#/spool")
        expect(page.locator(".hold")).to_have_count(2)
        page.keyboard.press("j")
        page.get_by_label("Content", exact=True).fill("a,2\n")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("status").filter(has_text="this is what will be sent")).to_be_visible()
        page.get_by_role("button", name="Release", exact=True).click()
        expect(page.locator(".hold").first).to_contain_text("approved")
        page.keyboard.press("j")
        expect(page.get_by_label("Content", exact=True)).to_have_value("00 ff")
        page.keyboard.press("d")
        expect(page.locator(".hold").last).to_contain_text("dropped")
        assert console.spool["aaaa"][1] == b"a,2\n"


def test_what_is_cached_is_searched_explained_and_purged(page: Page) -> None:
    with FakeConsole() as console:
        keys = ("http://x/a.css", "http://x/b.css", "http://y/c")
        console.stored = [
            {"cache": "cache", "key": f"GET {key}", "status": 200, "bytes": 2048, "varies_on": [], "tags": [],
             "stored_at": 1.0, "freshness": "fresh for 60 s, as max-age says", "fresh_s": 30.0} for key in keys
        ]  # fmt: skip
        page.goto(f"{console.url}#/cache")
        expect(page.get_by_text("3 answers, 6.0 KiB")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("http://x/*")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="http://x/a.css").click()
        expect(page.locator(".story")).to_contain_text("Fresh for 60 s, as max-age says.")
        page.get_by_role("button", name="Purge…", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("http://x/*: 2 answers")
        page.get_by_role("button", name="Forget").click()
        expect(page.get_by_role("status").filter(has_text="2 answers forgotten")).to_be_visible()
        assert console.asked == [("POST", "/api/v1/cache/purge", {"pattern": "http://x/*", "soft": False})]


def test_rules_are_listed_and_say_why(page: Page) -> None:
    with FakeConsole() as console:
        access_of(console, "no games")
        page.goto(f"{console.url}#/access")
        expect(page.locator(".stored").first).to_contain_text("1. no games")
        expect(page.get_by_text("12,345 hits")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("http://play.games.example/")
        page.keyboard.press("Enter")
        why = page.get_by_label("Why", exact=True)
        expect(why).to_contain_text("It is refused with 403, by rule 2.")
        expect(why).to_contain_text("no games, but of that nothing is known")
        page.get_by_label("What is asked for").fill("0-1f")
        page.get_by_role("button", name="Why?").click()
        expect(why).to_contain_text("Exchange 0-1f ended with 403. Refused by access, rule no games: no games")
        page.go_back()
        expect(why).not_to_contain_text("Exchange")


def test_the_look_and_the_name_are_chosen_and_kept(page: Page) -> None:
    with FakeConsole() as console:
        page.emulate_media(color_scheme="light")
        page.goto(console.url)
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Settings").click()
        page.get_by_role("radio", name="Dark").click()
        dark = page.evaluate(ground)
        page.get_by_label("Your name").fill("bob")
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.reload()
        expect(page.get_by_role("navigation")).to_be_visible()
        assert (page.evaluate(ground), light) == (dark, "rgb(245, 245, 242)")
        assert console.asked == [("POST", "/api/v1/session", {"reviewer": "bob"})]


def test_the_overview_draws_what_happens_each_second(page: Page) -> None:
    with FakeConsole(flows=10) as console:
        page.goto(f"{console.url}#/overview")
        expect(page.locator(".chart canvas")).to_have_count(4)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        now = {
            "requests_per_s": 1234,
            "errors_per_s": 0,
            "bytes_in_per_s": 0,
            "bytes_out_per_s": 0,
            "connections": 2,
            "exchanges": 1,
            "p50_ms": 1,
            "p95_ms": 2,
            "p99_ms": 3,
            "hit_ratio": None,
            "waiting_holds": 0,
        }
        for _ in range(20):  # one comes every second, and the page may still be reading the whole
            console.happens("second", now)
            page.wait_for_timeout(250)
            if "1,234" in page.locator(".tiles").inner_text():
                break
        expect(page.locator(".tiles")).to_contain_text("1,234")
        expect(page.get_by_role("img", name="Requests a second, the last 15 minutes; now: all 1,234")).to_be_visible()

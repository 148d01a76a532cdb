"""Takes the manual's pictures of the console: a real instance, something to see in it, and Chromium.

script/pictures runs it. Pictures are of this directory, named by what they show.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

from playwright.sync_api import Page, sync_playwright
from tests.support import firewall_records
from tests.support.background import in_background
from tests.support.experiment_views import some
from tests.support.fake_console import FakeConsole
from tests.support.name_server import NXDOMAIN, NameServer, Reply
from tests.support.page import CHROMIUM, FLAGS
from tests.support.program import Program
from tests.support.served_console import served_console
from tests.support.upstream_views import some as some_upstreams

HERE = Path(__file__).parent
ORDER = {
    "order": 4711,
    "to": "ann@shop.example",
    "amount": 100,
    "currency": "EUR",
    "items": [{"name": "tea", "count": 2}],
}
CONFIGURATION = """
[log]
access = "{directory}/access.log"
[dns]
servers = ["{names}"]
[console]
address = "127.0.0.1:0"
[journal]
[[cache]]
name = "answers"
memory_bytes = 16777216
[[hold]]
name = "orders"
when = "method:POST"
timeout_s = 900
[[listener]]
name = "proxy"
address = "127.0.0.1:0"
role = "proxy"
cache = "answers"
allow_upstream = ["127.0.0.0/8"]
[[listener]]
name = "spool"
address = "127.0.0.1:0"
role = "spool"
upstream = "archive"
[listener.spool]
dir = "{directory}/spool"
hold = true
[[upstream]]
name = "archive"
servers = ["127.0.0.1:9"]
"""


class Shops(ThreadingHTTPServer):
    """Serves it; clients that leave are no news."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Shop(BaseHTTPRequestHandler):
    """An origin with a bit of everything."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and content in one piece

    def do_GET(self) -> None:
        """What a path's beginning and end ask for."""
        kind = self.path.rpartition(".")[2]
        if self.path.startswith("/missing"):
            self.answer(404, "text/html", b"<p>There is no such page.</p>")
        elif self.path.startswith("/moved"):
            self.answer(301, "text/plain", b"")
        elif kind == "css":
            self.answer(200, "text/css", b"body { margin: 0 }\n" * 90, "max-age=600")
        elif kind == "png":
            self.answer(200, "image/png", bytes(24_000), "max-age=600")
        else:
            items = [{"id": number, "name": f"tea {number}", "price": 3.5 + number} for number in range(12)]
            self.answer(200, "application/json", json.dumps({"items": items, "page": 2}).encode())

    def do_POST(self) -> None:
        """Accept an order."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, "application/json", b'{"accepted": true}')

    def answer(self, status: int, kind: str, content: bytes, control: str = "no-store") -> None:
        """All of an answer."""
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", control)):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the pictures show what passed."""


def known(name: str, kind: int) -> Reply:
    """(name server) The shop's names lead here."""
    return Reply(("127.0.0.1",)) if name.endswith("shop.example") else Reply(status=NXDOMAIN)


def ask(proxy: str, *arguments: str) -> None:
    """One request through the proxy."""
    subprocess.run(
        ["curl", "--silent", "--output", "/dev/null", "--max-time", "10", "--proxy", proxy, *arguments], check=False
    )


def pass_by(proxy: str, port: int) -> None:
    """A minute in the life of a shop, in a moment."""
    for number in range(14):
        shop, api = f"http://www.shop.example:{port}", f"http://api.shop.example:{port}"
        paths = (f"{shop}/assets/site.css", f"{shop}/pictures/tea-{number % 5}.png", f"{api}/items?page={number}",
                 f"{shop}/missing/{number}" if number % 4 == 0 else f"{api}/items/{number}")  # fmt: skip
        ask(proxy, *[part for path in paths for part in (path, "--output", "/dev/null")])
        if number % 6 == 1:
            ask(proxy, f"http://stock.shop.example:1/levels?day={number}")
            ask(proxy, f"{shop}/moved")


def take(page: Page, name: str) -> None:
    """A picture of what is there."""
    page.wait_for_timeout(900)  # charts and tables have settled
    page.screenshot(path=str(HERE / f"{name}.png"))


def main() -> None:
    """All of them."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(patch("tests.support.program.NAME", "shop"))
        shop = Shops(("127.0.0.1", 0), Shop)
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        stack.callback(shop.shutdown)
        names = stack.enter_context(in_background(lambda: NameServer(known)))
        file = directory / "shop.toml"
        file.write_text(CONFIGURATION.format(directory=directory, names=names.address))
        program = stack.enter_context(Program(directory, "run", str(file), console=True, listeners=3))
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(program.urls["console"])
        proxy = program.urls["proxy"]
        pass_by(proxy, shop.server_port)
        url = f"http://api.shop.example:{shop.server_port}/orders"
        command = ["curl", "--silent", "--output", "/dev/null", "--proxy", proxy, url, "--json"]
        orders = [
            subprocess.Popen([*command, json.dumps(ORDER | {"order": number}, indent=2)]) for number in (4711, 4712)
        ]
        with socket.create_connection(("127.0.0.1", int(program.urls["spool"].rpartition(":")[2]))) as sender:
            sender.sendall(b"item,count,price\ntea,2,3.50\ncups,4,8.00\n")
            sender.shutdown(socket.SHUT_WR)
            page.get_by_label("2 waiting").wait_for()
            page.locator(".flow-table .row", has_text="/items/").first.click()
            page.get_by_role("tab", name="Response").click()
            take(page, "flows")
            page.keyboard.press("2")
            page.locator(".hold").last.click()
            page.get_by_label("Content", exact=True).fill(json.dumps(ORDER | {"amount": 10}, indent=2))
            take(page, "desk")
            page.keyboard.press("Escape")  # out of the editor
            page.keyboard.press("3")
            page.locator(".hold").first.click()
            page.get_by_label("Content", exact=True).wait_for()
            take(page, "spool")
            page.keyboard.press("4")
            take(page, "overview")
            page.keyboard.press("3")
            page.locator(".hold").first.click()
            page.get_by_role("button", name="Drop").click()
            page.locator(".tag.dropped").wait_for()
        page.keyboard.press("2")
        for _ in orders:
            page.locator(".hold").first.click()
            page.get_by_role("button", name="Release", exact=True).click()
        for order in orders:
            order.wait(20)
        take_experiments(page)
        take_upstreams(page)
        take_firewall(page, directory / "firewall")
        browser.close()


def take_experiments(page: Page) -> None:
    """Experiments take weeks: these are made up, and judged by the real statistics."""
    with FakeConsole() as console:
        console.experiments = some()[:2]
        page.goto(f"{console.url}#/experiments")
        take(page, "experiments")


def take_upstreams(page: Page) -> None:
    """A quarter of an hour in which a server is ejected."""
    with FakeConsole() as console:
        upstreams, servers, past = some_upstreams()
        console.upstreams = {"upstreams": upstreams[:1], "servers": servers}
        console.upstream_history = past
        page.goto(f"{console.url}#/upstreams")
        take(page, "upstreams")


def take_firewall(page: Page, directory: Path) -> None:
    """Attacks made up, matches as the rules note them; what is tried is asked of the real rules."""
    directory.mkdir()
    with served_console(directory) as served:
        served.console.instance.tables = firewall_records.TABLES
        served.record(*firewall_records.some())
        page.goto(served.link())
        page.goto(f"{served.url}#/firewall")
        page.get_by_role("button", name="/things?id=").click()
        page.get_by_label("Block up to paranoia").select_option("2")
        page.get_by_role("button", name="Try").click()
        page.get_by_text("Fewest exclusions").wait_for()
        page.set_viewport_size({"width": 1280, "height": 1000})
        take(page, "firewall")


if __name__ == "__main__":
    main()

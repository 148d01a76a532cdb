"""A browser through the firewall: pages, forms, uploads and an application's requests pass, and nothing is noted."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.sync_api import sync_playwright
from tests.support.product import product
from tests.support.raw_origin import Gone, RawOrigin

from interpose.config.load import config_of
from interpose.config.roles import gateway_tables

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--no-proxy-server",
    "--host-resolver-rules=MAP shop.example 127.0.0.1",
]  # fmt: skip
PAGE = """<!doctype html><html lang="en"><title>Shop</title><link rel="stylesheet" href="/style.css?v=3">
<h1>Lamps &amp; more</h1><img src="/lamp.svg" alt="A lamp">
<form method="post" action="/contact"><input name="name"><input name="mail"><textarea name="text"></textarea>
<button>Send</button></form><script src="/app.js"></script></html>"""
APP = """
const json = (method, path, value) => fetch(path, {
  method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) });
async function work() {
  const picture = new Blob([new Uint8Array(4096).map((_, at) => at % 251)], { type: 'image/png' });
  const form = new FormData();
  form.append('title', 'Our garden, in May'); form.append('photo', picture, 'garden (2).png');
  const answers = [
    await fetch('/api/things?page=2&sort=-price&q=' + encodeURIComponent('table lamp, 40 W')),
    await json('POST', '/api/cart', { items: [{ id: 7, count: 2 }], note: 'Please ring twice!', gift: false }),
    await json('PUT', '/api/me', { name: "Zo\\u00eb O'Hara", at: { street: 'Am M\\u00fchlbach 3', zip: '01234' } }),
    await json('PATCH', '/api/me', { newsletter: null }),
    await fetch('/api/cart/7', { method: 'DELETE' }),
    await fetch('/photos', { method: 'POST', body: form }),
    await fetch('/search?q=' + encodeURIComponent('caf\\u00e9 & bar')),
    await fetch('/style.css?v=3', { headers: { Range: 'bytes=0-9' } }),
    await fetch('/api/seen', { method: 'POST', body: new URLSearchParams({ id: '/things/3', at: '2026-05-01' }) }),
  ];
  return answers.map((answer) => answer.status);
}
"""
KINDS = {
    "/style.css": ("text/css", "h1 { color: teal }"),
    "/app.js": ("text/javascript", APP),
    "/lamp.svg": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "/api": ("application/json", '{"things": [{"id": 3, "name": "Lamp", "price": 12.5}]}'),
}


async def shop(connection: Any) -> None:
    while True:
        try:
            asked = await connection.request()
        except Gone:
            return
        path = asked.target.partition("?")[0]
        kind, text = next((KINDS[one] for one in KINDS if path.startswith(one)), ("text/html; charset=utf-8", PAGE))
        content = text.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        cookie = "Set-Cookie: session=5b1f0c9a7e3d4f62; Path=/; HttpOnly; SameSite=Lax\r\n" if path == "/" else ""
        await connection.send(f"{head}{cookie}Cache-Control: no-store\r\n\r\n".encode() + content)


def browse(port: int) -> list[int]:
    """What the statuses of an application's requests were, after a visit and a letter."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        try:
            page = browser.new_page()
            page.goto(f"http://shop.example:{port}/")
            page.locator("[name=name]").fill("Anna-Marie D'Angelo")
            page.locator("[name=mail]").fill("anna@example.org")
            page.locator("[name=text]").fill(
                "Hello,\nmy order (no. 4711) hasn't come yet. Where is it?\n\nThanks & regards"
            )
            page.get_by_role("button", name="Send").click()
            page.wait_for_url("**/contact")
            return list(page.evaluate("work()"))
        finally:
            browser.close()


async def test_browsing_forms_uploads_and_an_application_pass_at_paranoia_1() -> None:
    async with RawOrigin(shop) as origin:
        tables = gateway_tables([origin.address], ["127.0.0.1:0"])
        tables["firewall"] = {}
        async with product(config_of(tables)) as running:
            port = int(running.address().rpartition(":")[2])
            statuses = await asyncio.to_thread(browse, port)
            assert statuses == [200] * 9
        assert len(running.log) >= 14
        assert [line for line in running.log if "notes" in line and "firewall" in line["notes"]] == []
        assert {line["status"] for line in running.log} == {200}

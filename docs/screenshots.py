"""Takes the pictures of the console that the manual shows: an instance with some traffic, and a browser.

script/console-pages runs it. What is shown is made here: a small shop behind a gateway, with a rule that holds
payments, and a spool with two letters. Everything is on loopback, and ends with this program.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

OUT = Path(__file__).parent / "console"
SIZE = {"width": 1280, "height": 800}
CONFIGURATION = """
[process]
name = "shop"
state_dir = "{state}"
[log]
access = "off"
[journal]
[console]
address = "127.0.0.1:0"
[[listener]]
role = "gateway"
address = "127.0.0.1:0"
upstream = "shop"
[[listener]]
role = "spool"
address = "127.0.0.1:0"
upstream = "archive"
[listener.spool]
dir = "{state}/letters"
hold = true
[[upstream]]
name = "shop"
servers = ["127.0.0.1:{shop}"]
[[upstream]]
name = "archive"
servers = ["127.0.0.1:{shop}"]
[[hold]]
name = "payments"
when = "method:POST path:/pay*"
timeout_s = 900
"""
PRODUCTS = [{"id": number, "name": name} for number, name in enumerate(("lamp", "chair", "desk", "shelf"), 1)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The shop: one answer for each connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    _, path, _ = head.split(" ", 2)
    await asyncio.sleep(0.004 * (len(path) % 7))
    status, body = ("404 Not Found", b"{}") if path.endswith("/9") else ("200 OK", json.dumps(PRODUCTS).encode())
    fields = (
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nServer: shop/2.1\r\nConnection: close\r\n"
    )
    writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode() + body)
    await writer.drain()
    writer.close()


async def ask(port: int, method: str, path: str, host: str = "shop.example", body: bytes = b"", **fields: str) -> None:
    """One request through the gateway; its answer is read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = {"Host": host, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "application/json", **fields}
    if body:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + body)
    await reader.read()
    writer.close()


async def traffic(gateway: int, spool: int) -> list[asyncio.Task[None]]:
    """What people do in a shop. What is returned still waits."""
    for round_ in range(6):
        for path in (
            "/",
            "/products",
            "/products/1",
            "/products/3?lang=en",
            "/cart",
            "/products/9",
            "/static/shop.css",
        ):
            await ask(gateway, "GET", path)
        await ask(gateway, "GET", f"/v1/stock?page={round_}", host="api.shop.example")
    orders = [
        {"order": 1041, "amount": 89.5, "to": "Ada"},
        {"order": 1042, "amount": 12000, "to": "Bob", "express": True},
    ]
    waiting = [asyncio.create_task(ask(gateway, "POST", "/pay", body=json.dumps(order).encode())) for order in orders]
    for letter in (b"Dear Ada,\n\nthe desk arrives on Monday.\n", b"Dear Bob,\n\nis 12,000 right?\n"):
        _, writer = await asyncio.open_connection("127.0.0.1", spool)
        writer.write(letter)
        writer.write_eof()
    await asyncio.sleep(2)
    return waiting


async def started(configuration: Path) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """The instance, and the URLs of its ready lines by role."""
    command = [sys.executable, "-m", "interpose", "run", str(configuration), "--log-format", "json"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    urls: dict[str, Any] = {}
    while "console" not in urls:
        line = await process.stderr.readline()
        if not line:
            raise RuntimeError("the instance did not start")
        said = json.loads(line)
        if said.get("event") == "ready":
            urls[said["role"]] = said["url"]
    return process, urls


async def look(page: Page, url: str) -> None:
    """The four views."""
    await page.goto(url)
    origin = url.partition("?")[0]
    for view, keys in (("flows", "jjjjj"), ("desk", "j"), ("spool", "j"), ("overview", "")):
        await page.goto(f"{origin}#/{view}")
        await page.wait_for_timeout(1500)
        for key in keys:
            await page.keyboard.press(key)
        if keys:
            await page.keyboard.press("Enter")
        await page.wait_for_timeout(1500)
        await page.screenshot(path=OUT / f"{view}.png")


async def main() -> None:
    """Make all pictures."""
    OUT.mkdir(exist_ok=True)
    shop = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = shop.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as state:
        configuration = Path(state) / "shop.toml"
        configuration.write_text(CONFIGURATION.format(state=state, shop=port))
        process, urls = await started(configuration)
        try:
            ports = {role: int(re.search(r":([0-9]+)", url.partition("://")[2])[1]) for role, url in urls.items()}  # type: ignore[index]
            waiting = await traffic(ports["gateway"], ports["spool"])
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                await look(await browser.new_page(viewport=SIZE), urls["console"])
                await browser.close()
            for task in waiting:
                task.cancel()
        finally:
            process.kill()
            await process.wait()
    shop.close()


asyncio.run(main())

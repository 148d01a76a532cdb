"""What a browser makes of `/proxy.pac`."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.setup_page import SetupPage, SetupPageOptions

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture
def page(script: str) -> Iterator[Any]:
    """A browser's page. (`script` comes first, since Playwright runs a loop of its own.)"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser.new_page()
        browser.close()


@pytest.fixture
def script() -> str:
    options = SetupPageOptions(pac_exceptions=("intranet", "*.corp.example", "192.0.2.7"))
    authority = Authority("127.0.0.1", 8080)
    request = Request("GET", Target(Form.ORIGIN, "http", authority, "/proxy.pac"), Fields())
    exchange = Exchange(1, 0, "main", Address("127.0.0.1", 50000), 0.0)
    return asyncio.run(SetupPage(options, authority)(exchange, request)).body.take().decode()


def test_the_script_sends_everything_through_the_proxy_but_the_exceptions(page: Any, script: str) -> None:
    direct = ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "intranet", "INTRANET",
              "a.corp.example", "a.b.corp.example", "192.0.2.7"]  # fmt: skip
    through = ["example.org", "corp.example", "badcorp.example", "intranet.example", "127.0.0.1.example", "x127.0.0.1",
               "192.0.2.70", "mylocalhost", "128.0.0.1", "::11", ""]  # fmt: skip
    answers = page.evaluate(
        "([source, hosts]) => { const f = new Function(source + '; return FindProxyForURL'); "
        "return hosts.map(host => f()('http://' + host + '/', host)) }",
        [script, direct + through],
    )
    assert answers == ["DIRECT"] * len(direct) + ["PROXY 127.0.0.1:8080"] * len(through)

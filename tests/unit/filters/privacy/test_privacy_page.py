"""The page that shows what servers see, before and after."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.privacy.options import PrivacyRule
from interpose.filters.privacy.page import PrivacyPage

RULES = (PrivacyRule(name="partner", when="host:*.partner.example", profile="identify"), PrivacyRule())


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._is_inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_inside = False

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.rows[-1][-1] += data


async def asked(path: str, query: str | None = None, *fields: tuple[str, str], method: str = "GET") -> Response:
    async def otherwise(exchange: Exchange, request: Request) -> Response:
        return Response.text(404, "other")

    exchange = Exchange(1, 0, "web", Address("10.0.0.7", 4711), 0.0)
    exchange.user = "alice"
    target = Target(Form.ORIGIN, "http", Authority("127.0.0.1", 8080), path, query)
    page = PrivacyPage(RULES, "interpose", otherwise)
    return await page(exchange, Request(method, target, Fields(fields)))


async def told(query: str | None, *fields: tuple[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = await asked("/privacy.json", query, *fields)
    shown = json.loads(await answer.body.read(1 << 20))
    return shown, {row["name"]: row for row in shown["fields"]}


async def test_programs_are_told_what_a_server_sees_before_and_after() -> None:
    shown, rows = await told(None, ("User-Agent", "curl/8.14"), ("Sec-Fetch-Site", "none"), ("Accept", "*/*"))
    assert (shown["host"], shown["rule"]) == ("example.com", "anonymous")
    assert rows["User-Agent"] == {
        "name": "User-Agent", "before": "curl/8.14", "page": "curl", "embedded": "curl", "is_example": False,
    }  # fmt: skip
    assert rows["Accept"]["page"] == "*/*"
    cookie = rows["Cookie"]
    assert (cookie["is_example"], cookie["page"], cookie["embedded"]) == (True, "id=example", "")
    assert (rows["Via"]["before"], rows["Via"]["page"]) == ("1.1 interpose", "")
    assert (rows["DNT"]["before"], rows["DNT"]["page"]) == ("", "1")
    assert rows["Referer"]["page"] == "https://example.com/"
    assert "Sec-Fetch-Site" not in rows


async def test_another_host_may_see_something_else() -> None:
    shown, rows = await told("host=www.partner.example:8443")
    assert (shown["host"], shown["rule"]) == ("www.partner.example:8443", "partner")
    assert rows["X-Forwarded-User"]["page"] == "alice"
    assert rows["Via"]["page"] == "1.1 interpose"


async def test_people_get_a_page_on_which_nothing_of_theirs_runs() -> None:
    answer = await asked("/privacy", "host=shop.example", ("User-Agent", "<script>x</script>&amp;"))
    assert "script-src" not in answer.fields["content-security-policy"]
    assert answer.fields["content-security-policy"].startswith("default-src 'none'")
    cells = Cells()
    cells.feed((await answer.body.read(1 << 20)).decode())
    assert "script" not in cells.tags
    assert cells.rows[0][0] == "Field"
    assert ["User-Agent", "<script>x</script>&amp;", "Mozilla/5.0", "Mozilla/5.0"] in cells.rows
    assert ["Via", "1.1 interpose", "not sent", "not sent"] in cells.rows


@pytest.mark.parametrize("host", ["a%20b", "%22%3E%3Cscript%3E", "a/b", "a%0D%0Ab", "\u00e9"])
async def test_a10_what_is_no_host_is_refused(host: str) -> None:
    """(THREATS A10)"""
    with pytest.raises(Failure) as raised:
        await asked("/privacy", f"host={host}")
    assert raised.value.status == 400


async def test_other_paths_are_others_and_other_methods_refused() -> None:
    assert (await asked("/")).status == 404
    with pytest.raises(Failure) as raised:
        await asked("/privacy", method="POST")
    assert raised.value.status == 405

"""Rules of your own about contents, without a rule set: nothing passes because nobody could read it."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.firewall.filter import Counts, Firewall
from interpose.filters.firewall.options import Firewall as Options
from interpose.filters.firewall.options import FirewallRule

EVIL = b"drop table users"


async def served(content: bytes, coding: str, **options: Any) -> tuple[int, Exchange]:
    rule = FirewallRule(when='request.body:"drop table"', action="block")
    firewall = Firewall(Options(core_rules=False, rules=(rule,), **options), None, Counts())
    exchange = Exchange(1, 0, "web", Address("192.0.2.1", 5), 0.0)
    fields = Fields([("Content-Encoding", coding)] if coding else [])
    request = Request("POST", Target(Form.ORIGIN, "http", Authority("a.example"), "/"), fields, Body(content))

    async def end(exchange: Exchange, request: Request) -> Response:
        assert await request.body.read(1000) == content
        return Response(204)

    try:
        return (await firewall(exchange, request, end)).status, exchange
    except Failure as failure:
        return failure.status, exchange


@pytest.mark.parametrize(
    ("content", "coding", "status"),
    [
        (EVIL, "", 403),
        (gzip.compress(EVIL), "gzip", 403),
        (gzip.compress(gzip.compress(EVIL)), "gzip, gzip", 415),
        (EVIL, "x-unknown", 415),
        (b"no gzip", "gzip", 415),
        (gzip.compress(b"harmless"), "gzip", 204),
    ],
    ids=["plain", "coded", "coded twice", "unknown", "broken", "harmless"],
)
async def test_a29_a_coding_that_nobody_can_undo_hides_nothing(content: bytes, coding: str, status: int) -> None:
    answered, exchange = await served(content, coding)
    assert answered == status
    assert ("why" in exchange.notes) is (status != 204)


@pytest.mark.parametrize("options", [{"on_failure": "pass"}, {"mode": "detect"}])
async def test_where_it_may_pass_it_is_noted(options: dict[str, Any]) -> None:
    answered, exchange = await served(gzip.compress(gzip.compress(EVIL)), "gzip, gzip", **options)
    assert answered == 204
    assert exchange.notes["firewall_skipped"] == "coding of the content"

"""Which requests a limit is about, and what is told of bytes across reloads."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.limit_book import LimitBook
from interpose.core.message import Request
from interpose.core.stream import Address
from interpose.filters.limiting.counters import Alone
from interpose.filters.limiting.filter import Limit
from interpose.filters.limiting.options import LimitRule
from interpose.protocol.target import parse_target


def is_limited(when: str, url: str, user: str | None = None, groups: tuple[str, ...] | None = None) -> bool:
    rule = LimitRule(name="few", when=when, requests_per_s=1.0)
    limit = Limit(rule, Alone(LimitBook(rule.terms, 100), lambda: 0.0), None, lambda: None, lambda: 0.0)
    exchange = Exchange(1, 0, "web", Address("192.0.2.1", 5), 0.0)
    exchange.user, exchange.groups = user, groups
    return limit.is_about(exchange, Request("GET", parse_target("GET", url.encode(), False), Fields()))


@pytest.mark.parametrize("path", ["/login", "/login;a=b", "//login", "/x/%2e%2e/login", "/;x/login", "/x%2F..%2Flogin"])
def test_a13_no_spelling_of_a_path_goes_round_a_limit(path: str) -> None:
    assert is_limited("path:/login", f"http://a.example{path}")
    assert not is_limited("path:/logout", f"http://a.example{path}")


def test_a_limit_for_all_but_a_group_holds_for_who_is_in_none_or_nobody_knows_in_which() -> None:
    assert is_limited("-group:gold", "http://a.example/")
    assert is_limited("-group:gold", "http://a.example/", "eve")
    assert is_limited("-group:gold", "http://a.example/", "eve", ("silver",))
    assert not is_limited("-group:gold", "http://a.example/", "ann", ("gold",))
    assert not is_limited("group:gold", "http://a.example/")

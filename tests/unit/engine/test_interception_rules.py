"""Which rule decides about a tunnel, and which host it is about."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Exchange
from interpose.core.query import compile_query, parse
from interpose.core.stream import Address
from interpose.core.target import Authority
from interpose.engine.interception import verified_host
from interpose.engine.interception_rules import Action, InterceptionRule, InterceptionRules
from interpose.protocol.client_hello import ClientHello

RULES = InterceptionRules(
    [
        InterceptionRule(compile_query(parse(text)), action, text)
        for text, action in (
            ("user:auditor", Action.INTERCEPT),
            ("host:*.bank.example", Action.PASS),
            ("host:bad.example", Action.REFUSE),
            ("port:8443 from:10.0.0.0/8", Action.REFUSE),
            ("host:192.0.2.66", Action.REFUSE),
        )
    ]
)


@pytest.mark.parametrize(
    ("asked", "named", "user", "client", "action", "rule"),
    [
        ("www.bank.example:443", None, "", "192.0.2.1", Action.PASS, "host:*.bank.example"),
        ("www.bank.example:443", None, "auditor", "192.0.2.1", Action.INTERCEPT, "user:auditor"),
        ("any.example:443", None, "", "192.0.2.1", Action.INTERCEPT, ""),
        ("any.example:8443", None, "", "10.1.2.3", Action.REFUSE, "port:8443 from:10.0.0.0/8"),
        ("any.example:8443", None, "", "192.0.2.1", Action.INTERCEPT, ""),
        ("192.0.2.9:443", "www.bank.example", "", "192.0.2.1", Action.PASS, "host:*.bank.example"),
        ("192.0.2.66:443", "www.bank.example", "", "192.0.2.1", Action.REFUSE, "host:192.0.2.66"),
        ("www.bank.example:443", "bad.example", "", "192.0.2.1", Action.REFUSE, "host:bad.example"),
        ("any.example:443", "bad.example", "", "192.0.2.1", Action.REFUSE, "host:bad.example"),
        ("bad.example:443", "www.bank.example", "", "192.0.2.1", Action.REFUSE, "host:bad.example"),
    ],
)
def test_the_first_rule_that_matches_decides_and_the_stricter_of_two_hosts(
    asked: str, named: str | None, user: str, client: str, action: Action, rule: str
) -> None:
    host, _, port = asked.partition(":")
    exchange = Exchange(1, 0, "main", Address(client, 50000), 0.0)
    exchange.user = user or None
    decision = RULES.decide(exchange, None, Authority(host, int(port)), named or host)
    assert (decision.action, decision.rule) == (action, rule)


@pytest.mark.parametrize(
    ("text", "action", "user", "groups", "decided"),
    [
        ("-group:staff", Action.REFUSE, "eve", None, Action.REFUSE),
        ("-group:staff", Action.REFUSE, None, None, Action.REFUSE),
        ("-group:staff", Action.REFUSE, "ann", ("staff",), Action.PASS),
        ("-group:staff", Action.INTERCEPT, "eve", None, Action.INTERCEPT),
        ("-group:staff", Action.PASS, "eve", None, Action.INTERCEPT),
        ("-group:staff", Action.PASS, None, None, Action.PASS),
    ],
)
def test_a11_no_tunnel_passes_because_nothing_is_known_of_groups(
    text: str, action: Action, user: str | None, groups: tuple[str, ...] | None, decided: Action
) -> None:
    after = Action.INTERCEPT if action is Action.PASS else Action.PASS
    rules = InterceptionRules(
        [InterceptionRule(compile_query(parse(when)), what, when) for when, what in ((text, action), ("*", after))]
    )
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    exchange.user, exchange.groups = user, groups
    assert rules.decide(exchange, None, Authority("a.example", 443), "a.example").action is decided


@pytest.mark.parametrize(
    ("asked", "named", "verified"),
    [
        ("a.example", "a.example", "a.example"),
        ("a.example", None, "a.example"),
        ("a.example", "b.example", "a.example"),
        ("192.0.2.9", "b.example", "b.example"),
        ("2001:db8::9", "b.example", "b.example"),
        ("192.0.2.9", None, "192.0.2.9"),
    ],
)
def test_the_server_must_be_whom_the_tunnel_was_opened_for(asked: str, named: str | None, verified: str) -> None:
    assert verified_host(Authority(asked, 443), ClientHello(named, ())) == verified

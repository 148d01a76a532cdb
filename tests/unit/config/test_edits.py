"""Edits and what servers are told: what goes together in a file, and where it holds."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.config.edits import edits_for, field_edits
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.parts import Parts
from interpose.config.problem import ConfigError
from interpose.config.steps import route_steps, routes_of
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Phase
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.only_when import OnlyWhen

TABLES: dict[str, Any] = {
    "listener": [
        {"name": "web", "role": "gateway", "address": "127.0.0.1:8080", "compression": {"codings": ["gzip"]}},
        {"name": "way-out", "role": "proxy", "address": "127.0.0.1:8082"},
        {"name": "raw", "role": "echo", "address": "127.0.0.1:8083"},
    ],
    "upstream": [{"name": "app", "servers": ["127.0.0.1:9000"]}],
    "route": [
        {"name": "shop", "path": "/shop", "upstream": "app"},
        {"name": "rest", "upstream": "app"},
    ],
}


def configured(**tables: Any) -> Config:
    return config_of({**TABLES, **tables})


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "edit[1].replace", "changes nothing"),
    ({"replace": [{}]}, "edit[1].replace[1].text", "write either text or pattern"),
    ({"replace": [{"text": "a", "pattern": "a"}]}, "edit[1].replace[1].text", "write either text or pattern"),
    ({"replace": [{"pattern": "(?<=a)b"}]}, "edit[1].replace[1].pattern", "is no regular expression of RE2"),
    ({"replace": [{"pattern": "a?"}]}, "edit[1].replace[1].pattern", "matches where there is nothing"),
    ({"replace": [{"pattern": "a", "with": r"\1"}]}, "edit[1].replace[1].with", "names group 1"),
    ({"replace": [{"text": "x" * 5000}]}, "edit[1].replace[1].text", "4096"),
    ({"remove": ["div p"]}, "edit[1].remove[1]", "is no selector"),
    ({"remove": ["div"], "message": "request"}, "edit[1].remove", "is for pages"),
    ({"remove": ["div"], "when": "response.body:x"}, "edit[1].when", "is known when the response's content"),
    ({"replace": [{"text": "a"}], "when": "status:200", "message": "request"}, "edit[1].when", "is known when"),
    ({"set_query": ["a=b"], "when": "status:200"}, "edit[1].when", "is known when the head of the response"),
    ({"set_query": ["a"]}, "edit[1].set_query[1]", ""),
    ({"when": "status:200", "field": [{"name": "X"}]}, "edit[1].field[1].when", "is known when the head"),
    ({"field": [{"name": "Content-Length"}]}, "edit[1].field[1].name", ""),
    ({"remove": ["div"], "routes": ["none"]}, "edit[1].routes[1]", "is no route's name; there are: shop, rest"),
    ({"remove": ["div"], "listeners": ["raw"]}, "edit[1].listeners[1]", "speaks no HTTP"),
    ({"remove": ["div"], "listeners": ["none"]}, "edit[1].listeners[1]", "no listener"),
]


@pytest.mark.parametrize(("edit", "where", "why"), BAD)
def test_what_is_wrong_with_an_edit_is_said_where_it_stands(edit: dict[str, Any], where: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(edit=[edit])
    [problem] = raised.value.problems
    assert problem.where == where
    assert why in problem.message


BAD_RULES: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{"profile": "identify"}], "privacy[1].when", "every server would be told who asks"),
    ([{"trail": "send"}], "privacy[1].when", "every server would be told who asks"),
    ([{"when": "status:200"}], "privacy[1].when", "is known when"),
    ([{}, {"when": "host:a"}], "privacy[2]", "comes behind privacy[1]"),
    ([{"listeners": ["raw"]}], "privacy[1].listeners[1]", "speaks no HTTP"),
    ([{"cookies": "eat"}], "privacy[1].cookies", ""),
]


@pytest.mark.parametrize(("rules", "where", "why"), BAD_RULES)
def test_what_is_wrong_with_a_rule_of_privacy_is_said(rules: list[dict[str, Any]], where: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(privacy=rules)
    [problem] = raised.value.problems
    assert problem.where == where
    assert why in problem.message


def test_rules_for_other_listeners_are_not_behind_one_another() -> None:
    assert len(configured(privacy=[{"listeners": ["web"]}, {}]).privacy) == 2


def steps(config: Config, name: str, route: str | None = None) -> list[tuple[str, str]]:
    listener = next(one for one in config.listeners if one.name == name)
    found = None if route is None else next(one for one in routes_of(config, listener) if one.name == route)
    return [
        (step.name, step.detail)
        for step in route_steps(config, listener, found, Parts())
        if step.phase in (Phase.EDIT, Phase.SHAPE)
    ]


def test_filters_stand_where_they_are_named_and_in_their_order() -> None:
    config = configured(
        edit=[
            {"name": "ads", "remove": ["div.ad"], "routes": ["shop"]},
            {"when": "host:a", "set_query": ["safe=1"], "remove_query": ["utm_*"], "listeners": ["way-out"]},
            {"when": "host:a", "field": [{"name": "X", "value": "1"}], "listeners": ["way-out"]},
        ],
        privacy=[{"listeners": ["way-out"]}],
    )
    assert steps(config, "web", "rest") == [("compression", "gzip 5; 1024 bytes or more")]
    assert steps(config, "web", "shop") == [
        ("compression", "gzip 5; 1024 bytes or more, plain from servers"),
        ("edit", "ads: remove div.ad in responses"),
    ]
    assert steps(config, "way-out") == [
        ("query", "remove utm_*, safe=1"),
        ("fields", "set X"),
        ("privacy", "anonymous"),
    ]
    assert [edit.name for edit in edits_for(config, config.listeners[1], None)] == ["", ""]


def test_a_field_has_the_condition_of_its_table_beside_its_own() -> None:
    [edit] = configured(
        edit=[
            {"when": "host:a OR host:b", "field": [{"name": "X"}, {"name": "Y", "when": "method:GET OR method:HEAD"}]}
        ]
    ).edits
    assert [change.when for change in field_edits(edit)] == [
        "host:a OR host:b",
        "(host:a OR host:b) (method:GET OR method:HEAD)",
    ]


async def test_a_filter_may_be_asked_only_for_some_requests() -> None:
    asked: list[str] = []

    def inner(exchange: Exchange, request: Request, forward: Any) -> Any:
        asked.append(request.target.authority.host)
        return forward(exchange, request)

    filter_ = OnlyWhen("host:a.example", inner)
    for host in ("a.example", "b.example"):
        request = Request("GET", Target(Form.ABSOLUTE, "http", Authority(host), "/"), Fields())
        exchange = Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)
        await filter_(exchange, request, lambda exchange, request: Answered(Response(200)))
    assert asked == ["a.example"]

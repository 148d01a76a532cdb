"""What `interpose check` says of where requests end."""

from __future__ import annotations

from interpose.config.build import plan
from interpose.config.load import config_of


def test_the_end_of_a_route_names_all_who_may_get_its_requests() -> None:
    config = config_of(
        {
            "listener": [
                {"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "app"},
                {"name": "office", "role": "auto", "address": "127.0.0.1:0", "through": "company"},
                {"name": "home", "role": "proxy", "address": "127.0.0.1:0"},
            ],
            "upstream": [
                {"name": "app", "servers": ["127.0.0.1:1"], "backup": "spare", "mirror": "next"},
                {"name": "spare", "servers": ["127.0.0.1:2"]},
                {"name": "next", "servers": ["127.0.0.1:3"]},
            ],
            "upstream_proxy": [{"name": "company", "servers": ["http://127.0.0.1:4"]}],
            "route": [{"path": "/spare", "upstream": "spare"}],
        }
    )
    assert [(route.listener, route.end) for route in plan(config)] == [
        ("web", "upstream spare"),
        ("web", "upstream app, backup spare, copies to next"),
        ("office", "the server that the client names, through company"),
        ("office", "the server that the client names, through company"),
        ("home", "the server that the client names"),
    ]

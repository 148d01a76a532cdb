"""A flow told in lines."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from interpose.cli.flow_view import flow_story, flow_table

EMPTY: dict[str, Any] = {"fields": [], "size": 0}


def story(kind: str, **attempt: Any) -> list[str]:
    """The lines about a flow of this kind, with one try."""
    tried = {
        "origin": "http://shop.example",
        "peer": "",
        "reused": False,
        "connected_ms": 0.0,
        "status": 0,
        "failure": "",
    }
    flow = {
        "id": 7, "kind": kind, "started": 0.0, "duration_ms": 3.0, "client": "127.0.0.1:50000", "user": "",
        "listener": "x", "local": "127.0.0.1:8080", "failure": "", "side": "", "detail": "", "is": [], "mark": "",
        "comment": "", "notes": {}, "attempts": [tried | attempt], "method": "GET",
        "url": "http://shop.example/", "status": 0, "request": EMPTY, "response": EMPTY,
    }  # fmt: skip
    return list(flow_story(flow, {"request": {}, "response": {}}, None))


@pytest.mark.parametrize(
    ("kind", "attempt", "line"),
    [
        (
            "http",
            {"status": 200, "reused": True},
            "Upstream http://shop.example, on a connection that was open: status 200",
        ),
        ("http", {"connected_ms": 2.0}, "Upstream http://shop.example, connected after 2.0 ms: no answer"),
        ("http", {"failure": "dns_error"}, "Upstream http://shop.example, not connected: dns_error"),
        (
            "tcp",
            {"connected_ms": 2.0, "peer": "192.0.2.7:9"},
            "Upstream http://shop.example (192.0.2.7:9), connected after 2.0 ms.",
        ),
        ("tcp", {"failure": "connection_refused"}, "Upstream http://shop.example, not connected: connection_refused"),
        ("websocket", {"connected_ms": 2.0}, "Upstream http://shop.example, connected after 2.0 ms."),
        ("udp", {"peer": "192.0.2.7:9"}, "Upstream http://shop.example (192.0.2.7:9)."),
    ],
)
def test_only_what_has_one_answer_can_miss_it(kind: str, attempt: dict[str, Any], line: str) -> None:
    assert line in story(kind, **attempt)


@pytest.mark.parametrize(("columns", "shown"), [("80", False), ("120", True)])
def test_a_url_can_be_read_in_a_narrow_terminal(columns: str, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    url = "http://shop.example/cart"
    flow = {
        "id": 7, "kind": "http", "started": 0.0, "duration_ms": 3.0, "method": "CONNECT", "url": url, "status": 0,
        "failure": "timeout", "type": "text/html; x=yz", "response_size": 5 << 20, "is": ["blocked", "error"],
        "mark": "",
    }  # fmt: skip
    console = Console(width=int(columns))
    with console.capture() as captured:
        console.print(flow_table([flow]))
    head, row = captured.get().splitlines()[:2]
    assert url in row
    assert ("Type" in head, "text/html" in row, "5.0 MiB" in row) == (shown, shown, shown)

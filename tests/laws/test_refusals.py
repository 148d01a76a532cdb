"""Invariant 6: every refusal carries a note: which filter, which rule, why. So data answers "why was this blocked?"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.support.product import product
from tests.support.raw_client import ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.config.load import config_of

SCRIPT = """
import interpose

@interpose.filter
async def no(exchange, request, forward):
    raise interpose.Failure("http_request_denied", interpose.Side.DOWNSTREAM, "not today")
"""

UNCOUNTED = {
    "limit": [{"name": "few", "requests_per_s": 1.0, "on_failure": "deny"}],
    "limit_redis": {"url": "unix:///nowhere/redis.sock"},
}

# What is asked, of which role, with which more of the listener's and the configuration's tables: status and filter.
REFUSALS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], int, str]] = {
    "a stranger": ("GET /", "gateway", {"allow_from": ["192.0.2.0/24"]}, {}, 403, "allow"),
    "nobody": ("GET /", "gateway", {"auth": "users"}, {}, 401, "auth"),
    "nobody at a proxy": ("GET http://origin/", "proxy", {"auth": "users"}, {}, 407, "auth"),
    "too much": ("POST /", "gateway", {"limits": {"max_body_bytes": 2}}, {}, 413, "limits"),
    "an ambiguous path": ("GET /a%2fb", "gateway", {}, {}, 400, "path"),
    "a tunnel through a gateway": ("CONNECT a:443", "gateway", {}, {}, 501, "path"),
    "no route": ("GET /", "gateway", {"upstream": ""}, {"route": [{"path": "/x", "answer": {}}]}, 404, "router"),
    "a port": ("CONNECT 127.0.0.1:25", "proxy", {}, {}, 403, "destination"),
    "an address": ("GET http://169.254.169.254/", "proxy", {}, {}, 403, "dial"),
    "an address of a tunnel": ("CONNECT 169.254.169.254:80", "proxy", {}, {}, 403, "dial"),
    "a number that is no address": ("GET http://2130706433/", "proxy", {}, {}, 403, "dial"),
    "itself": ("POST http://self/", "proxy", {}, {}, 508, "dial"),
    "a loop": ("GET /loop", "gateway", {}, {}, 508, "forwarding"),
    "a limit": ("GET /", "gateway", {}, UNCOUNTED, 429, "limit"),
    "a script": ("GET /", "gateway", {}, {"script": [{"file": "no.py"}]}, 403, "script"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_says_which_filter_which_rule_and_why(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, role, listener, tables, status, filter_name = REFUSALS[name]
    (tmp_path / "users").write_bytes(b"anna:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    (tmp_path / "no.py").write_text(SCRIPT)
    async with RawOrigin(answering(OK)) as origin:
        config: dict[str, Any] = {
            "listener": [{"name": "main", "role": role, "address": "127.0.0.1:0", **listener}],
            **tables,
        }
        if role == "gateway":
            config["upstream"] = [{"name": "up", "servers": [origin.address]}]
            config["listener"][0].setdefault("upstream", "up")
        async with product(config_of(config, base=tmp_path)) as running:
            start = start.replace("origin", origin.address).replace("self", running.address())
            method = start.split(" ")[0]
            fields = "Via: 1.1 interpose, 1.1 interpose\r\n" if name == "a loop" else ""
            fields += "Content-Length: 5\r\n" if method == "POST" else ""
            wire = f"{start} HTTP/1.1\r\nHost: a\r\n{fields}\r\n" + ("abcde" if method == "POST" else "")
            answer = await ask(running.address(), wire.encode(), method)
    [line] = running.log
    assert (answer.status, line["status"]) == (status, status)
    notes = line["notes"]
    assert notes["filter"] == filter_name
    assert notes["rule"]
    assert notes["why"]
    assert origin.connections == []

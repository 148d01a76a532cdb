"""What an error page calls an exchange means this one and no other of the instance, whatever listener it was of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.raw_client import RawClient, ask
from tests.support.raw_socks import code_of, request

from interpose import serve
from interpose.config.load import config_of

DEADLINE_S = 15
NOT_ALLOWED = 2


async def test_listeners_of_a_worker_share_the_numbers_of_exchanges(tmp_path: Path) -> None:
    log = tmp_path / "log"
    config = config_of(
        {
            "log": {"access": str(log), "format": "json"},
            "listener": [
                {"name": "one", "role": "gateway", "address": "127.0.0.1:0"},
                {"name": "two", "role": "gateway", "address": "127.0.0.1:0"},
                {"name": "both", "role": "auto", "address": "127.0.0.1:0"},
                {"name": "echo", "role": "echo", "address": "127.0.0.1:0"},
            ],
            "access": [{"when": "listener:both", "action": "deny"}],
            "route": [{"name": "name", "answer": {"text": "{exchange}"}}],
        }
    )
    async with asyncio.timeout(DEADLINE_S), serve(config) as running:
        named = {
            (await ask(running.addresses[name], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).body for name in ("one", "two")
        }
        assert len(named) == 2
        refused = await ask(running.addresses["both"], b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert refused.status == 403
        assert await code_of(running.addresses["both"], request("127.0.0.1", 9)) == NOT_ALLOWED
        async with RawClient(running.addresses["echo"]) as client:
            client.send(b"hello")
            assert await client.until(b"hello") == b"hello"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["listener"] for line in lines} == {"one", "two", "both", "echo"}
    assert sorted(line["id"] for line in lines) == [f"0-{number}" for number in range(1, 6)]
    [reference] = [line["id"] for line in lines if line["method"] == "GET" and line["status"] == 403]
    assert f"reference {reference})".encode() in refused.body

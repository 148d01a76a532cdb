"""Access rules at work: HTTP, tunnels, SOCKS and relays, users, decisions of others, holds, and what stays beneath."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering
from tests.support.raw_socks import HELLO, came, request

from interpose import ConfigError, serve
from interpose.config.load import config_of, load
from interpose.config.office import Office
from interpose.storage.desk.review import Review
from interpose.storage.desk.store import Seen

DEADLINE_S = 15
NOT_ALLOWED = 2
EXAMPLES = Path(__file__).parents[2] / "examples"


def tables(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    listeners = [{"name": "proxy", "role": "proxy", "address": "127.0.0.1:0"}]
    return {"log": {"access": "off"}, "listener": listeners, "access": list(rules), **more}


def get(url: str, *lines: str) -> bytes:
    host = url.partition("://")[2].partition("/")[0]
    return "\r\n".join([f"GET {url} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


@asynccontextmanager
async def proxied(*rules: dict[str, Any], **more: Any) -> AsyncIterator[tuple[str, RawOrigin]]:
    async with RawOrigin(answering(OK)) as origin, serve(config_of(tables(*rules, **more))) as running:
        yield running.addresses["proxy"], origin


async def test_a_request_is_refused_with_the_status_and_the_words_of_its_rule() -> None:
    rules = ({"when": "path:/private/*", "action": "deny", "status": 451, "message": "Not for <you>."},)
    async with proxied(*rules) as (address, origin):
        url = f"http://{origin.address}"
        assert (await ask(address, get(f"{url}/public"))).status == 200
        answer = await ask(address, get(f"{url}/private/x", "Accept: text/html"))
        assert answer.status == 451
        assert b"Not for &lt;you&gt;." in answer.body
        assert len(origin.requests()) == 1


async def test_a_tunnel_is_refused_and_its_connection_never_made() -> None:
    async with proxied({"when": "method:CONNECT", "action": "deny"}) as (address, origin):
        request_ = f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()
        assert (await ask(address, request_)).status == 403
        assert not origin.connections


async def test_a_socks_client_and_a_connection_of_a_relay_are_asked_about_too() -> None:
    async with RawOrigin(answering(OK)) as origin:
        host, _, port = origin.address.rpartition(":")
        listeners = [
            {"name": "socks", "role": "socks", "address": "127.0.0.1:0"},
            {"name": "relay", "role": "relay", "address": "127.0.0.1:0", "upstream": "o"},
            {"name": "free", "role": "relay", "address": "127.0.0.1:0", "upstream": "o"},
        ]
        more = {"listener": listeners, "upstream": [{"name": "o", "servers": [origin.address]}]}
        rules = (
            {"when": f"listener:socks host:{host} port:{port}", "action": "deny"},
            {"when": "listener:relay from:127.0.0.0/8 kind:tcp", "action": "deny"},
        )
        async with serve(config_of(tables(*rules, **more))) as running:
            async with RawClient(running.addresses["socks"]) as client:
                client.send(HELLO)
                await came(client, 2)
                client.send(request(host, int(port)))
                await came(client, 4)
                assert client.received[3] == NOT_ALLOWED
            async with RawClient(running.addresses["relay"]) as client:
                await client.wait_for(lambda: client.has_ended)
            assert not origin.connections
            assert (await ask(running.addresses["free"], get("http://x/"))).status == 200


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_service_decides(allowed: bool) -> None:
    decision = msgspec.json.encode({"allow": allowed, "message": "The service says no."})
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(decision), decision)
    async with RawOrigin(answering(said)) as service:
        rule = {"action": "ask", "name": "ask", "ask": {"service": f"http://{service.address}/may"}}
        async with proxied(rule) as (address, origin):
            for _ in range(2):
                answer = await ask(address, get(f"http://{origin.address}/x"))
                assert answer.status == (200 if allowed else 403)
            assert (b"The service says no." in answer.body) is not allowed
            assert len(service.requests()) == 1  # the second time it is remembered
            assert len(origin.requests()) == (2 if allowed else 0)
            assert b'"url":"http://' + origin.address.encode() + b'/x"' in service.received


async def test_a_script_decides_and_may_take_its_time(tmp_path: Path) -> None:
    script = tmp_path / "decide.py"
    script.write_text(
        "import asyncio, interpose\n"
        "@interpose.decision\n"
        "async def decide(exchange, request):\n"
        "    async with asyncio.timeout(5):\n"
        "        await asyncio.sleep(0)\n"
        "    if request.target.path == '/no': return interpose.Decision(False, 'Not that one.')\n"
        "    return request.target.path == '/yes'\n"
    )
    async with proxied({"action": "ask", "ask": {"script": str(script)}}) as (address, origin):
        url = f"http://{origin.address}"
        statuses = [(await ask(address, get(url + path))).status for path in ("/yes", "/no", "/else")]
        assert statuses == [200, 403, 403]


async def test_a_reload_leaves_what_decides_and_a_changed_script_decides_anew(tmp_path: Path) -> None:
    script = tmp_path / "decide.py"
    source = "import interpose\n@interpose.decision\nasync def decide(exchange, request): return {}\n"
    script.write_text(source.format("True"))
    allow = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"allow":true}'
    async with RawOrigin(answering(OK)) as origin, RawOrigin(answering(allow)) as service:
        ask_service = {"when": "path:/s", "action": "ask", "ask": {"service": f"http://{service.address}/"}}
        ask_script = {"when": "path:/f", "action": "ask", "ask": {"script": str(script), "ttl_s": 0}}
        config = config_of(tables(ask_service, ask_script))
        async with serve(config) as running:
            address, url = running.addresses["proxy"], f"http://{origin.address}"
            assert [(await ask(address, get(url + path))).status for path in ("/s", "/f")] == [200, 200]
            for _ in range(2):
                await running.reload(config)
            assert [(await ask(address, get(url + path))).status for path in ("/s", "/f")] == [200, 200]
            assert len(service.requests()) == 1  # what it has said is still known
            script.write_text(source.format("False   "))
            async with asyncio.timeout(DEADLINE_S):
                while (await ask(address, get(f"{url}/f"))).status != 403:  # noqa: ASYNC110 - a file is looked at
                    await asyncio.sleep(0.05)


async def test_what_a_rule_limits_goes_on_under_its_limit_and_nothing_else_does() -> None:
    limit = {"name": "slow", "only_by_rule": True, "requests_per_s": 0.01, "burst": 1}
    rule = {"when": "path:/big/*", "action": "limit", "limit": "slow"}
    async with proxied(rule, limit=[limit]) as (address, origin):
        paths = ("/big/1", "/big/2", "/other", "/other")
        statuses = [(await ask(address, get(f"http://{origin.address}{path}"))).status for path in paths]
        assert statuses == [200, 429, 200, 200]


async def test_what_a_rule_holds_waits_at_the_desk(tmp_path: Path) -> None:
    process = {"name": "held", "state_dir": str(tmp_path), "grace_s": 0.0}
    config = config_of(tables({"when": "path:/held", "action": "hold", "name": "look"}, process=process))
    office = Office(config)
    async with RawOrigin(answering(OK)) as origin, serve(config, office=office) as running:
        asking = asyncio.create_task(ask(running.addresses["proxy"], get(f"http://{origin.address}/held")))
        assert office.desk is not None
        review = Review(office.desk)
        async with asyncio.timeout(DEADLINE_S):
            while not (holds := (await review.listed("all")).holds):  # noqa: ASYNC110 - as a page asks
                await asyncio.sleep(0.01)
        (row,) = holds
        assert row.rule == "look"
        assert not origin.connections
        hold = await review.shown(row.id)
        await review.release(row.id, Seen(hold.version, bytes.fromhex(hold.digest)), "ann")
        assert (await asking).status == 200


async def test_a20_a21_a22_what_a_rule_allows_is_refused_all_the_same_where_it_leads_nowhere_good() -> None:
    async with proxied({"when": "*", "action": "allow"}) as (address, _):
        assert (await ask(address, get("http://169.254.169.254/"))).status == 403
        assert (await ask(address, b"CONNECT 192.0.2.1:25 HTTP/1.1\r\nHost: 192.0.2.1:25\r\n\r\n")).status == 403
        posted = f"POST http://{address}/ HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n".encode()
        assert (await ask(address, posted)).status == 508


def test_a19_a_rule_does_not_open_a_proxy_to_others() -> None:
    listeners = [{"name": "proxy", "role": "proxy", "address": "0.0.0.0:0"}]
    with pytest.raises(ConfigError, match="allow_from"):
        config_of(tables({"when": "*", "action": "allow"}, listener=listeners))


async def test_the_example_keeps_ben_from_games_and_adverts_and_lets_ann_through(tmp_path: Path) -> None:
    example = load(EXAMPLES / "forward.toml")
    (listener,) = example.listeners
    process = replace(example.process, name="forward", state_dir=str(tmp_path), grace_s=0.0)
    config = replace(
        example,
        process=process,
        log=replace(example.log, access="off"),
        journal=None,
        listeners=(replace(listener, address="127.0.0.1:0"),),
    )
    async with RawOrigin(answering(OK)) as origin, serve(config) as running:
        address, url = running.addresses["proxy"], f"http://{origin.address}/"
        codes = (b64encode(f"{who}:example".encode()).decode() for who in ("ann", "ben"))
        ann, ben = (f"Proxy-Authorization: Basic {code}" for code in codes)
        assert (await ask(address, get(url))).status == 407
        assert (await ask(address, get(url, ben))).status == 200
        upload = f"POST {url} HTTP/1.1\r\nHost: {origin.address}\r\n{{}}\r\nContent-Length: 0\r\n\r\n"
        assert (await ask(address, upload.format(ben).encode())).status == 403
        assert (await ask(address, upload.format(ann).encode())).status == 200
        answer = await ask(address, get("http://x.adverts.example/", ben, "Accept: text/html"))
        assert answer.status == 403
        assert b"Go there anyway" in answer.body


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"when": "status:200", "action": "deny"}, "`status` is known when the head of the response is there"),
        ({"when": "route:x", "action": "deny"}, "`route` is known when a route is chosen"),
        ({"action": "ask"}, r"ask: is missing; say who is asked"),
        ({"action": "deny", "ask": {"service": "http://x/"}}, 'is for action = "ask"'),
        ({"action": "ask", "ask": {"service": "ftp://x/"}}, "is not a URL"),
        ({"action": "deny", "listeners": ["nobody"]}, "nobody"),
        ({"when": "host:x"}, "action: is missing"),
        ({"action": "limit"}, "limit: is missing; name a"),
        ({"action": "limit", "limit": "none"}, "there is no limit of that name"),
        ({"action": "deny", "limit": "x"}, 'is for action = "limit"'),
    ],
)
def test_a_rule_that_cannot_be_asked_is_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of(tables(rule))

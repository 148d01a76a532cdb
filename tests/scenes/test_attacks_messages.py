"""A5, A7, A9, A10, A11: what a message says about itself outside of what everybody checks, and answers that contradict
their question."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering, saying, silent

from interpose import Config, gateway_config
from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]


def script(directory: Path, body: str) -> str:
    """A script with one filter of this body, which forwards unless that returns."""
    file = directory / "script.py"
    head = "import interpose\n\n@interpose.filter\nasync def changes(exchange, request, forward):\n"
    file.write_text(f"{head}    {body}\n    return await forward(exchange, request)\n")
    return str(file)


def proxy(*scripts: str) -> Config:
    listener = {"name": "main", "role": "proxy", "address": LOCAL[0]}
    return config_of({"listener": [listener], "script": [{"file": script} for script in scripts]})


def gateway(origin: str, *scripts: str, **listener: Any) -> Config:
    return config_of(
        {
            "listener": [{"name": "main", "role": "gateway", "address": LOCAL[0], "upstream": "up", **listener}],
            "upstream": [{"name": "up", "servers": [origin]}],
            "script": [{"file": script} for script in scripts],
        }
    )


async def test_a11_trailers_claim_no_identity_and_steer_nothing() -> None:
    claims = (
        b"X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nVia: 1.1 a\r\nIf-Match: b\r\n"
    )
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await origin.connected()
        await origin.connections[0].until(b"abc\r\n")
        client.send(b"0\r\n" + claims + b"X-Sum: 7\r\n\r\n")
        await client.answers("POST")
    assert origin.received.endswith(b"\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")
    assert b"6.6.6.6" not in origin.received


async def test_a11_the_scheme_that_an_origin_is_told_is_that_of_the_connection() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        refused = await ask(running.address(), b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
        options = await ask(running.address(), b"OPTIONS https://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS")
        passed = await ask(running.address(), b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n")
    assert [refused.status, options.status, passed.status] == [421, 421, 200]
    [request] = origin.requests()
    assert request.values("host") == ["a"]
    assert request.values("x-forwarded-proto") == ["http"]
    assert request.values("forwarded") == ["for=127.0.0.1;host=a;proto=http"]


async def test_a11_a_client_of_a_unix_socket_has_no_name_of_its_own_choice(tmp_path: Path) -> None:
    listening, claim = f"unix:{tmp_path}/listener", f"{tmp_path}/c, 6.6.6.6"
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], [listening])) as running:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.setblocking(False)
            raw.bind(claim)
            await asyncio.get_running_loop().sock_connect(raw, listening.removeprefix("unix:"))
            await asyncio.get_running_loop().sock_sendall(raw, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw, 1000), 5)
        await running.logged(1)
    [request] = origin.requests()
    assert request.values("x-forwarded-for") == ["unknown"]
    assert b"6.6.6.6" not in origin.received


@pytest.mark.parametrize(("asked", "forwarded"), [("HEAD", "GET"), ("GET", "HEAD")])
async def test_a10_the_answer_belongs_to_what_the_client_asked_whatever_a_script_made_of_it(
    asked: str, forwarded: str, tmp_path: Path
) -> None:
    changed = script(tmp_path, f"request.method = {forwarded!r}; request.version = 0")
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, changed)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"{asked} / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        first, second = await client.answers(asked, "GET")
    assert (first.status, first.body) == (200, b"")
    assert second.status == 200
    assert [request.method for request in origin.requests()] == [forwarded] * 2


async def test_a5_an_answer_that_a_script_made_a_refusal_is_no_tunnel(tmp_path: Path) -> None:
    refusing = script(tmp_path, "response = await forward(exchange, request); response.status = 403; return response")
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with (
        RawOrigin(saying(switch)) as origin,
        product(gateway(origin.address, refusing)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        [answer] = await client.answers("GET")
        assert answer.status == 403
        await origin.connections[0].gone()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await origin.connected(2)
    assert len(origin.requests()) == 2


@pytest.mark.parametrize(("status", "text"), [(200, "no tunnel"), (204, "")])
async def test_a5_a_success_for_connect_that_is_no_tunnel_ends_with_the_connection(
    tmp_path: Path, status: int, text: str
) -> None:
    claiming = script(tmp_path, f"return interpose.Response({status}, body=interpose.Body({text.encode()!r}))")
    async with product(proxy(claiming)) as running, RawClient(running.address()) as client:
        client.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        head, _, content = (await client.rest()).partition(b"\r\n\r\n")
    assert content == text.encode()
    assert b"content-length" not in head.lower()
    assert b"transfer-encoding" not in head.lower()


async def test_a7_an_answer_without_content_claims_none() -> None:
    """To HEAD as well (RFC 9110, 8.6)."""
    async with (
        RawOrigin(saying(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
    ):
        answer = await ask(running.address(), b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD")
    assert answer.status == 204
    assert answer.values("content-length") == []


async def test_a5_a_script_makes_no_tunnel_of_a_request(tmp_path: Path) -> None:
    changed = script(tmp_path, "request.method = 'CONNECT'")
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, changed), may_log_errors=True) as running,
    ):
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 500
    assert not origin.connections


async def test_a_tunnel_that_a_script_opens_for_a_client_that_left_is_closed(tmp_path: Path) -> None:
    stubborn = script(
        tmp_path,
        """import asyncio
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        pass""",
    )
    async with RawOrigin(silent) as origin, product(proxy(stubborn)) as running:
        async with RawClient(running.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            await running.when(lambda: running.counters["exchanges"] == 1)
            client.reset()
        await origin.connected()
        await origin.connections[0].gone()


async def test_options_of_a_server_as_a_whole_reach_that_server() -> None:
    """The last proxy asks it for `*` (RFC 9112, 3.2.4); `OPTIONS *` is for the proxy itself."""
    async with RawOrigin(answering(OK)) as origin, product(proxy()) as running:
        server = origin.address.encode()
        its = await ask(running.address(), b"OPTIONS http://%b HTTP/1.1\r\nHost: a\r\n\r\n" % server, "OPTIONS")
        ours = await ask(running.address(), b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n\r\n" % server, "OPTIONS")
        await running.logged(2)
    assert (its.status, ours.status) == (200, 404)
    assert origin.received.startswith(b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n" % server)
    assert len(origin.requests()) == 1
    assert running.log[0]["target"] == f"http://{origin.address}"


async def test_a37_no_server_learns_the_password_for_the_proxy() -> None:
    """Clients send it unasked once they know it, also to a proxy that asks for none."""
    secret = b"Proxy-Authorization: Basic c2VjcmV0OnBhc3M=\r\n"
    asking = b"HTTP/1.1 407 Give me\r\nProxy-Authenticate: Basic realm=a\r\nContent-Length: 0\r\n\r\n"
    async with RawOrigin(answering(asking)) as origin, product(proxy()) as running:
        target = origin.address.encode()
        await ask(running.address(), b"GET http://%b/ HTTP/1.1\r\nHost: a\r\n%bX-Kept: 1\r\n\r\n" % (target, secret))
    [request] = origin.requests()
    assert request.values("proxy-authorization") == []
    assert request.values("x-kept") == ["1"]


async def test_nothing_is_expected_where_a_script_left_no_content(tmp_path: Path) -> None:
    """RFC 9110, 10.1.1."""
    emptied = script(tmp_path, "request.body = interpose.Body()")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address, emptied)) as running:
        assert (await ask(running.address(), head, "POST")).status == 200
    assert b"expect" not in origin.received.lower()

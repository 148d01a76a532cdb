"""A5, A7, A9, A10, A11: what a message says about itself outside of what everybody checks, and answers that contradict
their question."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import Config, gateway_config
from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]


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

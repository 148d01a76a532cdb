"""A5, A7, A9, A10, A11: what a message says about itself outside of what everybody checks, and answers that contradict
their question."""

from __future__ import annotations

from typing import Any

from tests.support.product import product
from tests.support.raw_client import RawClient
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

"""A26, A27: what a client sends, or does not take, never makes us hold more than a bounded amount for it."""

from __future__ import annotations

import pytest
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import gateway_config

LOCAL = ["127.0.0.1:0"]


@pytest.mark.parametrize("begins", [b"\r\n\r\n", b"\r\n\r\nGET", b"\r\n\n"], ids=repr)
async def test_a27_nothing_is_collected_behind_more_than_one_empty_line(begins: bytes) -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(begins + b"A" * 1000)
            [answer] = await client.answers("GET")
            assert answer.status == 400
            await client.rest()
        assert not origin.connections

"""Names of a relay's servers are looked up at the start, and only what is not known is spoken of."""

import asyncio
import logging

import pytest

from interpose.config.load import config_of
from interpose.config.name_check import NameCheck, names_of
from interpose.core.failure import Failure, Side

CONFIG = config_of(
    {
        "listener": [
            {"address": "127.0.0.1:0", "role": "relay", "upstream": "one"},
            {"address": "127.0.0.1:0", "role": "gateway", "upstream": "other"},
        ],
        "upstream": [
            {"name": "one", "servers": ["a.example:1", "tls://b.example:2", "a.example:3", "192.0.2.1:1", "unix:/x"]},
            {"name": "other", "servers": ["http://c.example"]},
        ],
    }
)


def test_only_names_are_looked_up_each_once() -> None:
    assert names_of(CONFIG) == [("one", "a.example"), ("one", "b.example")]


async def test_a_name_that_is_not_known_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    asked, done = [], asyncio.Event()

    async def resolve(host: str) -> None:
        asked.append(host)
        if host == "a.example":
            raise Failure("dns_error", Side.UPSTREAM, "The name 'a.example' has no address.")
        done.set()

    check = NameCheck()
    with caplog.at_level(logging.WARNING):
        check.begin(CONFIG, resolve)
        await asyncio.wait_for(done.wait(), 5)
    assert asked == ["a.example", "b.example"]
    [record] = caplog.records
    assert record.getMessage() == (
        "upstream one: The name 'a.example' has no address. Connections to it fail until that changes."
    )


async def test_the_look_ends_with_its_owner() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def resolve(host: str) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    check = NameCheck()
    check.begin(CONFIG, resolve)
    await asyncio.wait_for(begun.wait(), 5)
    check.end()
    await asyncio.wait_for(ended.wait(), 5)

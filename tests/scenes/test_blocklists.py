"""Block lists at work: from files and from servers, kept, refreshed, and loaded by who serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering
from tests.support.raw_socks import HELLO, came, request

from interpose import Config, ConfigError, serve
from interpose.config.blocklist_keeper import BlockListKeeper
from interpose.config.load import config_of
from interpose.config.office import Office

DEADLINE_S = 10


def configured(place: Path, *lists: dict[str, Any], **more: Any) -> Config:
    return config_of(
        {
            "process": {"name": "lists", "state_dir": str(place), "grace_s": 0.0},
            "log": {"access": "off"},
            "listener": [{"name": "proxy", "role": "auto", "address": "127.0.0.1:0"}],
            "blocklist": list(lists),
            **more,
        }
    )


def get(url: str, *lines: str) -> bytes:
    host = url.partition("://")[2].partition("/")[0]
    return "\r\n".join([f"GET {url} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in a thread
            await asyncio.sleep(0.02)


class ListServer:
    """Answers with what `content` is at the time; 304 to who has it already."""

    def __init__(self) -> None:
        self.content = b""
        self.status = 200
        self.heads: list[bytes] = []

    async def __call__(self, connection: Connection) -> None:
        while True:
            asked = await connection.request()
            self.heads.append(connection.received)
            tag = b'"%d"' % hash(self.content)
            if self.status == 200 and ("if-none-match", tag.decode()) in [(k.lower(), v) for k, v in asked.fields]:
                await connection.send(b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n\r\n" % tag)
                continue
            head = b"HTTP/1.1 %d X\r\nETag: %b\r\nContent-Length: %d\r\n\r\n" % (self.status, tag, len(self.content))
            await connection.send(head + self.content)


async def test_a_list_in_a_file_blocks_requests_tunnels_and_socks_and_is_read_again_when_it_changes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bad.txt"
    file.write_text("blocked.example\n")
    config = configured(tmp_path, {"name": "bad", "file": str(file), "format": "domains"})
    office = Office(config)
    keeper = office.services["blocklist"]
    assert isinstance(keeper, BlockListKeeper)
    async with RawOrigin(answering(OK)) as origin, serve(config, office=office) as running:
        address = running.addresses["proxy"]
        assert (await ask(address, get(f"http://{origin.address}/"))).status == 200
        answer = await ask(address, get("http://www.blocked.example/", "Accept: text/html"))
        assert answer.status == 403
        assert "“bad”".encode() in answer.body
        connect = b"CONNECT blocked.example:443 HTTP/1.1\r\nHost: blocked.example:443\r\n\r\n"
        assert (await ask(address, connect)).status == 403
        async with RawClient(address) as client:
            client.send(HELLO + request("Blocked.Example.", 443))
            await came(client, 4)
            assert client.received[3] == 2  # not allowed
        file.write_text("127.0.0.1\n")
        await asyncio.to_thread(keeper.compile)

        async def is_blocked() -> bool:
            return (await ask(address, get(f"http://{origin.address}/"))).status == 403

        await until(is_blocked)
        assert keeper.rows()[0]["rules"] == 1


async def test_a_list_is_fetched_kept_and_the_old_one_goes_on_when_the_new_one_is_broken(tmp_path: Path) -> None:
    script = ListServer()
    script.content = b"||blocked.example^\n"
    now = 1_000_000.0
    async with RawOrigin(script) as origin:
        one = {"name": "fetched", "url": f"http://{origin.address}/list.txt", "format": "filters", "refresh_s": 600}
        config = configured(tmp_path, one)
        keeper = BlockListKeeper(config, lambda: now, look_s=3600.0, jitter=0.0)

        async def look() -> dict[str, Any]:
            await keeper._fetch_if_due(config.blocklists[0])
            await asyncio.to_thread(keeper.compile)
            return keeper.rows()[0]

        await keeper.open()
        row = await look()
        assert (row["rules"], row["fetched_at"], row["problem"]) == (1, now, "")
        assert len(script.heads) == 1
        await look()
        assert len(script.heads) == 1  # not due yet
        now += 600
        assert (await look())["fetched_at"] == now  # 304
        assert len(script.heads) == 2
        assert b"\r\nIf-None-Match: " in script.heads[1]
        for content, status, problem in (
            (b"<!DOCTYPE html><p>Sorry", 200, "a web page"),
            (b"", 200, "no list"),
            (b"||x.example^", 500, "answered 500"),
        ):
            script.content, script.status = content, status
            now += 600
            row = await look()
            assert problem in row["problem"]
            assert row["rules"] == 1
        again = BlockListKeeper(config, lambda: now, look_s=3600.0)
        await again.open()  # another start has what was kept, without its server
        assert again.rows()[0]["rules"] == 1
        script.content, script.status = b"||blocked.example^\n||more.example^\n", 200
        now += 600
        assert (await look())["rules"] == 2


async def test_a_reload_brings_a_list_and_takes_it_away(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("127.0.0.1\n")
    one = {"name": "l", "file": str(tmp_path / "l"), "format": "domains"}
    without, with_list = configured(tmp_path), configured(tmp_path, one)
    async with RawOrigin(answering(OK)) as origin, serve(without) as running:
        for config, status in ((without, 200), (with_list, 403), (without, 200)):
            await running.reload(config)
            assert (await ask(running.addresses["proxy"], get(f"http://{origin.address}/"))).status == status


async def test_large_lists_are_compiled_by_a_process_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("".join(f"host{number}.example\n" for number in range(60_000)))
    config = configured(tmp_path, {"name": "l", "file": str(tmp_path / "l"), "format": "domains"})
    keeper = BlockListKeeper(config)
    with patch("interpose.config.blocklist_keeper.compile_lists") as here:
        await keeper.open()
    assert not here.called
    assert keeper.rows()[0]["rules"] == 60_000


async def test_without_an_office_what_is_in_files_holds_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("0.0.0.0 blocked.example\n")
    config = configured(tmp_path, {"name": "h", "file": str(tmp_path / "hosts"), "format": "hosts"})
    async with serve(config) as running:
        assert (await ask(running.addresses["proxy"], get("http://blocked.example/"))).status == 403


async def test_who_may_goes_there_anyway(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("127.0.0.1 127.0.0.1\n")
    config = configured(tmp_path, {"name": "l", "file": str(tmp_path / "l"), "format": "hosts", "bypass": True})
    async with RawOrigin(answering(OK)) as origin, serve(config) as running:
        address = running.addresses["proxy"]
        page = await ask(address, get(f"http://{origin.address}/x", "Accept: application/json"))
        assert page.status == 403
        link = page.body.partition(b'"anyway":"')[2].partition(b'"')[0].decode()
        answer = await ask(address, get(link))
        assert answer.status == 303
        cookie = {key.lower(): value for key, value in answer.fields}["set-cookie"].partition(";")[0]
        assert (await ask(address, get(f"http://{origin.address}/x", f"Cookie: {cookie}"))).status == 200
        assert cookie.encode() not in origin.received


@pytest.mark.parametrize(
    ("one", "says"),
    [
        ({"name": "l", "format": "hosts"}, "has neither file nor url"),
        ({"name": "l", "format": "hosts", "file": "/dev/null", "url": "http://x/"}, "stands beside file"),
        ({"name": "l", "format": "host", "file": "/dev/null"}, "format"),
        ({"name": "", "format": "hosts", "file": "/dev/null"}, "must not be empty"),
        ({"name": "l", "format": "hosts", "file": "/dev/null", "listeners": ["nobody"]}, "nobody"),
    ],
)
def test_a_list_that_comes_from_nowhere_is_refused(one: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        configured(tmp_path, one)

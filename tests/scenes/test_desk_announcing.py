"""Somebody is told that a message waits: on the terminal, and at a URL."""

from __future__ import annotations

import asyncio
import io
import json

import msgspec
import pytest
from tests.support.desk_conformance import held, request
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.config.announcing import MOST_QUEUED, Announcing, Bell, Webhook, body_for, sentence
from interpose.config.desk_model import Desk
from interpose.core.hold import Content, HeldMessage, What
from interpose.storage.desk.store import Store
from interpose.storage.desk.views import HoldRow, row_of

DEADLINE_S = 20
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def row(tmp_path_factory: pytest.TempPathFactory) -> HoldRow:
    store = Store(str(tmp_path_factory.mktemp("desk") / "desk"))
    message = HeldMessage(
        What.REQUEST, "POST", "http://shop.example/pay?card=4111", fields=request().fields, content=Content.of(b"1")
    )
    try:
        return row_of(store.put(held(message, id="abcdefgh", rule="payments", at=1000.0)), True, [])
    finally:
        store.close()


class Terminal(io.StringIO):
    def __init__(self, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_a_terminal_is_told_and_rings_once_a_second(row: HoldRow) -> None:
    clock = [0.0]
    terminal = Terminal()
    bell = Bell(terminal, lambda: clock[0])
    line = f"{sentence(row)}\n"
    for now, told in ((100.0, "\a" + line), (100.5, line), (101.0, "\a" + line)):
        clock[0] = now
        bell.ring(row)
        assert terminal.getvalue() == told
        terminal.seek(0)
        terminal.truncate()
    assert sentence(row) == (
        "A request is held: POST http://shop.example/pay?card=4111 from 127.0.0.1:40000 (payments). "
        "See: interpose desk show abcdefgh"
    )


def test_what_is_no_terminal_is_left_alone(row: HoldRow) -> None:
    pipe = Terminal(is_terminal=False)
    Bell(pipe, lambda: 0.0).ring(row)
    assert pipe.getvalue() == ""


def test_a_terminal_never_gets_control_characters_of_a_message(row: HoldRow) -> None:
    terminal = Terminal()
    Bell(terminal, lambda: 0.0).ring(msgspec.structs.replace(row, url="http://a/\x1b]0;title\x07\n"))
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().count("\a") == 1
    assert terminal.getvalue().count("\n") == 1


async def until_idle(webhook: Webhook) -> None:
    assert webhook._task is not None
    async with asyncio.timeout(DEADLINE_S):
        await webhook._task


async def test_a_webhook_is_posted_what_waits_without_its_query(row: HoldRow) -> None:
    async with RawOrigin(answering(OK)) as origin:
        webhook = Webhook(f"http://ann:secret@{origin.address}/hook?x=1")
        webhook.tell(row)
        await until_idle(webhook)
    [connection] = origin.connections
    head, _, body = connection.received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook?x=1 HTTP/1.1"
    assert b"Content-Type: application/json" in lines
    assert b"Authorization: Basic YW5uOnNlY3JldA==" in lines
    assert body == body_for(row)
    said = json.loads(body)
    assert said["text"].startswith("A request is held: POST http://shop.example/pay from ")
    assert said["hold"]["id"] == "abcdefgh"
    assert said["hold"]["url"] == "http://shop.example/pay"
    assert b"4111" not in body


async def test_a_webhook_that_fails_is_tried_thrice_and_the_next_is_told_all_the_same(row: HoldRow) -> None:
    async with RawOrigin(answering(BAD)) as origin:
        webhook = Webhook(f"http://{origin.address}/", delays_s=(0.0, 0.0))
        webhook.tell(row)
        webhook.tell(row)
        await until_idle(webhook)
        assert sum(connection.received.count(b"POST / ") for connection in origin.connections) == 6
    assert webhook.dropped == 2


async def test_a_webhook_that_nobody_serves_piles_nothing_up(row: HoldRow) -> None:
    async with RawOrigin(answering(OK)) as origin:
        address = origin.address
    webhook = Webhook(f"http://{address}/", delays_s=(60.0, 60.0))
    for _ in range(MOST_QUEUED + 20):
        webhook.tell(row)
    assert webhook.dropped == 20
    await webhook.close()


async def test_the_table_says_who_is_told(row: HoldRow) -> None:
    async with RawOrigin(answering(OK)) as origin:
        announcing = Announcing(Desk(bell=False, webhook=f"http://{origin.address}/"))
        announcing.tell(row)
        assert announcing._webhook is not None
        await until_idle(announcing._webhook)
        await announcing.close()
        assert len(origin.connections) == 1
    silent = Announcing(Desk(bell=False))
    silent.tell(row)
    await silent.close()

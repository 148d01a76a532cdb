"""What happens, as it happens, for whoever watches: also slowly, also again."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc

import pytest
from starlette.requests import Request
from tests.support.asgi import Asgi
from tests.support.console import Console

from interpose.console import event_stream
from interpose.console.events import HISTORY_BYTES, HISTORY_EVENTS, MOST_CLIENTS, Events, TooMany


def said(text: bytes) -> list[tuple[str, str, str]]:
    """Id, kind and data of each event in a stream."""
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("id", ""), fields["event"], fields["data"]))
    return found


def drained(client: object) -> list[tuple[str, str, str]]:
    found = []
    while text := client.next():  # type: ignore[attr-defined]
        found += said(text)
    return found


def test_events_come_in_order_with_ids() -> None:
    events = Events()
    client = events.client()
    assert client.next() == b""
    events.publish("flow", {"id": 1})
    events.publish("hold", {"id": "a\nb"})
    run = events.run
    assert drained(client) == [(f"{run}-1", "flow", '{"id":1}'), (f"{run}-2", "hold", '{"id":"a\\nb"}')]
    assert client.next() == b""


def test_nothing_is_made_of_an_event_that_nobody_watches() -> None:
    def never(_: object) -> bytes:
        raise AssertionError("JSON for nobody")

    events = Events(never)
    for _ in range(1000):
        events.publish("flow", object())
    assert events.newest == 1000
    assert not events.has_clients
    client = events.client()
    client.close()
    events.publish("flow", object())


def test_an_event_that_nobody_watches_costs_less_than_two_microseconds() -> None:
    events = Events()
    best = min(_timed(events, 10_000) for _ in range(5))
    assert best < 2e-6


def _timed(events: Events, count: int) -> float:
    data = {"id": 1}
    began = time.perf_counter()
    for _ in range(count):
        events.publish("flow", data)
    return (time.perf_counter() - began) / count


def test_who_comes_back_goes_on_where_it_was() -> None:
    events = Events()
    watching, leaving = events.client(), events.client()
    for number in range(5):
        events.publish("flow", number)
    last = said(leaving.next())[-1][0]
    leaving.close()
    events.publish("flow", "while away")
    assert [data for _, _, data in drained(events.client(last))] == ['"while away"']
    assert drained(events.client(f"{events.run}-999999")) == []
    assert len(drained(watching)) == 6


def test_who_comes_back_to_nobody_is_told_how_many_passed() -> None:
    events = Events()
    first = events.client()
    events.publish("flow", 1)
    last = said(first.next())[-1][0]
    first.close()
    events.publish("flow", 2)
    events.skip(3)
    back = events.client(last)
    assert drained(back) == [(f"{events.run}-5", "dropped", '{"count":4}')]
    events.publish("flow", 6)
    assert drained(back) == [(f"{events.run}-6", "flow", "6")]


def test_a_gap_in_the_middle_is_told_in_its_place() -> None:
    events = Events()
    first = events.client()
    events.publish("flow", 1)
    events.publish("flow", 2)
    first.close()
    events.publish("flow", 3)
    second = events.client()
    events.publish("flow", 4)
    back = events.client(f"{events.run}-1")
    assert [(kind, data) for _, kind, data in drained(back)] == [
        ("flow", "2"),
        ("dropped", '{"count":1}'),
        ("flow", "4"),
    ]
    assert [data for _, _, data in drained(second)] == ["4"]


@pytest.mark.parametrize("last_id", ["ffffffff-3", "0-1", "-", "-5"])
def test_an_id_of_another_run_is_a_gap(last_id: str) -> None:
    events = Events()
    events.skip(7)
    assert [(kind, data) for _, kind, data in drained(events.client(last_id))] == [("dropped", '{"count":7}')]


@pytest.mark.parametrize("last_id", ["", "5", "x"])
def test_an_id_that_is_none_begins_now(last_id: str) -> None:
    events = Events()
    events.skip(7)
    assert drained(events.client(last_id)) == []


def test_a36_a_slow_client_loses_the_oldest_and_is_told() -> None:
    events = Events()
    slow, quick = events.client(), events.client()
    got = 0
    for number in range(3 * HISTORY_EVENTS):
        events.publish("flow", number)
        got += len(said(quick.next()))
    assert got == 3 * HISTORY_EVENTS
    found = drained(slow)
    assert found[0][1:] == ("dropped", f'{{"count":{2 * HISTORY_EVENTS}}}')
    assert [int(data) for _, kind, data in found if kind == "flow"] == list(
        range(2 * HISTORY_EVENTS, 3 * HISTORY_EVENTS)
    )


def test_a36_the_history_is_bounded_by_octets_too() -> None:
    events = Events()
    slow = events.client()
    for _ in range(100):
        events.publish("flow", "x" * 100_000)
    assert events._ring_bytes <= HISTORY_BYTES
    found = drained(slow)
    assert (found[0][1], len(found) - 1) == ("dropped", len(events._ring))
    assert len(found) - 1 + int(found[0][2][9:-1]) == 100


def test_a36_however_many_are_stuck_memory_stays() -> None:
    events = Events()
    stuck = [events.client() for _ in range(10)]
    row = {"url": "http://shop.example/" + "x" * 200}
    events.publish("flow", row)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(60_000):
            events.publish("flow", row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert all(said(client.next())[0][1] == "dropped" for client in stuck)


def test_there_is_an_end_to_how_many_watch() -> None:
    events = Events()
    clients = [events.client() for _ in range(MOST_CLIENTS)]
    with pytest.raises(TooMany):
        events.client()
    clients[0].close()
    events.client()


async def test_the_stream_carries_what_happens(console: Console) -> None:
    page = await console.page("viewer")
    async with page.stream("/events") as stream:
        await stream.until("retry: 2000\n\n")
        assert (stream.status, stream.fields["content-type"]) == (200, "text/event-stream; charset=utf-8")
        console.events.publish("flow", {"id": 1})
        await stream.until('data: {"id":1}\n\n')
    assert not console.events.has_clients


async def test_the_stream_resumes(console: Console) -> None:
    page = await console.page()
    async with page.stream("/events") as stream:
        console.events.publish("flow", 1)
        await stream.until("retry")
        console.events.publish("flow", 2)
        text = await stream.until("data: 2\n")
        last = text.rsplit("id: ")[-1].partition("\n")[0]
        async with page.stream("/events") as other:
            await other.until("retry")
            console.events.publish("flow", 3)
            async with page.stream("/events", {"Last-Event-ID": last}) as resumed:
                assert "data: 2\n" not in await resumed.until("data: 3\n")


async def test_a_quiet_stream_says_that_it_is_there() -> None:
    events = Events()

    async def application(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await event_stream.event_stream(events, Request(scope), heartbeat_s=0.01)(scope, receive, send)

    async with Asgi(application).stream("/") as stream:
        await stream.until(": still here\n\n", times=3)


async def test_a36_nothing_is_sent_to_a_client_that_does_not_read(console: Console) -> None:
    page = await console.page()
    async with page.stream("/events") as stream:
        await stream.until("retry")
        stream.stop_reading()
        for number in range(5000):
            console.events.publish("flow", number)
            if number % 500 == 0:
                await asyncio.sleep(0)
        assert "4999" not in stream.text
        stream.read_on()
        text = await stream.until("data: 4999\n")
        assert 'event: dropped\ndata: {"count":' in text


async def test_a_stuck_client_is_let_go(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "STUCK_S", 0.05)
    page = await console.page()
    async with page.stream("/events") as stream:
        await stream.until("retry")
        stream.stop_reading()
        console.events.publish("flow", 1)
        async with asyncio.timeout(10):
            while console.events.has_clients:  # noqa: ASYNC110 - no event of ours
                await asyncio.sleep(0.01)


async def test_streams_end_with_the_console(console: Console) -> None:
    page = await console.page()
    async with page.stream("/events") as stream:
        await stream.until("retry")
        console.events.close()
        await stream.ends()
    assert (await page.get("/events")).status == 503

"""Spans on their way to a collector that takes them, refuses them, is away, or is too slow."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.span import SERVER, Span
from interpose.engine import span_exporter
from interpose.engine.span_exporter import LARGEST_BATCH, MOST_WAITING, Counts, SpanExporter


class Collector:
    """Takes what is sent as long as `gate` is open; `says` is its status, or what is raised."""

    def __init__(self, says: int | Failure = 200) -> None:
        self.says = says
        self.taken: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Event()

    async def ask(self, fields: Fields, content: bytes) -> Any:
        assert fields.get("Content-Type") == "application/json"
        [resource] = json.loads(content)["resourceSpans"]
        self.taken.append([span["name"] for span in resource["scopeSpans"][0]["spans"]])
        self.came.set()
        await self.gate.wait()
        if isinstance(self.says, Failure):
            raise self.says
        return type("Said", (), {"status": self.says})


def spans(count: int) -> list[Span]:
    return [Span("0" * 32, "1" * 16, "", str(number), SERVER, 1, 2, {}) for number in range(count)]


def exporter(collector: Collector) -> tuple[SpanExporter, Counts]:
    counts = Counts()
    made: Any = collector
    return SpanExporter(made, {"service.name": "shop"}, counts), counts


async def test_what_is_left_is_sent_when_it_ends() -> None:
    collector = Collector()
    sending, counts = exporter(collector)
    sending.tell(spans(2))
    sending.tell(spans(1))
    assert collector.taken == []
    await sending.close()
    assert collector.taken == [["0", "1", "0"]]
    assert (counts.sent, counts.dropped) == (3, 0)


async def test_a_full_batch_does_not_wait_and_the_next_one_follows() -> None:
    collector = Collector()
    sending, counts = exporter(collector)
    sending.tell(spans(LARGEST_BATCH + 1))
    await asyncio.wait_for(collector.came.wait(), 5)
    await sending.close()
    assert [len(batch) for batch in collector.taken] == [LARGEST_BATCH, 1]
    assert counts.sent == LARGEST_BATCH + 1


async def test_after_a_batch_spans_are_gathered_again_and_not_sent_one_by_one() -> None:
    collector = Collector()
    sending, counts = exporter(collector)
    sending.tell(spans(LARGEST_BATCH))
    await asyncio.wait_for(collector.came.wait(), 5)
    for _ in range(20):
        sending.tell(spans(1))
        await asyncio.sleep(0)
    assert len(collector.taken) == 1
    await sending.close()
    assert [len(batch) for batch in collector.taken] == [LARGEST_BATCH, 20]
    assert counts.sent == LARGEST_BATCH + 20


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (503, "it answered 503"),
        (Failure("connection_refused", Side.UPSTREAM, "Nobody listens there."), "Nobody listens there."),
    ],
)
async def test_what_is_not_taken_is_lost_and_counted_and_the_log_says_so_once(
    says: int | Failure, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(says)
    sending, counts = exporter(collector)
    with caplog.at_level(logging.WARNING, "interpose"):
        for _ in range(3):
            sending.tell(spans(2))
            await sending.close()
    assert (counts.sent, counts.dropped, len(collector.taken)) == (0, 6, 3)
    assert [record.message for record in caplog.records] == [
        f"the collector of traces did not get 2 spans so far: {why}"
    ]


async def test_a_collector_that_is_too_slow_costs_a_bounded_number_of_spans(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.gate.clear()
    sending, counts = exporter(collector)
    sending.tell(spans(LARGEST_BATCH))
    await asyncio.wait_for(collector.came.wait(), 5)
    with caplog.at_level(logging.WARNING, "interpose"):
        for _ in range(20):
            sending.tell(spans(LARGEST_BATCH))
    assert counts.dropped == 20 * LARGEST_BATCH - MOST_WAITING
    assert [record.message for record in caplog.records] == [
        f"the collector of traces did not get {LARGEST_BATCH} spans so far: it is slower than they come"
    ]
    collector.gate.set()
    await sending.close()
    assert counts.sent == LARGEST_BATCH + MOST_WAITING


async def test_a_collector_that_does_not_answer_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "LONGEST_WAIT_S", 0.05)
    collector = Collector()
    collector.gate.clear()
    sending, counts = exporter(collector)
    sending.tell(spans(LARGEST_BATCH))
    await asyncio.wait_for(collector.came.wait(), 5)
    sending.tell(spans(7))
    await asyncio.wait_for(sending.close(), 5)
    assert (counts.sent, counts.dropped) == (0, LARGEST_BATCH + 7)

"""Calls of a worker, answered by an office, over messages that are passed by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interpose.core.failure import Failure, Side
from interpose.engine.answering import Answering
from interpose.engine.calls import Calls, DirectCalls, NoOffice, Office
from interpose.engine.messages import Call, Record, Withdraw


class DeskOffice(NoOffice):
    """Answers "now" at once, "never" not at all, and refuses or breaks when it is asked to."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.withdrawn = asyncio.Event()
        self.asked = asyncio.Event()

    def record(self, data: bytes) -> None:
        self.records.append(data)

    async def answer(self, topic: str, question: bytes) -> bytes:
        self.asked.set()
        match topic:
            case "now":
                return question.upper()
            case "refuse":
                raise Failure("http_request_denied", Side.INTERNAL, "The desk is full.", status=507)
            case "break":
                raise RuntimeError("a bug")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.withdrawn.set()
            raise
        raise AssertionError


class Worker:
    """The two ends of a link without the link: `gone` is the death of the worker."""

    def __init__(self, office: Office) -> None:
        self.answering = Answering(office)
        self.calls = Calls(self._to_supervisor, self._offered)
        self.has_room = True

    def _to_supervisor(self, message: Any) -> None:
        assert isinstance(message, Call | Withdraw | Record)
        self.answering.heard(self, message)  # type: ignore[arg-type]

    def _offered(self, message: Any) -> bool:
        if self.has_room:
            self._to_supervisor(message)
        return self.has_room

    def send(self, message: Any) -> None:
        self.calls.replied(message)


async def within(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(10):
        return await awaitable


@pytest.mark.parametrize("make", [lambda office: Worker(office).calls, DirectCalls], ids=["linked", "direct"])
async def test_a_call_is_answered_in_either_way(make: Callable[[Office], Calls]) -> None:
    calls = make(DeskOffice())
    assert await within(calls.ask("now", b"abc")) == b"ABC"
    with pytest.raises(Failure, match="The desk is full") as refused:
        await within(calls.ask("refuse", b""))
    assert (refused.value.kind, refused.value.status) == ("http_request_denied", 507)


async def test_an_office_that_breaks_is_a_failure_of_ours_and_no_silence(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Failure, match="The supervisor failed at break") as broken:
        await within(Worker(DeskOffice()).calls.ask("break", b""))
    assert broken.value.status == 500
    assert "a call about break could not be answered" in caplog.text


async def test_who_does_not_wait_any_more_withdraws_the_call() -> None:
    office = DeskOffice()
    asking = asyncio.create_task(Worker(office).calls.ask("never", b""))
    await within(office.asked.wait())
    asking.cancel()
    await within(office.withdrawn.wait())
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_death_of_a_worker_withdraws_its_calls() -> None:
    office = DeskOffice()
    worker = Worker(office)
    asking = asyncio.create_task(worker.calls.ask("never", b""))
    await within(office.asked.wait())
    worker.answering.gone(worker)  # type: ignore[arg-type]
    await within(office.withdrawn.wait())
    asking.cancel()


async def test_without_a_supervisor_every_call_fails_those_that_wait_too() -> None:
    office = DeskOffice()
    worker = Worker(office)
    asking = asyncio.create_task(worker.calls.ask("never", b""))
    await within(office.asked.wait())
    worker.calls.end()
    with pytest.raises(Failure, match="The supervisor is gone"):
        await within(asking)
    with pytest.raises(Failure, match="The supervisor is gone"):
        await within(worker.calls.ask("now", b""))


async def test_records_are_handed_over_unless_there_is_no_room() -> None:
    office = DeskOffice()
    worker = Worker(office)
    assert worker.calls.tell(b"batch")
    worker.has_room = False
    assert not worker.calls.tell(b"lost")
    assert office.records == [b"batch"]
    assert worker.answering.records == 1


async def test_without_an_office_a_call_says_that_nobody_answers() -> None:
    with pytest.raises(Failure, match="Nobody here answers what is asked about desk"):
        await within(Worker(NoOffice()).calls.ask("desk", b""))

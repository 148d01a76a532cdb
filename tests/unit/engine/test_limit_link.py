"""A worker asks the supervisor about limits: seldom, not for long, and without losing count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from interpose.config.limit_office import LimitOffice
from interpose.core.failure import Failure, Side
from interpose.core.limit_book import Terms, Verdict
from interpose.engine import limit_link
from interpose.engine.limit_link import LimitLink
from interpose.engine.limit_words import Asked, decode_asked
from interpose.filters.limiting.counters import Together
from interpose.filters.limiting.options import LimitRule

EXCHANGES = Terms(max_exchanges=2)


class Supervisor:
    """Answers as the office does, when it is to."""

    def __init__(self) -> None:
        self.office = LimitOffice(None, is_alive=lambda owner: True)
        self.asked: list[Asked] = []
        self.is_gone = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, topic: str, question: bytes) -> bytes:
        if self.is_gone:
            raise Failure("proxy_internal_error", Side.INTERNAL, "The supervisor is gone.")
        self.asked.append(decode_asked(question))
        answer = await self.office.answer(topic, question)
        await self.may_answer.wait()
        return answer


def linked() -> tuple[Supervisor, LimitLink]:
    supervisor = Supervisor()
    return supervisor, LimitLink(supervisor, "1.x")  # type: ignore[arg-type]


def counted(link: LimitLink, time: Callable[[], float] = lambda: 0.0, **rule: Any) -> Together:
    options = LimitRule(name="limit", **rule)
    return Together(options, options.terms, link, 2, time)


async def test_what_comes_in_one_turn_is_asked_with_one_message() -> None:
    supervisor, link = linked()
    together = counted(link, requests_per_s=1.0, burst=3)
    verdicts = await asyncio.gather(*(together.take("a") for _ in range(5)))
    assert [verdict.refusal for verdict in verdicts] == ["", "", "", "requests", "requests"]
    assert len(supervisor.asked) == 1
    assert await together.take("b") == Verdict("", 0.0, 2, pytest.approx(1.0, abs=0.1))
    assert [len(asked.terms) for asked in supervisor.asked] == [1, 0]
    await link.close()


async def test_an_end_is_told_before_the_next_one_asks() -> None:
    _, link = linked()
    together = counted(link, max_exchanges=1)
    for _ in range(3):
        assert not (await together.take("a")).refusal
        assert (await together.take("a")).refusal == "exchanges"
        together.release("a")
    assert not link.running
    await link.close()


async def test_who_leaves_while_the_answer_is_on_its_way_holds_no_place() -> None:
    supervisor, link = linked()
    together = counted(link, max_exchanges=1)
    supervisor.may_answer.clear()
    leaves = asyncio.ensure_future(together.take("a"))
    while not supervisor.asked:  # noqa: ASYNC110 - a turn of the loop
        await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.wait((leaves,))
    supervisor.may_answer.set()
    async with asyncio.timeout(5):
        while supervisor.office.books["limit"].exchanges:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not (await together.take("a")).refusal
    await link.close()


async def test_f10_a_supervisor_that_is_busy_is_waited_for_shortly_and_told_afterwards(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limit_link, "PATIENCE_S", 0.02)
    monkeypatch.setattr(limit_link, "REST_S", 0.1)
    supervisor, link = linked()
    together = counted(link, max_exchanges=4)  # of which half is this worker's
    assert not (await together.take("a")).refusal
    supervisor.may_answer.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not (await together.take("a")).refusal
    assert 0.015 < loop.time() - began < 1
    began = loop.time()
    assert [(await together.take("a")).refusal for _ in range(100)] == ["exchanges"] * 100  # at once
    assert loop.time() - began < 0.08
    supervisor.may_answer.set()
    await asyncio.sleep(0.12)
    assert not (await together.take("a")).refusal  # and it is told what is under way
    together.release("b")
    async with asyncio.timeout(5):
        while supervisor.office.books["limit"].exchanges != 3:
            await asyncio.sleep(0)
            link._ask_soon(loop)
    assert sum("keeps its share" in record.message for record in caplog.records) == 1
    await link.close()


@pytest.mark.parametrize(
    ("on_failure", "refusals"), [("share", ["", "requests"]), ("allow", ["", ""]), ("deny", ["away", "away"])]
)
async def test_f10_without_a_supervisor_it_is_as_the_limit_says(on_failure: str, refusals: list[str]) -> None:
    supervisor, link = linked()
    supervisor.is_gone = True
    together = counted(link, requests_per_s=2.0, burst=2, on_failure=on_failure)
    assert [(await together.take("a")).refusal for _ in range(2)] == refusals
    await link.close()


class Teller:
    def __init__(self) -> None:
        self.sizes = {"a": 10}
        self.heard: list[tuple[str, bool, float]] = []

    def untold(self) -> list[tuple[str, int, int]]:
        told = [(key, size, 1) for key, size in self.sizes.items()]
        self.sizes = dict.fromkeys(self.sizes, 0)
        return told

    def told(self, key: str, is_used_up: bool, share: float) -> None:
        self.heard.append((key, is_used_up, share))


async def test_bytes_that_were_not_heard_of_are_told_again_and_the_last_ones_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limit_link, "REST_S", 0.0)
    monkeypatch.setattr(limit_link, "TELL_S", 0.005)
    supervisor, link = linked()
    teller = Teller()
    link.announce("limit", Terms(bytes_per_day=25), 100)
    tell = link.tells("limit", teller)
    supervisor.is_gone = True
    tell()
    await asyncio.sleep(0.02)
    assert not teller.heard
    supervisor.is_gone = False
    async with asyncio.timeout(5):
        while not teller.heard:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert teller.heard[0] == ("a", False, 1.0)
    teller.sizes["a"] = 20
    await link.close()
    assert supervisor.office.books["limit"].used[1] == {"a": 30}


async def test_f15_a_configuration_that_never_serves_keeps_nobody_from_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reload makes tellers anew, also one that fails; and exchanges go on with those that they began with."""
    monkeypatch.setattr(limit_link, "TELL_S", 0.005)
    supervisor, link = linked()
    link.announce("limit", Terms(bytes_per_day=25), 100)
    serving, failed, next_one = Teller(), Teller(), Teller()
    tell = link.tells("limit", serving)
    link.tells("limit", failed)
    tell_too = link.tells("limit", next_one)
    tell()
    tell_too()
    async with asyncio.timeout(5):
        while not (serving.heard and next_one.heard):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert serving.heard[0] == next_one.heard[0] == ("a", False, 1.0)
    assert supervisor.asked[0].flows == [("limit", "a", 20, 2)]
    assert not failed.heard
    await link.close()
    assert supervisor.office.books["limit"].used[1] == {"a": 20}


async def test_whatever_is_lost_the_supervisor_knows_in_the_end_what_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers are late or missing at random, exchanges begin and end, who asks leaves: then it is quiet."""
    monkeypatch.setattr(limit_link, "PATIENCE_S", 0.005)
    monkeypatch.setattr(limit_link, "REST_S", 0.01)
    supervisor, link = linked()
    together = counted(link, max_exchanges=40)
    lot = Random(7)
    under_way: list[str] = []

    async def one(key: str) -> None:
        if not (await together.take(key)).refusal:
            under_way.append(key)

    tasks = []
    for _ in range(300):
        match lot.randrange(6):
            case 0:
                supervisor.may_answer.clear()
            case 1:
                supervisor.may_answer.set()
            case 2 if under_way:
                together.release(under_way.pop(lot.randrange(len(under_way))))
            case 3 if tasks:
                tasks[-1].cancel()
            case _:
                tasks.append(asyncio.ensure_future(one(lot.choice("abc"))))
        await asyncio.sleep(lot.choice((0, 0, 0.001, 0.004)))
    supervisor.may_answer.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)
    await together.take("d")
    async with asyncio.timeout(5):
        while supervisor.office.books["limit"].exchanges != len(under_way) + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert link.running.total() == len(under_way) + 1
    while under_way:
        together.release(under_way.pop())
    together.release("d")
    async with asyncio.timeout(5):
        while supervisor.office.books["limit"].exchanges:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    quiet = len(supervisor.asked)
    await asyncio.sleep(0.05)
    assert len(supervisor.asked) == quiet
    await link.close()

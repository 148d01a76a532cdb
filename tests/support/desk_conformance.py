"""What every desk does. A desk's test module has

    class TestConformance(DeskConformance):
        @pytest.fixture
        async def office(self, tmp_path: Path) -> AsyncIterator[Office]:
            async with opened(tmp_path / "desk") as office:
                ... yield `office`, with `desk` the way of the desk in question to it

and passes.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from interpose.core.failure import Failure
from interpose.core.hold import Content, Decision, Desk, Held, HeldMessage, Mode, Settled, Standing, Verdict, What
from interpose.storage.desk.contents import IncomingFile
from interpose.storage.desk.delivery import Schedule
from interpose.storage.desk.editing import EditedMessage
from interpose.storage.desk.local import DeskOptions, LocalDesk
from interpose.storage.desk.review import Conflict, Review
from interpose.storage.desk.store import Room, Seen
from interpose.storage.desk.views import HoldRow, HoldView

DEADLINE_S = 20
FIELDS = b"Host: shop.example\r\nContent-Type: application/json\r\nAuthorization: Bearer secret-token\r\n"
ORDER = b'{"amount": 100}'
_IDS = itertools.count(1)


def new_id() -> str:
    """Ids as a worker makes them, but in order."""
    number = next(_IDS)
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> shift & 31] for shift in range(35, -1, -5))


def request(content: bytes = ORDER, method: str = "POST", fields: bytes = FIELDS) -> HeldMessage:
    return HeldMessage(What.REQUEST, method, "http://shop.example/orders", fields=fields, content=Content.of(content))


def held(message: HeldMessage | None = None, **values: Any) -> Held:
    """Something to hold: a POST of an order unless `message` is given."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "message": request() if message is None else message,
        "rule": "orders",
        "exchange": "1-1",
        "listener": "proxy",
        "client": ("127.0.0.1", 40000),
        "at": time.time(),
    }
    return Held(**{**defaults, **values})


def response(content: bytes = b"<p>thanks</p>", fields: bytes = b"Content-Type: text/html\r\n") -> HeldMessage:
    return HeldMessage(What.RESPONSE, status=200, reason="OK", fields=fields, content=Content.of(content))


def contents_of(path: str) -> bytes:
    return Path(path).read_bytes()


def seen(view: HoldView) -> Seen:
    """What somebody says who decides on what this shows."""
    return Seen(view.version, bytes.fromhex(view.digest))


@dataclass
class Office:
    """A desk at work: `desk` for whoever holds, `review` for people, `rows` what the desk told of its holds."""

    directory: Path
    local: LocalDesk
    review: Review
    rows: list[HoldRow]
    news: asyncio.Condition
    desk: Desk
    announced: list[HoldRow] = field(default_factory=list)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what the desk told so far fulfils a condition."""
        async with asyncio.timeout(DEADLINE_S), self.news:
            await self.news.wait_for(condition)

    def last(self, id: str) -> HoldRow | None:
        """The last that was told of a hold."""
        return next((row for row in reversed(self.rows) if row.id == id), None)

    async def until_last(self, id: str, condition: Callable[[HoldRow], bool]) -> HoldRow:
        """Wait until the last that was told of a hold fulfils a condition."""
        await self.until(lambda: (row := self.last(id)) is not None and condition(row))
        row = self.last(id)
        assert row is not None
        return row

    async def waiting(self, what: Held) -> tuple[asyncio.Task[Decision], HoldView]:
        """Hold something; when it waits, the one who waits and what people see."""
        task = asyncio.ensure_future(self.desk.hold(what))
        told = asyncio.ensure_future(self.until_last(what.id, lambda row: row.state == "waiting"))
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            told.cancel()
            await task
        return task, await self.review.shown(what.id)


Delivering = Callable[[Held, HeldMessage], Awaitable[Settled]]


async def delivers_nothing(held: Held, message: HeldMessage) -> Settled:
    raise AssertionError("nothing was to be delivered")


@asynccontextmanager
async def opened(
    directory: Path, options: DeskOptions | None = None, deliver: Delivering = delivers_nothing, **named: Any
) -> AsyncIterator[Office]:
    """An office whose desk is in `directory`."""
    rows: list[HoldRow] = []
    announced: list[HoldRow] = []
    news = asyncio.Condition()
    telling: set[asyncio.Task[None]] = set()

    async def tell() -> None:
        async with news:
            news.notify_all()

    def changed(row: HoldRow) -> None:
        rows.append(row)
        task = asyncio.ensure_future(tell())
        telling.add(task)
        task.add_done_callback(telling.discard)

    quick = DeskOptions(schedule=Schedule(0.001, 0.01, 3), room=Room(50, 4 << 20))
    local = LocalDesk(
        str(directory), options or quick, deliver=deliver, changed=changed, announce=announced.append, **named
    )
    await local.start()
    try:
        yield Office(directory, local, Review(local), rows, news, local, announced)
    finally:
        await local.close()
        await asyncio.gather(*telling)


class DeskConformance:
    async def test_what_is_released_goes_on_as_it_came(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        assert (view.state, view.client_waits, view.url) == ("waiting", True, "http://shop.example/orders")
        await office.review.release(what.id, seen(view), "ann", "looks good")
        decision = await task
        assert decision == Decision(
            verdict=Verdict.RELEASE, by="ann", version=1, digest=what.message.digest, message=what.message,
            why="looks good",
        )  # fmt: skip

    async def test_what_was_edited_goes_on_as_it_is_then(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        view = await office.review.edit(what.id, 1, EditedMessage(text='{"amount": 1}'), "ann")
        await office.review.release(what.id, seen(view), "bob")
        decision = await task
        assert decision.version == 2
        assert decision.message is not None
        assert decision.message.content.data == b'{"amount": 1}'
        assert decision.message.fields == FIELDS
        assert decision.digest == decision.message.digest == bytes.fromhex(view.digest)

    async def test_what_is_dropped_says_who_and_why(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        await office.review.drop(what.id, seen(view), "ann", "not this week")
        decision = await task
        assert (decision.verdict, decision.by, decision.why) == (Verdict.DROP, "ann", "not this week")
        assert decision.message is None

    async def test_an_answer_by_hand_comes_with_the_decision(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        change = EditedMessage(status=409, reason="Not Now", fields=[("Content-Type", "text/plain")], text="later")
        await office.review.answer(what.id, seen(view), change, "ann")
        decision = await task
        assert decision.verdict is Verdict.ANSWER
        assert decision.message == HeldMessage(
            What.RESPONSE, status=409, reason="Not Now", fields=b"Content-Type: text/plain\r\n",
            content=Content.of(b"later"),
        )  # fmt: skip
        assert decision.digest == decision.message.digest

    async def test_long_content_is_taken_over_and_comes_back_as_it_was(self, office: Office) -> None:
        id = new_id()
        data = hashlib.sha256(b"seed").digest() * 10_000
        file = IncomingFile(str(office.directory), id)
        file.write(data[:100])
        file.write(data[100:])
        content = file.finish()
        message = HeldMessage(What.REQUEST, "PUT", "http://shop.example/picture", content=content)
        task, view = await office.waiting(held(message, id=id))
        assert list((office.directory / "incoming").iterdir()) == []
        await office.review.release(id, seen(view), "ann")
        decision = await task
        assert decision.message is not None
        taken = decision.message.content
        assert (taken.size, taken.sha256) == (len(data), hashlib.sha256(data).digest())
        assert contents_of(taken.file) == data
        assert decision.digest == message.digest == decision.message.digest

    async def test_long_content_that_is_edited_is_another_file(self, office: Office) -> None:
        what = held(request(b"0"))
        task, _ = await office.waiting(what)
        view = await office.review.edit(what.id, 1, EditedMessage(text="1" * 100_000), "ann")
        await office.review.release(what.id, seen(view), "ann")
        decision = await task
        assert decision.message is not None
        assert decision.message.content.data == b""
        assert contents_of(decision.message.content.file) == b"1" * 100_000

    async def test_who_leaves_leaves_what_was_held(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        row = await office.until_last(what.id, lambda row: not row.client_waits)
        assert row.state == "waiting"
        with pytest.raises(Conflict, match="Nobody waits"):
            await office.review.release(what.id, seen(view), "ann")
        await office.review.drop(what.id, seen(view), "ann")
        assert (await office.review.shown(what.id)).state == "settled"

    @pytest.mark.parametrize(("on_timeout", "verdict"), [("drop", Verdict.DROP), ("release", Verdict.RELEASE)])
    async def test_a_deadline_decides_when_nobody_does(self, office: Office, on_timeout: str, verdict: Verdict) -> None:
        what = held(timeout_s=0.05, on_timeout=Verdict(on_timeout))
        async with asyncio.timeout(DEADLINE_S):
            decision = await office.desk.hold(what)
        assert (decision.verdict, decision.by) == (verdict, "deadline")
        assert decision.message == (what.message if verdict is Verdict.RELEASE else None)

    async def test_a_desk_that_is_full_says_503(self, office: Office) -> None:
        tasks = [(await office.waiting(held()))[0] for _ in range(50)]
        with pytest.raises(Failure) as caught:
            await office.desk.hold(held())
        assert (caught.value.kind, caught.value.status) == ("proxy_internal_error", 503)
        view = await office.review.shown((await office.review.listed()).holds[0].id)
        await office.review.drop(view.id, seen(view), "ann")
        await office.waiting(held())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_a_desk_without_room_says_507(self, office: Office) -> None:
        id = new_id()
        file = IncomingFile(str(office.directory), id)
        file.write(bytes(5 << 20))
        message = HeldMessage(What.REQUEST, "PUT", "http://shop.example/", content=file.finish())
        for _ in range(2):
            with pytest.raises(Failure) as caught:
                await office.desk.hold(held(message, id=id))
            assert (caught.value.kind, caught.value.status) == ("proxy_internal_error", 507)
        assert (await office.review.listed("all")).holds == []

    async def test_what_is_accepted_is_stored_when_that_is_said(self, office: Office) -> None:
        what = held(mode=Mode.ACCEPT)
        await office.desk.accept(what)
        view = await office.review.shown(what.id)
        assert (view.state, view.client_waits, view.mode) == ("waiting", False, Mode.ACCEPT)

    async def test_whoever_asks_is_told_how_it_stands(self, office: Office) -> None:
        what = held()
        assert await office.desk.standing(what.id) is None
        task, view = await office.waiting(what)
        assert await office.desk.standing(what.id) == Standing(state="waiting")
        await office.review.release(what.id, seen(view), "ann")
        await task
        assert await office.desk.standing(what.id) == Standing(state="decided", verdict="release")
        office.desk.settled(what.id, Settled(status=201))
        await office.until_last(what.id, lambda row: row.state == "settled")
        how = Settled(status=201)
        assert await office.desk.standing(what.id) == Standing(state="settled", verdict="release", how=how)

    async def test_how_it_went_on_ends_a_hold(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        await office.review.release(what.id, seen(view), "ann")
        await task
        office.desk.settled(what.id, Settled(status=201))
        row = await office.until_last(what.id, lambda row: row.state == "settled")
        assert row.outcome == "answered with 201"
        after = await office.review.shown(what.id)
        assert ("Authorization", "[removed]") in after.fields

    async def test_many_wait_and_each_gets_its_own_decision(self, office: Office) -> None:
        whats = [held(request(b"%d" % number)) for number in range(40)]
        waiting = [await office.waiting(what) for what in whats]
        assert (await office.review.listed()).waiting == 40
        for what, (_, view) in reversed(list(zip(whats, waiting, strict=True))):
            await office.review.release(what.id, seen(view), what.id)
        decisions = [await task for task, _ in waiting]
        assert [decision.by for decision in decisions] == [what.id for what in whats]
        assert [decision.message for decision in decisions] == [what.message for what in whats]

    async def test_an_id_is_held_once(self, office: Office) -> None:
        what = held()
        task, view = await office.waiting(what)
        with pytest.raises(Failure, match="already"):
            await office.desk.hold(what)
        await office.review.drop(what.id, seen(view), "ann")
        await task

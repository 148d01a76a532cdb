from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.desk_conformance import (
    DEADLINE_S,
    DeskConformance,
    Office,
    held,
    opened,
    request,
    response,
    seen,
)

from interpose.core.failure import Failure, Side
from interpose.core.hold import Held, HeldMessage, Mode, Settled, Verdict
from interpose.storage.desk.database import Database
from interpose.storage.desk.editing import EditedMessage, NotEditable
from interpose.storage.desk.local import DeskOptions
from interpose.storage.desk.review import Conflict
from interpose.storage.desk.store import NoSuchHold, Seen, Store
from interpose.storage.desk.views import HoldRow


class TestConformance(DeskConformance):
    @pytest.fixture
    async def office(self, tmp_path: Path) -> AsyncIterator[Office]:
        async with opened(tmp_path / "desk") as office:
            yield office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(tmp_path / "desk") as office:
        yield office


class Courier:
    """Delivers as a test says: each entry of `answers` is for one try."""

    def __init__(self, *answers: Settled | Failure) -> None:
        self.answers = list(answers)
        self.sent: list[HeldMessage] = []

    async def __call__(self, held: Held, message: HeldMessage) -> Settled:
        self.sent.append(message)
        answer = self.answers.pop(0)
        if isinstance(answer, Failure):
            raise answer
        return answer


REFUSED = Failure("connection_refused", Side.UPSTREAM, "nobody there")
BROKEN = Failure("connection_terminated", Side.UPSTREAM, "it went away", sent=True)


async def test_a_new_hold_is_announced_once_and_every_change_is_told(office: Office) -> None:
    what = held()
    task, view = await office.waiting(what)
    assert [row.id for row in office.announced] == [what.id]
    await office.review.edit(what.id, 1, EditedMessage(method="PUT"), "ann")
    view = await office.review.shown(what.id)
    await office.review.release(what.id, seen(view), "ann")
    await task
    states = [(row.state, row.version, row.method) for row in office.rows]
    assert states == [("waiting", 1, "POST"), ("waiting", 2, "PUT"), ("decided", 2, "PUT")]
    assert [row.id for row in office.announced] == [what.id]


async def test_a_decision_on_another_version_or_digest_is_told_what_is_there(office: Office) -> None:
    what = held()
    task, view = await office.waiting(what)
    edited = await office.review.edit(what.id, 1, EditedMessage(url="http://shop.example/other"), "ann")
    for wrong in (seen(view), Seen(2, bytes(32)), Seen(1, bytes.fromhex(edited.digest))):
        with pytest.raises(Conflict, match="edited meanwhile") as caught:
            await office.review.release(what.id, wrong, "bob")
        assert caught.value.hold.version == 2
        assert caught.value.hold.digest == edited.digest
    assert not task.done()
    await office.review.release(what.id, seen(edited), "bob")
    with pytest.raises(Conflict, match="released by bob"):
        await office.review.drop(what.id, seen(edited), "ann")
    assert (await task).by == "bob"


async def test_an_edit_of_what_was_edited_meanwhile_changes_nothing(office: Office) -> None:
    what = held()
    task, _ = await office.waiting(what)
    await office.review.edit(what.id, 1, EditedMessage(text="first"), "ann")
    with pytest.raises(Conflict, match="at version 2") as caught:
        await office.review.edit(what.id, 1, EditedMessage(text="second"), "bob")
    assert caught.value.hold.content.text == "first"
    task.cancel()


async def test_an_edit_without_a_difference_makes_no_version(office: Office) -> None:
    what = held()
    task, view = await office.waiting(what)
    same = EditedMessage(method="POST", url=view.url, fields=view.fields, text=view.content.text)
    assert (await office.review.edit(what.id, 1, same, "ann")).version == 1
    task.cancel()


async def test_the_original_is_kept_until_it_is_over(office: Office) -> None:
    what = held()
    task, _ = await office.waiting(what)
    for version in (1, 2, 3):
        view = await office.review.edit(what.id, version, EditedMessage(text="x" * 70_000 * version), "ann")
        assert view.original is not None
        assert view.original.content.text == '{"amount": 100}'
    assert [path.name for path in (office.directory / "contents").iterdir()] == [f"{what.id}.4"]
    await office.review.release(what.id, seen(view), "ann")
    await task
    office.desk.settled(what.id, Settled(status=200))
    await office.until_last(what.id, lambda row: row.state == "settled")
    after = await office.review.shown(what.id)
    assert after.original is None
    assert after.content.text == "x" * 210_000


async def test_secrets_are_there_while_it_waits_and_nowhere_on_the_disk_afterwards(tmp_path: Path) -> None:
    secret = "Zm9yLXlvdXItZXllcy1vbmx5"
    fields = f"Authorization: Basic {secret}\r\nCookie: session={secret}\r\nX-Plain: yes\r\n".encode()
    async with opened(tmp_path / "desk") as office:
        asked = request(fields=fields)
        what = held(response(fields=b"Set-Cookie: a=" + secret.encode() + b"\r\n"), request=asked)
        task, view = await office.waiting(what)
        assert view.request is not None
        assert ("Authorization", f"Basic {secret}") in view.request.fields
        other = held(request(fields=fields))
        second, second_view = await office.waiting(other)
        second_view = await office.review.edit(other.id, 1, EditedMessage(text="{}"), "ann")
        for number, (waits, shown) in enumerate([(task, view), (second, second_view)]):
            await office.review.release(shown.id, seen(shown), "ann")
            decision = await waits
            assert decision.message is not None
            assert secret.encode() in decision.message.fields
            office.desk.settled(shown.id, Settled(status=200))
            await office.until_last(shown.id, lambda row: row.state == "settled")
            after = await office.review.shown(shown.id)
            assert secret not in repr(after)
            assert after.digest == shown.digest
            assert (("X-Plain", "yes") in after.fields) == (number == 1)
        await office.local.purge()  # as every minute
        for path in office.directory.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


async def test_a_decision_that_nobody_took_is_undone(office: Office) -> None:
    what = held()
    task, view = await office.waiting(what)
    tell = office.local._tell

    def breaks_off(row: HoldRow) -> None:
        tell(row)
        if row.state == "decided":
            task.cancel()  # as a link does that breaks off when the decision is there, and not yet taken

    office.local._tell = breaks_off
    await office.review.release(what.id, seen(view), "ann")
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await office.until_last(what.id, lambda row: row.state == "waiting")
    assert (row.client_waits, row.outcome) == (False, "ann released it, but its client had left.")


async def test_who_leaves_before_it_is_stored_leaves_it_all_the_same(office: Office) -> None:
    what = held()
    task = asyncio.ensure_future(office.desk.hold(what))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await office.until_last(what.id, lambda row: row.outcome is not None)
    assert (row.state, row.client_waits, row.outcome) == ("waiting", False, "Its client has left.")


async def test_after_a_restart_what_waited_is_there_and_can_be_sent(tmp_path: Path) -> None:
    what = held(timeout_s=60.0)
    async with opened(tmp_path / "desk") as office:
        task, _ = await office.waiting(what)
        await office.review.edit(what.id, 1, EditedMessage(text="edited"), "ann")
    with pytest.raises(asyncio.CancelledError):
        await task
    courier = Courier(Settled(status=200))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        view = await office.review.shown(what.id)
        assert (view.state, view.client_waits, view.deadline, view.version) == ("waiting", False, None, 2)
        assert view.outcome == "The program ended, and its client has gone."
        await office.review.send(what.id, seen(view), "bob")
        row = await office.until_last(what.id, lambda row: row.state == "settled")
        assert row.outcome == "answered with 200"
    assert [message.content.data for message in courier.sent] == [b"edited"]
    async with opened(tmp_path / "desk") as office:
        view = await office.review.shown(what.id)
        assert (view.state, view.outcome) == ("settled", "answered with 200")


async def test_after_a_restart_what_was_released_and_not_heard_of_waits_for_a_person(tmp_path: Path) -> None:
    what = held()
    async with opened(tmp_path / "desk") as office:
        task, view = await office.waiting(what)
        await office.review.release(what.id, seen(view), "ann")
        await task
    async with opened(tmp_path / "desk") as office:
        view = await office.review.shown(what.id)
        assert view.state == "waiting"
        assert view.outcome is not None
        assert "before it was known whether it went on" in view.outcome


async def test_what_was_accepted_and_released_is_delivered_until_an_answer_comes(tmp_path: Path) -> None:
    courier = Courier(REFUSED, Settled(failure="dns_timeout: too slow"), Settled(status=503))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        what = held(mode=Mode.ACCEPT)
        await office.desk.accept(what)
        await office.review.release(what.id, seen(await office.review.shown(what.id)), "ann")
        row = await office.until_last(what.id, lambda row: row.state == "settled")
        assert row.outcome == "answered with 503"
        told = [(row.state, row.attempts, row.outcome) for row in office.rows[2:]]
        assert ("decided", 1, "connection_refused: nobody there") in told
        assert ("decided", 2, "dns_timeout: too slow") in told
    assert courier.sent == [what.message] * 3


async def test_a_post_of_which_something_went_out_is_not_sent_again_unasked(tmp_path: Path) -> None:
    courier = Courier(BROKEN, Settled(status=200))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        what = held(mode=Mode.ACCEPT)
        await office.desk.accept(what)
        await office.review.release(what.id, seen(await office.review.shown(what.id)), "ann")
        row = await office.until_last(what.id, lambda row: row.state == "waiting" and row.outcome is not None)
        assert row.outcome == (
            "It may have arrived, and a POST is not sent twice unasked: connection_terminated: it went away"
        )
        assert len(courier.sent) == 1
        await office.review.send(what.id, seen(await office.review.shown(what.id)), "ann")
        await office.until_last(what.id, lambda row: row.state == "settled")
    assert len(courier.sent) == 2


async def test_a_put_is_sent_again_and_after_enough_tries_waits_for_a_person(tmp_path: Path) -> None:
    courier = Courier(BROKEN, BROKEN, BROKEN)
    async with opened(tmp_path / "desk", deliver=courier) as office:
        what = held(request(method="PUT"), mode=Mode.ACCEPT)
        await office.desk.accept(what)
        await office.review.release(what.id, seen(await office.review.shown(what.id)), "ann")
        row = await office.until_last(what.id, lambda row: row.state == "waiting" and row.outcome is not None)
        assert row.outcome is not None
        assert row.outcome.startswith("It was tried 3 times")
    assert len(courier.sent) == 3


async def test_a_delivery_that_was_under_way_goes_on_after_a_restart_if_it_may(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def hangs(held: Held, message: HeldMessage) -> Settled:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    ids = {}
    for method in ("PUT", "POST"):
        async with opened(tmp_path / "desk", deliver=hangs) as office:
            what = held(request(method=method), mode=Mode.ACCEPT)
            ids[method] = what.id
            started.clear()
            await office.desk.accept(what)
            await office.review.release(what.id, seen(await office.review.shown(what.id)), "ann")
            async with asyncio.timeout(DEADLINE_S):
                await started.wait()
    courier = Courier(Settled(status=204))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        await office.until_last(ids["PUT"], lambda row: row.state == "settled")
        view = await office.review.shown(ids["POST"])
        assert (view.state, view.outcome) == (
            "waiting",
            "The program ended while it was being sent: it may have arrived.",
        )
    assert [message.method for message in courier.sent] == ["PUT"]


async def test_a_deadline_of_what_was_accepted_counts_on_after_a_restart(tmp_path: Path) -> None:
    now = 1000.0
    async with opened(tmp_path / "desk", wall=lambda: now) as office:
        what = held(mode=Mode.ACCEPT, at=now, timeout_s=50.0)
        await office.desk.accept(what)
        assert (await office.review.shown(what.id)).deadline == 1050.0
    now = 1051.0
    async with opened(tmp_path / "desk", wall=lambda: now) as office:
        row = await office.until_last(what.id, lambda row: row.state == "settled")
        assert (row.verdict, row.by, row.outcome) == (Verdict.DROP, "deadline", "dropped")


async def test_only_what_can_be_sent_or_answered_is(office: Office) -> None:
    what = held(response(), request=request())
    task, view = await office.waiting(what)
    with pytest.raises(NotEditable, match="Only a request can be answered"):
        await office.review.answer(what.id, seen(view), EditedMessage(text="x"), "ann")
    with pytest.raises(NotEditable, match="Only a request can be sent"):
        await office.review.send(what.id, seen(view), "ann")
    other = held()
    second, view = await office.waiting(other)
    with pytest.raises(Conflict, match="release it instead"):
        await office.review.send(other.id, seen(view), "ann")
    third = held(mode=Mode.ACCEPT)
    await office.desk.accept(third)
    with pytest.raises(Conflict, match="Nobody waits for an answer"):
        await office.review.answer(third.id, Seen(1, b""), EditedMessage(text="x"), "ann")
    with pytest.raises(NoSuchHold):
        await office.review.shown("aaaaaaaa")
    task.cancel()
    second.cancel()


async def test_a_rule_lets_what_it_means_pass_until_it_is_over(tmp_path: Path) -> None:
    now = 1000.0
    async with opened(tmp_path / "desk", wall=lambda: now) as office:
        what = held(at=now)
        task, _ = await office.waiting(what)
        rule = await office.review.make_rule(what.id, "ann", for_s=60.0)
        assert rule.query == "method:POST host:shop.example port:80"
        decision = await office.desk.hold(held(at=now))
        assert (decision.verdict, decision.by, decision.digest) == (Verdict.RELEASE, "rule", request().digest)
        other, _ = await office.waiting(held(request(method="DELETE"), at=now))
        assert [row.id for row in office.announced] == [what.id, office.rows[-1].id]
    async with opened(tmp_path / "desk", wall=lambda: now) as office:
        assert (await office.desk.hold(held(at=now))).by == "rule"
        assert [(rule.query, rule.who, rule.hold) for rule in await office.review.rules()] == [
            ("method:POST host:shop.example port:80", "ann", what.id)
        ]
        now = 1060.0
        third, _ = await office.waiting(held(at=now))
        assert await office.review.rules() == []
    await asyncio.gather(task, other, third, return_exceptions=True)


async def test_the_end_of_what_passed_by_a_rule_is_nothing_to_keep(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.desk.settled("aaaaaaaa", Settled(status=200))
    assert await office.desk.standing("aaaaaaaa") is None
    assert caplog.records == []


async def test_a_rule_that_is_removed_lets_nothing_pass_and_one_about_contents_is_refused(office: Office) -> None:
    what = held()
    task, _ = await office.waiting(what)
    rule = await office.review.make_rule(what.id, "ann", "host:*.example")
    assert (await office.desk.hold(held())).by == "rule"
    assert await office.review.remove_rule(rule.id, "bob") is True
    assert await office.review.remove_rule(rule.id, "bob") is False
    second, _ = await office.waiting(held())
    for query in ("-body:secret", "secret", "nonsense:1", "host:"):
        with pytest.raises(ValueError):
            await office.review.make_rule(what.id, "ann", query)
    with pytest.raises(NotEditable):
        await office.review.make_rule(what.id, "ann", "host:a", for_s=0.0)
    entries = (await office.review.audit()).entries
    assert [(entry.who, entry.what) for entry in entries if entry.what.startswith("rule")] == [
        ("ann", "rule made"),
        ("bob", "rule removed"),
    ]
    task.cancel()
    second.cancel()


async def test_what_was_accepted_and_may_pass_is_delivered_at_once(tmp_path: Path) -> None:
    courier = Courier(Settled(status=200))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        what = held()
        task, _ = await office.waiting(what)
        await office.review.make_rule(what.id, "ann")
        passing = held(mode=Mode.ACCEPT)
        await office.desk.accept(passing)
        row = await office.until_last(passing.id, lambda row: row.state == "settled")
        assert (row.by, row.outcome) == ("rule", "answered with 200")
        assert [row.id for row in office.announced] == [what.id]
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_old_goes(tmp_path: Path) -> None:
    now = 1000.0
    async with opened(tmp_path / "desk", wall=lambda: now) as office:
        dropped, left = held(request(b"x" * 100_000), at=now), held(at=now)
        first, view = await office.waiting(dropped)
        second, _ = await office.waiting(left)
        await office.review.edit(dropped.id, 1, EditedMessage(text="y" * 100_000), "ann")
        view = await office.review.shown(dropped.id)
        await office.review.drop(dropped.id, seen(view), "ann")
        await first
        second.cancel()
        await office.until_last(left.id, lambda row: not row.client_waits)
        await office.local.purge()
        assert {row.id for row in (await office.review.listed("all")).holds} == {dropped.id, left.id}
        now += 86401
        await office.local.purge()
        assert {row.id for row in (await office.review.listed("all")).holds} == {left.id}
        assert list((office.directory / "contents").iterdir()) == []
        now += 604800
        await office.local.purge()
        view = await office.review.shown(left.id)
        assert (view.state, view.by) == ("settled", "deadline")
        assert (await office.review.audit()).sound


async def test_reviewers_are_seen_while_they_look(office: Office) -> None:
    what = held()
    task, _ = await office.waiting(what)
    clock = [0.0]
    office.local.reviewers._now = lambda: clock[0]
    await office.review.look(what.id, "bob", True)
    await office.review.look(what.id, "ann", True)
    assert (await office.review.shown(what.id)).reviewers == ["ann", "bob"]
    await office.review.look(what.id, "bob", False)
    row = office.last(what.id)
    assert row is not None
    assert row.reviewers == ["ann"]
    clock[0] = 30.0
    assert (await office.review.shown(what.id)).reviewers == []
    assert office.local.reviewers.expired() == [what.id]
    assert office.local.reviewers.expired() == []
    task.cancel()


async def test_content_is_given_as_it_is_stored_or_decoded(office: Office) -> None:
    data = gzip.compress(b"plain text")
    what = held(request(data, fields=b"Content-Encoding: gzip\r\n"))
    task, _ = await office.waiting(what)
    assert b"".join(await office.review.content(what.id)) == data
    assert b"".join(await office.review.content(what.id, decoded=True)) == b"plain text"
    task.cancel()


async def test_a_disk_that_takes_nothing_is_507_and_nothing_is_acknowledged(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Database) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "commit", full)
        for do in (office.desk.hold, office.desk.accept):
            with pytest.raises(Failure, match="disk is full") as caught:
                await do(held())
            assert caught.value.status == 507
    assert (await office.review.listed("all")).holds == []
    task, _ = await office.waiting(held())
    task.cancel()


async def test_what_became_of_it_is_noted_when_the_disk_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = Courier(Settled(status=200))
    async with opened(tmp_path / "desk", deliver=courier) as office:
        what = held(mode=Mode.ACCEPT)
        await office.desk.accept(what)
        view = await office.review.shown(what.id)
        tries = 0
        settle = Store.settle

        def settles_late(self: Store, *arguments: object) -> object:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise sqlite3.OperationalError("database or disk is full")
            return settle(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Store, "settle", settles_late)
        await office.review.release(what.id, seen(view), "ann")
        await office.until_last(what.id, lambda row: row.state == "settled")
    assert tries == 3
    assert len(courier.sent) == 1


async def test_two_desks_never_share_a_directory(office: Office) -> None:
    with pytest.raises(ValueError, match="in use by another process"):
        async with opened(office.directory, DeskOptions()):
            pass

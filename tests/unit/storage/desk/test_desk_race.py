"""Several people at one desk at the same time."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.desk_conformance import Office, held, opened, request, seen

from interpose.core.hold import Content, Settled
from interpose.storage.desk.editing import EditedMessage
from interpose.storage.desk.review import Conflict
from interpose.storage.desk.views import HoldView

RACES = 1000
AT_ONCE = 40


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A desk in memory, where there is such a thing: what survives is not asked for here."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="desk-") as directory:
        async with opened(Path(directory)) as office:
            yield office


async def edits(office: Office, id: str, version: int, who: str) -> bool:
    """Somebody edits what was `version`; whether that was in time. Who was not is shown what is there."""
    try:
        after = await office.review.edit(id, version, EditedMessage(text=f"{who} was here"), who)
    except Conflict as conflict:
        there = conflict.hold
    else:
        # Somebody may have edited it again by now, but not taken this edit back.
        assert after.version > version
        return True
    assert there.version > version or there.state != "waiting"
    return False


async def releases(office: Office, view: HoldView) -> bool:
    """Somebody releases what was seen; whether that was what was there."""
    try:
        await office.review.release(view.id, seen(view), "carol")
    except Conflict:
        return False
    return True


async def race(office: Office, chance: random.Random) -> str:
    """Two people edit what both saw while a third one releases it: exactly one of them is in time."""
    what = held(request(b"original"))
    task, view = await office.waiting(what)
    people = {"ann": edits(office, what.id, 1, "ann"), "bob": edits(office, what.id, 1, "bob")}
    approves_at_once = chance.random() < 0.5
    steps = [*people.values(), *([releases(office, view)] if approves_at_once else [])]
    names = [*people, *(["carol"] if approves_at_once else [])]
    tasks = {}
    for place in chance.sample(range(len(steps)), len(steps)):
        tasks[names[place]] = asyncio.ensure_future(steps[place])
        if chance.random() < 0.5:
            await office.review.rules()  # a head start: one turn of the desk
    won = [name for name, made in tasks.items() if await made]
    assert len(won) == 1, won
    if won == ["carol"]:
        approved, content = view.digest, b"original"
    else:
        now = await office.review.shown(what.id)
        assert (now.version, now.content.text) == (2, f"{won[0]} was here")
        assert await releases(office, now)
        approved, content = now.digest, f"{won[0]} was here".encode()
    decision = await task
    assert decision.message is not None
    assert decision.digest.hex() == approved == decision.message.digest.hex()
    assert decision.message.content == Content.of(content)
    return won[0]


async def test_a40_two_editors_race_a_thousand_times_and_none_is_lost(office: Office) -> None:
    chance = random.Random(40)
    won: list[str] = []
    for _ in range(RACES // AT_ONCE):
        won += await asyncio.gather(*(race(office, chance) for _ in range(AT_ONCE)))
        for row in (await office.review.listed("decided", AT_ONCE)).holds:
            office.local.settled(row.id, Settled(status=200))
        await office.until(lambda: {row.state for row in {row.id: row for row in office.rows}.values()} == {"settled"})
        office.rows.clear()
    assert len(won) == RACES
    assert set(won) == {"ann", "bob", "carol"}
    page = await office.review.audit()
    assert page.sound


async def test_a40_versions_follow_each_other_without_a_gap(office: Office) -> None:
    what = held(request(b"0"))
    task, _ = await office.waiting(what)

    async def adds_one(who: str) -> int:
        lost = 0
        for _ in range(25):
            while True:
                view = await office.review.shown(what.id)
                assert view.content.text is not None
                change = EditedMessage(text=str(int(view.content.text) + 1))
                try:
                    await office.review.edit(what.id, view.version, change, who)
                    break
                except Conflict:
                    lost += 1
        return lost

    await asyncio.gather(*(adds_one(who) for who in ("ann", "bob", "carol")))
    view = await office.review.shown(what.id)
    assert (view.content.text, view.version) == ("75", 76)
    task.cancel()

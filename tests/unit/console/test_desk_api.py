"""What people do at the desk through the API: a real desk, two reviewers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.asgi import Asgi
from tests.support.console import Console

from interpose.core.hold import Content, Decision, Held, HeldMessage, Mode, Verdict, What

FIELDS = b"Host: shop.example\r\nContent-Type: application/json\r\n"


def held(id: str = "abcdefgh", content: bytes = b'{"amount": 100}', **changes: Any) -> Held:
    fields = changes.pop("fields", FIELDS)
    message = HeldMessage(
        What.REQUEST, "POST", "http://shop.example/orders", fields=fields, content=Content.of(content)
    )
    return Held(id=id, message=message, rule="orders", client=("127.0.0.1", 40000), at=1_790_000_000.0, **changes)


@asynccontextmanager
async def waiting(console: Console, one: Held) -> AsyncIterator[asyncio.Task[Decision]]:
    """A client that waits for a decision about `one`, which is held when this is entered."""
    task = asyncio.create_task(console.desk.hold(one))
    async with asyncio.timeout(10):
        while (await console.control.get(f"/desk/{one.id}")).status == 404:  # noqa: ASYNC110 - it is being stored
            await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def seen(asked: Asgi, id: str = "abcdefgh") -> dict[str, Any]:
    hold = (await asked.get(f"/desk/{id}")).json
    return {"version": hold["version"], "digest": hold["digest"]}


async def named(page: Asgi, reviewer: str) -> Asgi:
    """`page` of somebody who has said a name."""
    answer = await page.post("/session", {"reviewer": reviewer})
    page.fields["Cookie"] = answer.fields["set-cookie"].partition(";")[0]
    return page


async def test_what_waits_is_listed_and_shown(console: Console) -> None:
    assert (await console.control.get("/desk")).json == {"holds": [], "waiting": 0}
    async with waiting(console, held()):
        listed = (await console.control.get("/desk")).json
        assert (listed["waiting"], [hold["id"] for hold in listed["holds"]]) == (1, ["abcdefgh"])
        answer = await console.control.get("/desk/abcdefgh")
        assert (answer.status, answer.fields["etag"]) == (200, '"1"')
        hold = answer.json
        assert (hold["method"], hold["url"], hold["client_waits"], hold["original"]) == (
            "POST", "http://shop.example/orders", True, None,
        )  # fmt: skip
        assert hold["content"]["text"] == '{"amount": 100}'
        assert (await console.control.get("/desk/abcdefgh/content")).content == b'{"amount": 100}'
        assert (await console.control.get("/desk?state=never")).status == 422


async def test_an_edit_is_released_as_it_was_seen(console: Console) -> None:
    ann, bob = await named(await console.page(), "ann"), await named(await console.page("editor"), "bob")
    async with waiting(console, held()) as decision:
        edited = await bob.put("/desk/abcdefgh", {"text": '{"amount": 1}'}, {"If-Match": '"1"'})
        assert (edited.status, edited.fields["etag"], edited.json["original"]["content"]["text"]) == (
            200, '"2"', '{"amount": 100}',
        )  # fmt: skip
        released = await ann.post("/desk/abcdefgh/release", {**await seen(ann), "why": "fine"})
        assert (released.status, released.json["verdict"]) == (200, "release")
        made = await decision
    assert (made.verdict, made.version) == (Verdict.RELEASE, 2)
    assert made.message is not None
    assert (made.message.content.data, made.message.digest) == (b'{"amount": 1}', made.digest)
    audit = (await ann.get("/desk/audit")).json
    assert audit["sound"] is True
    assert [(entry["who"], entry["what"]) for entry in audit["entries"]] == [
        ("interpose", "held"), ("bob", "edited"), ("ann", "released"),
    ]  # fmt: skip


async def test_a40_an_edit_needs_the_version_that_was_seen(console: Console) -> None:
    async with waiting(console, held()):
        asked = console.control
        assert (await asked.put("/desk/abcdefgh", {"text": "{}"})).status == 428
        assert (await asked.put("/desk/abcdefgh", {"text": "{}"}, {"If-Match": '"1"'})).status == 200
        late = await asked.put("/desk/abcdefgh", {"text": "[]"}, {"If-Match": '"1"'})
        assert (late.status, late.fields["etag"], late.json["version"], late.json["id"]) == (412, '"2"', 2, "abcdefgh")
        assert late.json["content"]["text"] == "{}"
        assert late.json["errors"]
        for tag in ('"x"', "*", '"99999999999"'):
            assert (await asked.put("/desk/abcdefgh", {"text": "[]"}, {"If-Match": tag})).status == 412
        assert (await asked.get("/desk/abcdefgh")).json["content"]["text"] == "{}"


async def test_a40_of_two_who_edit_at_once_one_is_told(console: Console) -> None:
    async with waiting(console, held()):
        for version in range(1, 40):
            tag = {"If-Match": f'"{version}"'}
            answers = await asyncio.gather(
                *(console.control.put("/desk/abcdefgh", {"text": f'{{"{who}": {version}}}'}, tag) for who in "ab")
            )
            assert sorted(answer.status for answer in answers) == [200, 412]
            won, lost = sorted(answers, key=lambda answer: answer.status)
            assert lost.json["content"]["text"] == won.json["content"]["text"]


@pytest.mark.parametrize("action", ["release", "drop", "answer"])
async def test_a40_a_decision_binds_what_was_seen(console: Console, action: str) -> None:
    async with waiting(console, held()) as decision:
        before = await seen(console.control)
        await console.control.put("/desk/abcdefgh", {"text": "{}"}, {"If-Match": '"1"'})
        wanted = {**before, "answer": {"status": 200}} if action == "answer" else before
        answer = await console.control.post(f"/desk/abcdefgh/{action}", wanted)
        assert (answer.status, answer.json["version"]) == (409, 2)
        now = await seen(console.control)
        for bad in ({**now, "digest": before["digest"]}, {**now, "version": 1}):
            answer = await console.control.post(
                f"/desk/abcdefgh/{action}", {**bad, "answer": {"status": 200}} if action == "answer" else bad
            )
            assert answer.status == 409
        assert not decision.done()


@pytest.mark.parametrize(
    ("action", "content"),
    [
        ("release", {}),
        ("release", {"version": 1, "digest": "xyz"}),
        ("release", {"version": "1", "digest": ""}),
        ("release", {"version": 1, "digest": "", "answer": {"status": 200}}),
        ("answer", {"version": 1, "digest": ""}),
    ],
)
async def test_a_decision_that_makes_no_sense_is_refused(
    console: Console, action: str, content: dict[str, Any]
) -> None:
    async with waiting(console, held()) as decision:
        assert (await console.control.post(f"/desk/abcdefgh/{action}", content)).status == 422
        assert not decision.done()


async def test_a_request_is_answered_by_hand(console: Console) -> None:
    async with waiting(console, held()) as decision:
        answer = {"status": 418, "fields": [["Content-Type", "text/plain"]], "text": "no"}
        said = await console.control.post("/desk/abcdefgh/answer", {**await seen(console.control), "answer": answer})
        assert said.status == 200
        made = await decision
    assert made.verdict is Verdict.ANSWER
    assert made.message is not None
    assert (made.message.status, made.message.content.data) == (418, b"no")


async def test_what_nobody_waits_for_is_sent_and_not_released(console: Console) -> None:
    await console.desk.accept(held("zyxwvuts", mode=Mode.ACCEPT))
    now = await seen(console.control, "zyxwvuts")
    assert (await console.control.post("/desk/zyxwvuts/answer", {**now, "answer": {"status": 200}})).status == 409
    assert (await console.control.post("/desk/zyxwvuts/drop", now)).json["verdict"] == "drop"
    assert (await console.control.get("/desk?state=decided")).json["holds"][0]["id"] == "zyxwvuts"


async def test_who_looks_is_known(console: Console) -> None:
    page = await named(await console.page(), "ann")
    async with waiting(console, held()):
        await page.post("/desk/abcdefgh/review", {"reviewing": True})
        assert (await page.get("/desk/abcdefgh")).json["reviewers"] == ["ann"]
        await page.post("/desk/abcdefgh/review", {"reviewing": False})
        assert (await page.get("/desk")).json["holds"][0]["reviewers"] == []


async def test_what_is_like_it_passes_for_a_while(console: Console) -> None:
    async with waiting(console, held()):
        rule = (await console.control.post("/desk/abcdefgh/rule", {"for_s": 60})).json
        assert (await console.control.get("/desk/rules")).json["rules"] == [rule]
        decision = await console.desk.hold(held("bbbbbbbb"))
        assert (decision.verdict, decision.by) == (Verdict.RELEASE, "rule")
        assert (await console.control.post("/desk/abcdefgh/rule", {"query": "stats:1"})).json["at"] == {
            "position": 0, "length": 5,
        }  # fmt: skip
        assert (await console.control.post("/desk/abcdefgh/rule", {"for_s": 0})).status == 422
        assert (await console.control.ask("DELETE", f"/desk/rules/{rule['id']}")).status == 200
        assert (await console.control.ask("DELETE", f"/desk/rules/{rule['id']}")).status == 404


async def test_content_is_coded_again_after_an_edit(console: Console) -> None:
    fields = FIELDS + b"Content-Encoding: gzip\r\n"
    async with waiting(console, held(content=gzip.compress(b"[1]"), fields=fields)) as decision:
        asked = console.control
        assert (await asked.get("/desk/abcdefgh/content?decoded=1")).content == b"[1]"
        await asked.put("/desk/abcdefgh", {"text": "[2]"}, {"If-Match": '"1"'})
        await asked.post("/desk/abcdefgh/release", await seen(asked))
        made = await decision
    assert made.message is not None
    assert gzip.decompress(made.message.content.data) == b"[2]"


async def test_content_whose_coding_is_broken_is_still_given_as_it_is(console: Console) -> None:
    fields = FIELDS + b"Content-Encoding: gzip\r\n"
    async with waiting(console, held(content=b"no gzip", fields=fields)):
        assert (await console.control.get("/desk/abcdefgh/content?decoded=1")).status == 422
        answer = await console.control.get("/desk/abcdefgh/content")
        assert answer.content == b"no gzip"
        assert answer.fields["content-disposition"].startswith("attachment")


async def test_what_is_no_hold_is_not_there(console: Console) -> None:
    assert (await console.control.get("/desk/nothing")).status == 404
    wanted = {"version": 1, "digest": "00"}
    for action in ("release", "drop", "send", "review", "rule"):
        content = wanted if action in ("release", "drop", "send") else {}
        assert (await console.control.post(f"/desk/nothing/{action}", content)).status == 404, action
    assert (await console.control.put("/desk/nothing", {}, {"If-Match": '"1"'})).status == 404


async def test_everybody_who_watches_hears_of_a_hold(console: Console) -> None:
    page = await console.page("viewer")
    async with page.stream("/events") as stream:
        await stream.until("retry")
        async with waiting(console, held()):
            await stream.until("event: hold\n")
            await console.control.post("/desk/abcdefgh/drop", await seen(console.control))
            text = await stream.until('"verdict":"drop"')
    assert '"state":"waiting"' in text

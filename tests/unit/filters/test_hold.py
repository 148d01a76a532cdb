"""What the hold filter does with what a desk decides. The desk is a fake; contents are really kept."""

import asyncio
import gzip
import hashlib
import json
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.fake_desk import FakeDesk

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Phase
from interpose.core.hold import Content, HeldMessage, Mode, Settled, Standing, Verdict, What
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.hold.filter import PLACE, Hold
from interpose.filters.hold.holder import Holder
from interpose.filters.hold.options import HoldOptions, HoldRule
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.script import Script
from interpose.protocol.held import apply_to_request
from interpose.storage.desk.keeper import ContentKeeper

TARGET = Target(Form.ORIGIN, "http", Authority("shop.example", 8000), "/cart", "a=1")
SOON = 10


class Scene:
    """A filter before an origin that remembers what it got."""

    def __init__(self, directory: Path, *rules: HoldRule, most: int = 1 << 20) -> None:
        self.desk = FakeDesk()
        self.directory = directory
        (directory / "incoming").mkdir()
        keeper = ContentKeeper(str(directory), most)
        self.filter = Hold(HoldOptions(rules=rules), Holder(self.desk, keeper), "main", "shop")
        self.exchange = Exchange(1, 0, "main", Address("192.0.2.1", 4000), 0.0)
        self.seen: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        self.answer = Response(200, Fields([("Content-Type", "text/plain")]), Body(b"from the origin"))

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append((request.method, str(request.target), list(request.fields), await request.body.read(1 << 20)))
        return self.answer

    def begin(self, request: Request) -> asyncio.Task[Response]:
        handling: Coroutine[Any, Any, Response] = self.filter(self.exchange, request, self.origin)
        return asyncio.create_task(handling)

    def finish(self, status: int = 200, failure: Failure | None = None) -> None:
        self.exchange.finish(Outcome(status, 0, failure, 1.0))


def post(body: Body | None = None, *fields: tuple[str, str]) -> Request:
    return Request("POST", TARGET, Fields(fields), body or Body(b'{"amount": 1}'))


INBOUND = HoldRule(when="method:POST")
OUTBOUND = HoldRule(when="status:200", side="outbound", name="answers")


async def within(waiting: asyncio.Task[Response]) -> Response:
    async with asyncio.timeout(SOON):
        return await waiting


async def test_what_no_rule_means_passes_untouched(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    response = await within(scene.begin(Request("GET", TARGET, Fields())))
    assert response is scene.answer
    assert scene.desk.held == []


async def test_a_released_request_goes_on_as_it_was(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post(None, ("X-A", "1")))
    held = await scene.desk.one()
    assert scene.exchange.is_waiting
    assert (held.message.what, held.message.method, held.message.target) == (
        What.REQUEST,
        "POST",
        "http://shop.example:8000/cart?a=1",
    )
    assert (held.message.fields, held.message.content.data) == (b"X-A: 1\r\n", b'{"amount": 1}')
    assert (held.rule, held.listener, held.mode, held.timeout_s, held.on_timeout) == (
        "method:POST",
        "main",
        Mode.WAIT,
        300.0,
        Verdict.DROP,
    )
    assert scene.seen == []
    scene.desk.decide(held, Verdict.RELEASE)
    assert (await within(waiting)).status == 200
    assert not scene.exchange.is_waiting
    assert scene.seen == [("POST", "http://shop.example:8000/cart?a=1", [("X-A", "1")], b'{"amount": 1}')]
    assert scene.desk.told == []
    scene.finish(201)
    assert scene.desk.told == [(held.id, Settled(status=201))]


async def test_an_edited_request_goes_on_as_it_was_edited(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    edited = replace(
        held.message,
        method="PUT",
        target="http://shop.example:8000/basket",
        fields=b"X-B: 2\r\nContent-Length: 999\r\n",
        content=Content.of(b"{}"),
    )
    scene.desk.decide(held, Verdict.RELEASE, edited, version=2)
    await within(waiting)
    assert scene.seen == [("PUT", "http://shop.example:8000/basket", [("X-B", "2")], b"{}")]
    assert scene.exchange.notes["edited"] == "version 2"


@pytest.mark.parametrize(
    "edited",
    [
        {"fields": b"Transfer Encoding: chunked\r\n"},
        {"fields": b"Connection: close\r\n"},
        {"fields": b"X-A: \x00\r\n"},
        {"method": "GET /\r\nX: "},
        {"target": "http://shop.example/a b"},
        {"target": "gopher://shop.example/"},
        {"target": "http://shop.example/ü"},
    ],
)
async def test_an_edit_that_is_no_request_goes_nowhere(tmp_path: Path, edited: dict[str, Any]) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    scene.desk.decide(held, Verdict.RELEASE, replace(held.message, **edited))
    with pytest.raises(Failure, match="What was decided cannot be sent"):
        await within(waiting)
    assert scene.seen == []


async def test_a40_what_was_not_approved_goes_nowhere(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    other = replace(held.message, content=replace(held.message.content, data=b"other octets"))
    scene.desk.decide(held, Verdict.RELEASE, other)
    with pytest.raises(Failure, match="its digest differs"):
        await within(waiting)
    assert scene.seen == []


async def test_a_dropped_request_is_a_403_that_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    scene.desk.decide(await scene.desk.one(), Verdict.DROP, why="Not on a Friday.")
    with pytest.raises(Failure, match=r"held and then dropped\. ann decided so: Not on a Friday") as dropped:
        await within(waiting)
    assert dropped.value.status == 403
    assert (scene.exchange.notes["filter"], scene.exchange.notes["rule"]) == ("hold", "method:POST")
    assert scene.seen == []


async def test_a_request_can_be_answered_by_hand(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    answer = replace(
        held.message, what=What.RESPONSE, status=418, fields=b"X-By: hand\r\n", content=Content.of(b"No coffee.")
    )
    scene.desk.decide(held, Verdict.ANSWER, answer)
    response = await within(waiting)
    assert (response.status, list(response.fields), await response.body.read(100)) == (
        418,
        [("X-By", "hand")],
        b"No coffee.",
    )
    assert scene.seen == []


async def test_large_content_waits_in_a_file_and_is_sent_from_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    large = bytes(range(256)) * 1000
    waiting = scene.begin(post(Body(large)))
    held = await scene.desk.one()
    content = held.message.content
    assert (content.data, content.size, content.sha256) == (b"", 256000, hashlib.sha256(large).digest())
    assert Path(content.file) == tmp_path / "incoming" / held.id
    assert os.stat(content.file).st_mode & 0o777 == 0o600
    scene.desk.decide(held, Verdict.RELEASE)
    await within(waiting)
    assert scene.seen[0][3] == large


async def test_a40_a_file_that_changed_after_its_approval_goes_nowhere(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post(Body(b"a" * 100_000)))
    held = await scene.desk.one()
    with open(held.message.content.file, "wb") as file:  # noqa: ASYNC230 - a test may wait
        file.write(b"b" * 100_000)
    scene.desk.decide(held, Verdict.RELEASE)
    with pytest.raises(Failure, match="its digest differs"):
        await within(waiting)
    assert scene.seen == []


async def test_content_above_the_limit_is_413_and_leaves_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND, most=100_000)
    with pytest.raises(Failure) as refused:
        await within(scene.begin(post(Body(b"a" * 100_001))))
    assert refused.value.status == 413
    assert list((tmp_path / "incoming").iterdir()) == []
    assert scene.desk.held == []


async def test_a_desk_that_cannot_store_it_lets_nothing_through(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    scene.desk.refusal = Failure("proxy_internal_error", Side.INTERNAL, "The disk is full.", status=507)
    with pytest.raises(Failure) as refused:
        await within(scene.begin(post()))
    assert refused.value.status == 507
    assert scene.seen == []


async def test_a_client_that_leaves_is_told_to_the_desk(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(waiting)
    assert scene.desk.left == [held.id]
    assert not scene.exchange.is_waiting


async def test_what_somebody_sends_again_is_not_held_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND, OUTBOUND)
    scene.exchange.notes["replay_of"] = "7"
    assert await within(scene.begin(post())) is scene.answer
    assert scene.desk.held == []


async def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    rules = HoldRule(when="path:/cart", action="pass"), INBOUND
    scene = Scene(tmp_path, *rules)
    assert (await within(scene.begin(post()))).status == 200
    assert scene.desk.held == []


@pytest.mark.parametrize("path", ["/cart;x=y/z", "/cart;x", "/;x/cart/z"])
async def test_a13_parameters_in_a_path_do_not_lead_round_a_rule(tmp_path: Path, path: str) -> None:
    scene = Scene(tmp_path, HoldRule(when="path:/cart path:/cart/*".replace(" ", " OR ")))
    waiting = scene.begin(Request("POST", TARGET._replace(path=path), Fields(), Body(b"x")))
    scene.desk.decide(await scene.desk.one(), Verdict.RELEASE)
    await within(waiting)
    assert scene.seen[0][1] == f"http://shop.example:8000{path}?a=1"


async def test_a13_nor_through_an_exception(tmp_path: Path) -> None:
    scene = Scene(tmp_path, HoldRule(when="path:/*open/*", action="pass"), HoldRule(when="*"))
    waiting = scene.begin(Request("POST", TARGET._replace(path="/;open/secret"), Fields(), Body(b"x")))
    scene.desk.decide(await scene.desk.one(), Verdict.RELEASE)
    await within(waiting)


async def test_a_rule_may_look_into_the_content_coded_or_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path, HoldRule(when='request.body:"amount"'))
    coded = post(Body(gzip.compress(b'{"amount": 1}')), ("Content-Encoding", "gzip"))
    waiting = scene.begin(coded)
    held = await scene.desk.one()
    assert gzip.decompress(held.message.content.data) == b'{"amount": 1}'
    scene.desk.decide(held, Verdict.RELEASE)
    await within(waiting)
    assert (await within(scene.begin(post(Body(b"nothing"))))).status == 200
    assert scene.seen[1][3] == b"nothing"


async def test_a_response_can_be_held_edited_and_dropped(tmp_path: Path) -> None:
    scene = Scene(tmp_path, OUTBOUND)
    waiting = scene.begin(post())
    held = await scene.desk.one()
    assert (held.message.what, held.message.status, held.message.content.data) == (
        What.RESPONSE,
        200,
        b"from the origin",
    )
    assert held.request is not None
    assert (held.request.method, held.request.target) == ("POST", "http://shop.example:8000/cart?a=1")
    scene.desk.decide(held, Verdict.RELEASE, replace(held.message, status=203, content=Content.of(b"edited")))
    response = await within(waiting)
    assert (response.status, await response.body.read(100)) == (203, b"edited")
    scene.answer = Response(200, Fields(), Body(b"again"))
    waiting = scene.begin(post())
    scene.desk.decide(await scene.desk.one(1), Verdict.DROP, by="deadline")
    with pytest.raises(Failure, match="Nobody decided in time"):
        await within(waiting)


async def test_endless_streams_are_exempt_unless_they_are_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path, OUTBOUND)
    scene.answer = Response(200, Fields([("Content-Type", "text/event-stream; charset=utf-8")]), Body(b"data: 1\n\n"))
    assert await within(scene.begin(post())) is scene.answer
    switching = Response(101)
    switching.then = lambda stream: None
    scene.answer = switching
    assert await within(scene.begin(post())) is switching
    assert scene.desk.held == []


async def test_202_is_told_once_it_is_stored_and_the_client_can_ask(tmp_path: Path) -> None:
    scene = Scene(tmp_path, HoldRule(when="method:POST", mode="accept"))
    response = await within(scene.begin(post()))
    (held,) = scene.desk.accepted
    assert (response.status, response.fields["Location"], held.mode) == (202, f"{PLACE}{held.id}", Mode.ACCEPT)
    assert held.timeout_s == 0
    assert scene.seen == []
    scene.desk.standings[held.id] = Standing(state="settled", verdict="release", how=Settled(status=204))
    asking = TARGET._replace(path=f"{PLACE}{held.id}")
    answer = await within(scene.begin(Request("GET", asking, Fields())))
    assert json.loads(await answer.body.read(1000)) == {
        "state": "settled",
        "decision": "release",
        "status": 204,
        "failure": None,
    }
    unknown = TARGET._replace(path=f"{PLACE}nothing")
    assert (await within(scene.begin(Request("GET", unknown, Fields())))).status == 404


SCRIPT = """
import interpose

@interpose.filter
async def ask(exchange, request, forward):
    decision = await exchange.hold("a human has to look")
    exchange.notes["asked"] = f"{decision.verdict} by {decision.by}"
    return decision.answer or await forward(exchange, request)
"""


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_a_script_can_hold_too(tmp_path: Path, verdict: Verdict) -> None:
    scene = Scene(tmp_path)
    file = tmp_path / "ask.py"
    file.write_text(SCRIPT)
    holder = Holder(scene.desk, ContentKeeper(str(tmp_path), 1 << 20))
    slot = Script(ScriptOptions(file=str(file)), hold=holder.for_script).slot(Phase.EDIT)
    waiting = asyncio.ensure_future(slot(scene.exchange, post(), scene.origin))
    held = await scene.desk.one()
    assert held.rule == "a human has to look"
    changed = {
        Verdict.RELEASE: replace(held.message, content=Content.of(b"edited")),
        Verdict.ANSWER: replace(held.message, what=What.RESPONSE, status=299, content=Content.of(b"by hand")),
        Verdict.DROP: None,
    }
    scene.desk.decide(held, verdict, changed[verdict])
    if verdict is Verdict.DROP:
        with pytest.raises(Failure) as dropped:
            await waiting
        assert dropped.value.status == 403
        return
    response = await waiting
    assert response.status == {Verdict.RELEASE: 200, Verdict.ANSWER: 299}[verdict]
    assert scene.exchange.notes["asked"] == f"{verdict} by ann"
    assert [content for *_, content in scene.seen] == ([b"edited"] if verdict is Verdict.RELEASE else [])


async def test_without_a_desk_a_script_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing can be held here"):
        await Exchange(1, 0, "main", Address("192.0.2.1", 1), 0.0).hold("why")


async def test_what_nobody_waits_for_any_more_is_delivered_from_the_filter_inwards(tmp_path: Path) -> None:
    scene = Scene(tmp_path, INBOUND)
    scene.filter.stands_before(scene.origin)
    request = Request("GET", TARGET, Fields())
    apply_to_request(HeldMessage(What.REQUEST, "POST", str(TARGET), fields=b"X-A: 1\r\n"), request)
    request.body = Body(b'{"amount": 1}')
    response = await scene.filter.deliver(scene.exchange, request)
    assert response.status == 200
    assert scene.seen == [("POST", "http://shop.example:8000/cart?a=1", [("X-A", "1")], b'{"amount": 1}')]

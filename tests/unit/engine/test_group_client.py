"""What a gateway sends to which of its servers, when it tries another one, and when it lets a request wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.origins_in_memory import (
    OK,
    REFUSED,
    A,
    B,
    Dialling,
    Paused,
    answered,
    client_of,
    exchange,
    request,
    settle,
)  # fmt: skip

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.target import Origin
from interpose.engine.client import UpstreamClient
from interpose.engine.group_client import GroupClient, ServerClient
from interpose.engine.live_group import LiveGroup, LiveOptions
from interpose.engine.sticky import Sticky
from interpose.upstream.group import Member
from interpose.upstream.options import GroupOptions

C = Origin("http", "c.example", 80)


@pytest.fixture
def dial() -> Dialling:
    return Dialling()


@pytest.fixture
async def client(dial: Dialling) -> UpstreamClient:
    return client_of(dial)


def live(*origins: Origin, limit: int = 0, balance: Any = "first", **options: Any) -> LiveGroup:
    made = LiveGroup("g")
    made.configure(LiveOptions([Member(one, 1.0, limit) for one in origins], GroupOptions(balance), **options))
    return made


def asked(group: GroupClient, about: Exchange | None = None, what: Request | None = None) -> asyncio.Task[Response]:
    return asyncio.ensure_future(group(about or exchange(), what or request()))  # type: ignore[return-value]


def finish(about: Exchange, failure: Failure | None = None) -> None:
    about.finish(Outcome(200, 2, failure, 1.0))


async def test_servers_take_turns(client: UpstreamClient, dial: Dialling) -> None:
    group = GroupClient(client, live(A, B, balance="round_robin"))
    tasks = [asked(group) for _ in range(4)]
    await settle(lambda: dial.sent() == 4)
    assert sorted(dial.origins) == [A, A, B, B]
    for stream in dial.streams:
        stream.receive(OK)
    assert [(await task).status for task in tasks] == [200] * 4


async def test_one_that_refuses_is_passed_over_and_after_three_times_not_asked(
    client: UpstreamClient, dial: Dialling
) -> None:
    group = GroupClient(client, live(A, B))
    dial.refuses.add(A)
    for number in range(1, 6):
        about = exchange()
        task = asked(group, about)
        await settle(lambda number=number: dial.sent() == number)  # type: ignore[misc]
        assert await answered(task, dial.streams[-1]) == b"ok"
        assert [attempt.origin for attempt in about.attempts] == ([A, B] if number <= 3 else [B])
        finish(about)
    assert dial.origins.count(A) == 3


async def test_f24_when_every_server_refuses_the_last_refusal_is_the_answer_and_then_503_at_once(
    client: UpstreamClient, dial: Dialling
) -> None:
    dial.refuses = {A, B}
    group = GroupClient(client, live(A, B))
    for _ in range(3):
        about = exchange()
        with pytest.raises(Failure, match="connection_refused"):
            await asyncio.wait_for(asked(group, about), 5)
        assert [attempt.failure for attempt in about.attempts] == [REFUSED, REFUSED]
    about = exchange()
    with pytest.raises(Failure, match="destination_unavailable") as caught:
        await asyncio.wait_for(asked(group, about), 5)
    assert (caught.value.status, about.attempts, len(dial.origins)) == (503, [], 6)
    assert about.notes["filter"] == "balance"


async def test_a_post_whose_server_closes_before_it_was_sent_goes_to_another_one(
    client: UpstreamClient, dial: Dialling
) -> None:
    dial.closes.add(A)
    task = asked(GroupClient(client, live(A, B)), None, request("POST", Body(b"x")))
    await settle(lambda: len(dial.streams) == 2 and b"POST" in dial.streams[1].sent)
    assert await answered(task, dial.streams[1]) == b"ok"
    assert dial.streams[0].sent == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH"])
async def test_f3_what_was_sent_and_not_answered_goes_to_another_one_only_when_it_may_be_repeated(
    client: UpstreamClient, dial: Dialling, method: str
) -> None:
    body = None if method == "GET" else Body(b"content")
    task = asked(GroupClient(client, live(A, B)), None, request(method, body))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    dial.streams[0].receive_end()
    if method in ("POST", "PATCH"):
        with pytest.raises(Failure, match="connection_terminated"):
            await asyncio.wait_for(task, 5)
        assert dial.origins == [A]
        return
    await settle(lambda: len(dial.streams) == 2 and dial.streams[1].sent)
    assert await answered(task, dial.streams[1]) == b"ok"
    [first], [second] = (judge.read_requests(stream.sent) for stream in dial.streams)
    assert first == second
    assert second.body == (b"" if method == "GET" else b"content")


@pytest.mark.parametrize("said", [b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", b"HTTP/1.1 2"])
async def test_f3_nothing_is_repeated_once_a_byte_of_an_answer_has_come(
    client: UpstreamClient, dial: Dialling, said: bytes
) -> None:
    task = asked(GroupClient(client, live(A, B)))
    await settle(lambda: dial.sent() == 1)
    dial.streams[0].receive(said)
    await asyncio.sleep(0)
    dial.streams[0].receive_end()
    with pytest.raises(Failure, match=r"connection_terminated|http_response_incomplete"):
        await asyncio.wait_for(task, 5)
    assert dial.origins == [A]


async def test_a_put_whose_content_was_still_coming_is_not_repeated(client: UpstreamClient, dial: Dialling) -> None:
    body = Body.streaming(Paused(), 10)
    body.feed(b"01234")
    task = asked(GroupClient(client, live(A, B)), None, request("PUT", body))
    await settle(lambda: dial.streams and b"01234" in dial.streams[0].sent)
    dial.streams[0].receive_end()
    with pytest.raises(Failure, match="connection_terminated"):
        await asyncio.wait_for(task, 5)
    assert dial.origins == [A]


async def test_content_that_broke_off_before_anything_was_sent_is_nobodys_failure(client: UpstreamClient) -> None:
    left = Failure("http_request_error", Side.DOWNSTREAM, "The client left.")
    body = Body.streaming(Paused(), 10)
    body.fail(left)
    group = live(A, B)
    with pytest.raises(Failure) as caught:
        await GroupClient(client, group)(exchange(), request("PUT", body))  # type: ignore[arg-type]
    assert caught.value is left
    assert group.group.active == sum(server.failures for server in group.group.servers) == 0


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_no_more_servers_are_tried_than_retries_allow(
    client: UpstreamClient, dial: Dialling, retries: int
) -> None:
    dial.refuses = {A, B, C}
    with pytest.raises(Failure, match="connection_refused"):
        await asyncio.wait_for(asked(GroupClient(client, live(A, B, C, retries=retries))), 5)
    assert dial.origins == [A, B, C][: 1 + retries]


async def test_a_request_counts_until_its_exchange_is_over_and_the_next_one_waits_for_that(
    client: UpstreamClient, dial: Dialling
) -> None:
    one = live(A, limit=1, max_waiting=1, queue_timeout_s=5.0)
    group, first, second = GroupClient(client, one), exchange(), exchange()
    task = asked(group, first)
    await settle(lambda: dial.sent() == 1)
    assert await answered(task, dial.streams[0]) == b"ok"
    waiting = asked(group, second)
    await settle(lambda: len(one.line) == 1)
    with pytest.raises(Failure, match="connection_limit_reached") as caught:
        await asyncio.wait_for(asked(group), 5)
    assert caught.value.status == 503
    finish(first)
    await settle(lambda: dial.sent() == 2)
    assert await answered(waiting, dial.streams[0]) == b"ok"
    assert one.group.active == 1
    finish(second)
    assert (one.group.active, len(one.line)) == (0, 0)


async def test_who_waits_too_long_is_refused_and_who_leaves_makes_room(client: UpstreamClient, dial: Dialling) -> None:
    one = live(A, limit=1, max_waiting=5, queue_timeout_s=0.05)
    group, first = GroupClient(client, one), exchange()
    asked(group, first)
    await settle(lambda: dial.sent() == 1)
    with pytest.raises(Failure, match=r"within 0\.05 s"):
        await asyncio.wait_for(asked(group), 5)
    one.line.timeout_s = 10.0
    leaving, staying = asked(group), asked(group)
    await settle(lambda: len(one.line) == 2)
    leaving.cancel()
    await settle(lambda: len(one.line) == 1)
    dial.streams[0].receive(OK)
    await settle(lambda: one.group.servers[0].health.answers > 0)
    finish(first)
    await settle(lambda: dial.sent() == 2)
    staying.cancel()
    await settle(lambda: one.group.active == 0)


async def test_who_leaves_in_the_moment_of_its_turn_gives_the_turn_to_the_next(
    client: UpstreamClient, dial: Dialling
) -> None:
    one = live(A, limit=1, max_waiting=5, queue_timeout_s=10.0)
    group = GroupClient(client, one)
    server = one.group.choose(b"", 0.0)
    assert server is not None
    leaving, next_one = asked(group), asked(group)
    await settle(lambda: len(one.line) == 2)
    one.group.ended(server)
    one.line.wake()
    leaving.cancel()
    await settle(lambda: dial.sent() == 1)
    assert await answered(next_one, dial.streams[0]) == b"ok"
    assert one.group.active == 1


async def test_a_download_that_breaks_off_is_its_servers_failure_and_a_client_that_leaves_is_not(
    client: UpstreamClient, dial: Dialling
) -> None:
    one = live(A, B)
    group = GroupClient(client, one)
    theirs = Failure("connection_terminated", Side.DOWNSTREAM)
    ours = Failure("http_response_incomplete", Side.UPSTREAM)
    for number, (failure, counted) in enumerate(((theirs, 0), (ours, 1)), 1):
        about = exchange()
        task = asked(group, about)
        await settle(lambda number=number: dial.sent() == number)  # type: ignore[misc]
        assert await answered(task, dial.streams[0]) == b"ok"
        finish(about, failure)
        assert one.group.servers[0].failures == counted
    assert one.group.active == 0


async def test_a_client_stays_with_its_server_and_cannot_choose_one(client: UpstreamClient, dial: Dialling) -> None:
    sticky = Sticky("at", b"0123456789abcdef", "g")
    one = live(A, B, balance="round_robin", sticky=sticky)
    group = GroupClient(client, one)

    async def visit(cookie: str) -> tuple[Origin, list[str]]:
        about, what = exchange(), request()
        if cookie:
            what.fields.add("Cookie", f"x=1; {cookie}")
        task = asked(group, about, what)
        before = dial.sent()
        await settle(lambda: dial.sent() > before)
        dial.streams[dial.origins.index(about.attempts[0].origin)].receive(OK)
        response = await asyncio.wait_for(task, 5)
        finish(about)
        return about.attempts[0].origin, response.fields.get_all("Set-Cookie")

    first, [said] = await visit("")
    value, _, attributes = said.partition("; ")
    assert attributes == "Path=/; HttpOnly; SameSite=Lax"
    assert "example" not in value
    for _ in range(4):
        assert await visit(value) == (first, [])
    forged = Sticky("at", b"another key, as long", "g")
    forged.have(one.group.servers)
    chosen = set()
    for server in one.group.servers * 2:
        origin, told = await visit(f"at={forged._values[server].decode()}")
        chosen.add(origin)
        assert told
    assert chosen == {A, B}


@pytest.mark.parametrize(("server", "host"), [(B, "b.example:8080"), (Origin("unix", "/s", 0), "localhost")])
@pytest.mark.parametrize("is_lone", [False, True])
async def test_a_request_that_names_no_host_is_for_the_servers_own(
    client: UpstreamClient, dial: Dialling, server: Origin, host: str, is_lone: bool
) -> None:
    end: Any = ServerClient(client, server) if is_lone else GroupClient(client, live(server))
    task = asyncio.ensure_future(end(exchange(), request(host="")))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    assert [sent.authority for sent in judge.read_requests(dial.streams[0].sent)] == [host]
    dial.streams[0].receive(OK)
    await asyncio.wait_for(task, 5)

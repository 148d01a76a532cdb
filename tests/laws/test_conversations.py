"""Invariants 3, 4, 5 and 8: whatever happens in whatever order, every exchange ends once and nobody is deceived.

Hypothesis makes a client with a few requests, origins with good and bad answers, and a random walk of steps. The judge
reads the octets of both sides; everything else is asked of what the outermost filter saw.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scenes import judge
from tests.support.world import Asked, OriginSide, Said, World, content

SIZES = st.sampled_from([0, 1, 10, 1000, 70_000, 300_000])
ASKED = st.builds(
    Asked,
    st.sampled_from(["get", "get", "head", "length", "chunked", "expect", "old", "close", "upgrade", "upgrade", "bad"]),
    SIZES,
)
GOOD = ["length", "length", "chunked", "close", "hints", "none", "unchanged", "early", "switch"]
SAID = st.builds(Said, st.sampled_from([*GOOD, *GOOD, *Said.BAD]), SIZES)
AMOUNT = st.sampled_from([1, 7, 100, 5000, 80_000])
INDEX = st.integers(0, 3)
HARMLESS = [
    st.tuples(st.just("say"), AMOUNT),
    st.tuples(st.just("say"), AMOUNT),
    st.tuples(st.just("answer"), INDEX, AMOUNT),
    st.tuples(st.just("answer"), INDEX, AMOUNT),
    st.tuples(st.just("connect"), st.just(True)),
    st.tuples(st.just("take"), INDEX, AMOUNT),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("turn"), st.integers(1, 4)),
]
HARMFUL = [
    st.tuples(st.just("connect"), st.just(False)),
    st.tuples(st.just("client_end")),
    st.tuples(st.just("client_leaves")),
    st.tuples(st.just("origin_ends"), INDEX),
    st.tuples(st.just("origin_breaks"), INDEX),
    st.tuples(st.just("pass_time"), st.sampled_from([0.1, 2.0, 40.0])),
]
NORMAL = settings(
    max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def walked(
    asked: list[Asked], said: list[Said], steps: list[tuple[object, ...]], window: int | None, needs_tasks: bool
) -> World:
    """A world after these steps and a peaceful end, judged. It has a loop of its own, lest it spoil the next one's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(walk(asked, said, steps, window, needs_tasks))


async def walk(
    asked: list[Asked], said: list[Said], steps: list[tuple[object, ...]], window: int | None, needs_tasks: bool
) -> World:
    world = World(asked, said, window=window, needs_tasks=needs_tasks)
    for name, *arguments in steps:
        moved = getattr(world, str(name))(*arguments)
        if name == "turn":
            await moved
        world.look()
    await world.settle()
    check_answers(world)
    await world.end()
    check_ends(world)
    for origin in world.origins:
        check_origin(world, origin)
    return world


def check_ends(world: World) -> None:
    """Everything that began has ended, exactly once."""
    assert world.complaints == []
    assert Counter(exchange.id for exchange, _ in world.ended) == Counter(exchange.id for exchange in world.exchanges)
    ids = {exchange.id for exchange in world.exchanges}
    # A task that is cancelled before its first step leaves no trace: whoever asked had left by then.
    unseen = 1 if world.client_left and world.server.needs_tasks else 0
    assert len(world.exchanges) == len(ids) >= world.server.exchanges - unseen
    assert all(body.ended for body in world.bodies)
    assert world.server.connections == set()
    assert world.client.open_connections == 0
    assert len(world._tunnels) == 0
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
    logged = [json.loads(line) for line in world.log]
    assert len({line["id"] for line in logged}) == len(logged) == world.server.exchanges
    statuses = {exchange.id: outcome.status for exchange, outcome in world.ended}
    assert all(statuses.get(line["id"], 0) == line["status"] for line in logged)
    assert world.most_held <= World.MOST_HELD


def check_answers(world: World) -> None:
    """What the client got is whole answers to its requests, in order; one that is not whole is visibly not."""
    rest = world.stream.sent
    outcomes = [outcome for _, outcome in world.ended]
    number = 0
    while rest:
        assert number < len(world.asked), f"an answer to nothing: {rest[:80]!r}"
        asked, said = world.asked[number], world.answers[number]
        if rest.startswith(b"HTTP/1.1 100 "):
            assert asked.kind == "expect"
            rest = rest.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            continue
        try:
            [answer], rest = judge.split_responses(
                rest, [asked.method], "websocket" if asked.kind == "upgrade" else None
            )
        except judge.Off:
            # Whoever is told half an answer sees that it is half of one.
            assert world.stream.is_lost or world.stream.is_closed
            break
        if answer.status == 101:
            assert asked.kind == "upgrade"
            return  # what follows is the tunnel's
        no_hop_by_hop(answer, {"close", "keep-alive"} if asked.kind == "old" else {"close"})
        if answer.values("x-number"):
            assert answer.values("x-number") == [str(number)]
            whole = content(number, said.size) if answer.status == 200 and asked.method != "HEAD" else b""
            if answer.framing == "close" and world.stream.was_aborted:
                assert whole.startswith(answer.body)
            else:
                assert answer.body == whole
                assert said.kind not in ("bad-head", "two-lengths", "unasked", "silent")
                assert asked.method == "HEAD" or said.kind not in ("bad-chunk", "short-chunked")
            assert answer.trailers in ([], [("X-T", str(number))])
        else:
            assert answer.status >= 400
            assert answer.values("proxy-status") != []
        number += 1
        if answer.closes:
            break
    # An outcome without a failure is an answer that the client got whole.
    good = sum(outcome.failure is None and outcome.status > 0 for outcome in outcomes)
    assert world.client_left or number >= min(good, number + 1)
    if world.is_calm:
        check_nobody_waits(world, number)


def check_nobody_waits(world: World, answered: int) -> None:
    """With nobody in the way, every request up to the first that ends the connection has its answer."""
    if answered == len(world.asked):
        return
    asked = world.asked[answered]
    if world.answers[answered].kind != "silent" or asked.kind == "bad":
        assert world.stream.is_closed or world.stream.has_ended, f"{asked} waits for its answer for ever"


def check_origin(world: World, origin: OriginSide) -> None:
    """What an origin got is whole requests, nothing twice; an unfinished one only where the connection was given up."""
    rest = origin.stream.sent
    seen: list[int] = []
    while rest:
        try:
            request, rest = judge.take_request(rest)
        except judge.Off:
            assert origin.stream.is_closed or origin.stream.is_lost
            break
        number = int(request.target[1:])
        asked = world.asked[number]
        assert request.method == asked.method
        assert request.body == (content(number, asked.size) if asked.method == "POST" else b"")
        assert request.trailers in ([], [("X-T", str(number))])
        no_hop_by_hop(request, {"upgrade", "te"})
        assert asked.kind != "bad"
        seen.append(number)
        if asked.kind == "upgrade" and world.answers[number].kind in ("switch", "unasked"):
            break  # what follows is the tunnel's
    assert sorted(set(seen)) == seen, "twice, or out of order"
    for number in seen[:-1]:
        assert not world.answers[number].is_bad, f"{world.answers[number]}, and the connection was used again"


def no_hop_by_hop(message: judge.Head, options: set[str]) -> None:
    """Only what we say ourselves about a connection."""
    for value in message.values("connection"):
        assert value.lower() in options, value
    for name in ("keep-alive", "proxy-connection", "http2-settings"):
        assert message.values(name) == []
    assert message.values("te") in ([], ["trailers"])
    assert message.values("upgrade") in ([], ["websocket"])


def check_repeats(world: World) -> None:
    """What must not be repeated arrives whole at most once; what may, at most twice."""
    arrived = Counter(number for origin in world.origins for number in origin.numbers if origin.stream.sent)
    for number, times in arrived.items():
        assert times <= (1 if world.asked[number].method == "POST" else 2)


@NORMAL
@given(
    st.lists(ASKED, min_size=1, max_size=4),
    st.lists(SAID, min_size=4, max_size=4),
    st.lists(st.one_of([*HARMLESS, *HARMFUL]), max_size=40),
    st.sampled_from([None, None, 0, 1000]),
    st.booleans(),
)
def test_whatever_happens_every_exchange_ends_once_and_nobody_is_deceived(
    asked: list[Asked],
    said: list[Said],
    steps: list[tuple[object, ...]],
    window: int | None,
    needs_tasks: bool,
) -> None:
    check_repeats(walked(asked, said, steps, window, needs_tasks))


@NORMAL
@given(
    st.lists(
        st.builds(Asked, st.sampled_from(["get", "head", "length", "chunked", "expect"]), SIZES),
        min_size=1,
        max_size=4,
    ),
    st.lists(
        st.builds(Said, st.sampled_from(["length", "chunked", "hints", "none", "unchanged"]), SIZES),
        min_size=4,
        max_size=4,
    ),
    st.lists(st.one_of(HARMLESS), max_size=40),
    st.sampled_from([None, 0, 1000]),
    st.booleans(),
)
def test_without_harm_every_request_has_its_whole_answer_on_one_connection(
    asked: list[Asked],
    said: list[Said],
    steps: list[tuple[object, ...]],
    window: int | None,
    needs_tasks: bool,
) -> None:
    world = walked(asked, said, steps, window, needs_tasks)
    assert [(outcome.status, outcome.failure) for _, outcome in world.ended] == [
        ({"none": 204, "unchanged": 304}.get(answer.kind, 200), None) for answer in said[: len(asked)]
    ]
    assert len(world.origins) == 1
    assert [number for origin in world.origins for number in origin.numbers] == list(range(len(asked)))


@pytest.mark.parametrize("needs_tasks", [True, False])
@pytest.mark.parametrize(
    ("asked", "said", "steps"),
    [
        # An answer in the middle of a long body: what is left of the body was read as a request (A4).
        ([Asked("get"), Asked("length", 300_000)], ["length", "early"], []),
        # A connection that is lost before it is used for the first time.
        ([Asked("get")], ["length"], [("say", 100), ("turn", 1), ("connect", True), ("turn", 1), ("origin_breaks", 0)]),
        # A body that nobody reads any more, for there is no origin.
        ([Asked("length", 300_000)], ["length"], [("say", 100), ("turn", 1), ("connect", False)]),
        # A switch of protocols that was not asked for, with a request waiting behind.
        ([Asked("get"), Asked("get")], ["unasked", "length"], []),
    ],
)
def test_what_went_wrong_once_stays_right(
    asked: list[Asked], said: list[str], steps: list[tuple[object, ...]], needs_tasks: bool
) -> None:
    answers = [Said(kind) for kind in said] + [Said("length")] * 4
    check_repeats(walked(asked, answers, steps, None, needs_tasks))

"""A group as its users see it: who is chosen, what ejects a server and what does not, limits, drains, retries."""

from __future__ import annotations

import random

import pytest
from bench.balancing import members

from interpose.core.failure import Failure, Side
from interpose.upstream.budget import MOST, RESERVE, RetryBudget
from interpose.upstream.group import PICKERS, Group, Lack, Member
from interpose.upstream.options import Balance, GroupOptions
from interpose.upstream.retry import may_try_another
from interpose.upstream.server import Server

WAYS = list(PICKERS)


def group(number: int = 3, **options: object) -> Group:
    made = Group("g", random.Random(1).random)
    made.configure(members(number), GroupOptions(**options))  # type: ignore[arg-type]
    return made


def ask(group: Group, now: float = 0.0, status: int = 200, key: bytes = b"k") -> Server | None:
    """One request that is answered at once."""
    server = group.choose(key, now)
    if server is not None:
        group.answered(server, status, 0.01, now)
        group.ended(server)
    return server


def refuse(group: Group, server: Server, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        group.failed(server, "refuses", now, unreachable=True)


def state(server: Server) -> str:
    return server.health.state.value


@pytest.mark.parametrize("balance", WAYS)
def test_every_way_passes_over_the_full_and_those_to_avoid_and_says_when_there_is_none(balance: Balance) -> None:
    made = Group("g", random.Random(1).random)
    made.configure([Member(one.origin, 1.0, 2) for one in members(3)], GroupOptions(balance=balance))
    chosen = [made.choose(b"k%d" % number, 0.0) for number in range(6)]
    assert all(server.active == 2 for server in made.servers)
    assert made.choose(b"k", 0.0) is None
    assert made.lack is Lack.FULL
    assert chosen[0] is not None
    made.ended(chosen[0])
    assert made.choose(b"k", 0.0, (chosen[0],)) is None
    assert made.choose(b"other", 0.0) is chosen[0]


@pytest.mark.parametrize("balance", WAYS)
def test_every_way_goes_on_with_whoever_is_left(balance: Balance) -> None:
    made = group(3, balance=balance)
    refuse(made, made.servers[0], 3)
    made.drain([made.servers[1].origin], 0.0)
    assert [ask(made, 0.1) for _ in range(5)] == [made.servers[2]] * 5
    made.drain([one.origin for one in made.servers], 0.2)
    assert ask(made, 0.2) is None
    assert made.lack is Lack.DOWN
    made.drain([], 0.3)
    assert ask(made, 0.3) is not None


@pytest.mark.parametrize("balance", WAYS)
def test_a_group_remembers_who_stays_when_it_is_configured_anew(balance: Balance) -> None:
    made = group(3, balance=balance)
    busy = made.choose(b"k", 0.0)
    refuse(made, made.servers[2], 3)
    before = made.servers
    made.configure(members(4), GroupOptions(balance=balance, eject_failures=5))
    assert made.servers[:3] == before
    assert state(made.servers[2]) == "ejected"
    assert busy is not None
    made.ended(busy)
    made.configure(members(1), GroupOptions(balance=balance))
    assert ask(made) is made.servers[0]


def test_the_first_that_may_be_had_takes_all_and_has_it_back_when_it_is_well() -> None:
    made = group(3, balance="first")
    assert {ask(made) for _ in range(9)} == {made.servers[0]}
    refuse(made, made.servers[0], 3)
    assert ask(made, 1.0) is made.servers[1]
    assert ask(made, 5.0) is made.servers[0]  # its rest is over: this is the try
    assert ask(made, 5.0) is made.servers[0]


def test_f24_a_breaker_opens_lets_one_request_try_and_rests_longer_each_time() -> None:
    made = group(2, eject_failures=3, eject_s=2.0, most_eject_s=10.0)
    bad, good = made.servers
    refuse(made, bad, 2)
    assert state(bad) == "up"
    refuse(made, bad, 1)
    assert (state(bad), bad.health.why) == ("ejected", "refuses")
    rests = []
    now = 0.0
    for _ in range(5):
        since = now
        while bad not in [made.choose(b"", now) for _ in range(2)]:
            now += 0.1
        assert state(bad) == "trying"
        assert [made.choose(b"", now) for _ in range(4)] == [good] * 4  # one request tries, not all
        made.failed(bad, "refuses", now, unreachable=True)
        rests.append(now - since)
    for rest, expected in zip(rests, [2, 4, 8, 10, 10], strict=True):
        assert 0.85 * expected <= rest <= 1.15 * expected + 0.1
    now += 12.0
    assert bad in [made.choose(b"", now) for _ in range(2)]
    made.answered(bad, 200, 0.01, now)
    assert state(bad) == "up"


def test_a_try_whose_client_leaves_teaches_nothing_and_the_next_request_tries() -> None:
    made = group(2, eject_failures=1, eject_s=1.0)
    refuse(made, made.servers[0], 1)
    assert made.choose(b"", 2.0) is made.servers[0]
    made.ended(made.servers[0])
    assert state(made.servers[0]) == "ejected"
    assert made.choose(b"", 2.0) is made.servers[0]


def test_f24_who_errs_alone_is_ejected_and_who_errs_with_all_others_is_not() -> None:
    one_bad = group(4)
    for number in range(200):
        server = one_bad.choose(b"", 0.0)
        assert server is not None
        one_bad.answered(server, 500 if server is one_bad.servers[1] else 200, 0.01, number / 100)
        one_bad.ended(server)
    assert [state(server) for server in one_bad.servers] == ["up", "ejected", "up", "up"]
    assert one_bad.servers[1].chosen <= 12
    assert "errors" in one_bad.servers[1].health.why
    all_bad = group(4)
    for _ in range(200):
        assert ask(all_bad, status=503) is not None
    assert {state(server) for server in all_bad.servers} == {"up"}


def test_f24_what_was_under_way_when_a_server_was_ejected_does_not_bring_it_back() -> None:
    made = group(2, eject_failures=1, eject_s=2.0)
    bad, good = made.servers
    before = [made.choose(b"", 0.0) for _ in range(4)]
    assert before.count(bad) == 2
    refuse(made, bad, 1)
    for status in (200, 500):
        made.answered(bad, status, 0.01, 0.1)
        made.ended(bad)
    assert state(bad) == "ejected"
    assert bad in [made.choose(b"", 3.0) for _ in range(2)]
    made.answered(bad, 500, 0.01, 3.0)
    assert state(bad) == "ejected"  # it was tried, and errs
    made.drain([good.origin], 8.0)
    assert made.choose(b"", 8.0) is bad
    made.answered(bad, 500, 0.01, 8.0)
    assert state(bad) == "up"  # better its errors than nothing


def test_f24_nobody_can_have_more_than_half_ejected_by_what_they_send() -> None:
    made = group(4)
    for server in made.servers[:3]:
        for _ in range(50):
            made.failed(server, "breaks off", 0.0, unreachable=False)
    for _ in range(50):
        made.answered(made.servers[3], 200, 0.01, 0.0)
    for server in made.servers[:3]:
        made.failed(server, "breaks off", 0.0, unreachable=False)
    assert sorted(state(server) for server in made.servers) == ["ejected", "ejected", "up", "up"]


def test_a_lone_server_is_all_there_is() -> None:
    made = group(1)
    refuse(made, made.servers[0], 50)
    for _ in range(50):
        made.failed(made.servers[0], "breaks off", 0.0, unreachable=False)
    assert state(made.servers[0]) == "up"
    assert ask(made) is made.servers[0]


def test_checks_take_a_server_out_after_so_many_failures_and_back_after_so_many_successes() -> None:
    made = group(2, slow_start_s=10.0)
    server = made.servers[0]
    told = []
    for why in ["refuses", "refuses", "", "refuses", "refuses", "refuses", "", "", ""]:
        made.checked(server, why, 0.0, rise=2, fall=3)
        told.append(state(server))
    assert told == ["up", "up", "up", "up", "up", "down", "down", "up", "up"]
    assert server.share == pytest.approx(0.1)
    made.tick(5.0)
    assert server.share == pytest.approx(0.5)
    made.tick(10.0)
    assert server.share == 1.0


def test_a_limit_for_all_together_holds() -> None:
    made = group(3, max_active=4)
    chosen = [made.choose(b"", 0.0) for _ in range(6)]
    assert [server is None for server in chosen] == [False] * 4 + [True] * 2
    assert made.lack is Lack.FULL
    assert chosen[0] is not None
    made.ended(chosen[0])
    assert made.choose(b"", 0.0) is not None


def test_who_is_preferred_is_taken_while_it_may_be_had() -> None:
    made = group(3)
    liked = made.servers[1]
    assert {made.choose(b"", 0.0, (), liked) for _ in range(4)} == {liked}
    assert made.choose(b"", 0.0, (liked,), liked) is not liked
    refuse(made, liked, 3)
    assert made.choose(b"", 0.0, (), liked) is not liked


def test_the_budget_gives_a_fifth_and_ten_each_second_and_saves_up_a_hundred() -> None:
    budget = RetryBudget()
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(50):
        budget.requested()
    assert sum(budget.take() for _ in range(100)) == 10
    budget.tick()
    assert sum(budget.take() for _ in range(100)) == RESERVE
    for _ in range(10_000):
        budget.requested()
    assert sum(budget.take() for _ in range(1000)) == MOST


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["connection_refused", "connection_terminated", "http_response_timeout"])
@pytest.mark.parametrize("sent", [False, True])
def test_f3_another_server_is_tried_unless_a_post_can_have_arrived(kind: str, method: str, sent: bool) -> None:
    expected = {
        ("connection_refused", False): True,
        ("connection_refused", True): False,
        ("connection_terminated", False): True,
        ("connection_terminated", True): method == "GET",
        ("http_response_timeout", False): False,
        ("http_response_timeout", True): False,
    }[kind, sent]
    failure = Failure(kind, Side.UPSTREAM, sent=sent)
    assert may_try_another(failure, method, answer_has_begun=False, body_can_be_replayed=True) is expected
    assert not may_try_another(failure, method, answer_has_begun=True, body_can_be_replayed=True)
    assert not may_try_another(failure, method, answer_has_begun=False, body_can_be_replayed=False)

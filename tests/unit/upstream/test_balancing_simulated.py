"""Groups of 10 to 1,000 servers in virtual time: fairness, what moves when a server goes, recovery without a rush."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from bench.balancing import Machine, Simulation, members, steady

from interpose.upstream.group import Group
from interpose.upstream.options import Balance, GroupOptions

EVEN: list[Balance] = ["round_robin", "least_active", "fastest"]


@pytest.mark.parametrize("number", [10, 100, 1000])
@pytest.mark.parametrize("balance", EVEN)
def test_equal_servers_get_equal_parts(balance: Balance, number: int) -> None:
    simulation = Simulation(
        [Machine(steady(0.01)) for _ in range(number)], GroupOptions(balance=balance), rate=10.0 * number
    )
    simulation.run(10.0)
    counts = simulation.counts()
    fair = len(simulation.rows) / number
    tolerance = {"round_robin": 0.02, "least_active": 0.05, "fastest": 0.85}[balance]  # it follows chance latencies
    assert len(counts) == number
    assert min(counts.values()) >= fair * (1 - tolerance) - 1
    assert max(counts.values()) <= fair * (1 + tolerance) + 1
    assert not any(row.failed for row in simulation.rows)


@pytest.mark.parametrize("balance", ["round_robin", "least_active"])
def test_weights_are_kept_within_two_percent_and_turns_are_spread(balance: Balance) -> None:
    group = Group("g", random.Random(2).random)
    group.configure(members(4, [1.0, 2.0, 3.0, 10.0]), GroupOptions(balance=balance))
    order = []
    for _ in range(1600):
        server = group.choose(b"", 0.0)
        assert server is not None
        order.append(server.index)
        group.ended(server)
    counts = Counter(order)
    for index, weight in enumerate([1, 2, 3, 10]):
        assert abs(counts[index] - 100 * weight) <= 2
    gaps = [number for number, index in enumerate(order) if index == 3]
    assert max(later - earlier for earlier, later in itertools.pairwise(gaps)) <= 4  # never long without it


def test_a_slow_server_gets_less_the_better_the_choice() -> None:
    """One of ten needs ten times as long, for 20 requests a second each: in turn it drowns."""
    machines = {"round_robin": 0.0, "least_active": 0.0, "fastest": 0.0}
    for balance in EVEN:
        slow = [Machine(steady(0.4 if index == 0 else 0.04), places=4) for index in range(10)]
        simulation = Simulation(slow, GroupOptions(balance=balance), rate=200.0)
        simulation.run(30.0)
        machines[balance] = simulation.quantile(0.95, since=10.0)
    assert machines["round_robin"] > 4 * machines["least_active"]
    assert machines["round_robin"] > 4 * machines["fastest"]
    assert machines["fastest"] < 0.3


@pytest.mark.parametrize("number", [10, 100, 1000])
def test_when_a_server_goes_only_its_own_keys_move_and_come_back_with_it(number: int) -> None:
    group = Group("g", random.Random(1).random)
    group.configure(members(number), GroupOptions(balance="hash"))
    keys = [b"/key/%d" % key for key in range(20_000)]

    def owners() -> list[int]:
        found = []
        for key in keys:
            server = group.choose(key, 0.0)
            assert server is not None
            found.append(server.index)
            group.ended(server)
        return found

    before = owners()
    counts = Counter(before)
    assert len(counts) == number
    if number <= 100:
        assert max(counts.values()) < 1.5 * len(keys) / number
    group.drain([group.servers[3].origin], 0.0)
    without = owners()
    moved = [key for key, (old, new) in enumerate(zip(before, without, strict=True)) if old != new]
    assert all(before[key] == 3 for key in moved)
    assert len(moved) == counts[3] <= 1.5 * len(keys) / number + 20
    assert len({without[key] for key in moved}) >= min(number - 1, len(moved) // 5)  # not all to one neighbour
    group.drain([], 0.0)
    assert owners() == before


def test_a_key_that_everybody_asks_for_does_not_bury_its_server() -> None:
    group = Group("g", random.Random(1).random)
    group.configure(members(10), GroupOptions(balance="hash"))
    chosen = [group.choose(b"/the/one", 0.0) for _ in range(1000)]
    assert max(server.active for server in group.servers) <= 1.25 * 1000 / 10 + 1
    first = chosen[0]
    assert first is not None
    assert first.active == max(server.active for server in group.servers)
    assert all(server is first for server in chosen[:16])


@pytest.mark.parametrize("number", [10, 40])
@pytest.mark.parametrize("balance", EVEN)
def test_f24_one_that_refuses_is_left_alone_and_comes_back_slowly(balance: Balance, number: int) -> None:
    """Server 0 refuses from second 10 to 20. Nobody fails (each goes on to another); in its first second back it gets
    less than a quarter of its part, and ten seconds later all of it."""
    machines = [Machine(steady(0.01)) for _ in range(number)]
    machines[0] = Machine(lambda now: None if 10.0 <= now < 20.0 else 0.01)
    options = GroupOptions(balance=balance, slow_start_s=10.0, eject_failures=3, eject_s=2.0)
    simulation = Simulation(machines, options, rate=30.0 * number)
    simulation.run(50.0)
    assert sum(row.failed for row in simulation.rows) <= 5  # those it was working on
    while_dead = simulation.counts(10.1, 20.0)
    assert while_dead[0] == 0
    returned = min(row.started for row in simulation.rows if row.server == 0 and row.started >= 20.0)
    assert returned < 20.0 + 2.0 * 2 * 2 * 1.1 + 0.2  # its third rest at the latest
    fair = 30.0
    assert simulation.counts(returned, returned + 1.0)[0] <= fair / 4
    last = simulation.counts(returned + 12.0, 50.0)[0] / (50.0 - returned - 12.0)
    assert 0.4 * fair <= last <= 1.6 * fair


def test_f24_without_slow_start_it_has_its_whole_part_at_once_and_no_more() -> None:
    machines = [Machine(steady(0.01)) for _ in range(10)]
    machines[0] = Machine(lambda now: None if 10.0 <= now < 20.0 else 0.01)
    simulation = Simulation(machines, GroupOptions(balance="least_active"), rate=500.0)
    simulation.run(40.0)
    returned = min(row.started for row in simulation.rows if row.server == 0 and row.started >= 20.0)
    assert 30 <= simulation.counts(returned, returned + 1.0)[0] <= 70


def test_f24_when_all_refuse_each_is_tried_now_and_then_and_the_first_one_back_is_found_within_a_rest() -> None:
    machines = [Machine(lambda now: None if 5.0 <= now < 60.0 else 0.01) for _ in range(10)]
    machines[4] = Machine(lambda now: None if 5.0 <= now < 40.0 else 0.01)
    options = GroupOptions(eject_failures=3, eject_s=2.0)
    simulation = Simulation(machines, options, rate=500.0)
    simulation.run(50.0)
    dead = [row for row in simulation.rows if 5.2 <= row.started < 40.0]
    assert all(row.failed for row in dead)
    tried = sum(row.server >= 0 for row in dead)
    assert tried < 35 / 2.0 * 10 * 1.2  # each of ten, once every two seconds
    found = min(row.started for row in simulation.rows if row.started > 40.0 and not row.failed)
    assert found < 42.3

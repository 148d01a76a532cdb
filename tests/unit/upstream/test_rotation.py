"""Servers in turn, and what becomes of one that fails."""

from interpose.upstream.rotation import Rotation


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def orders(rotation: Rotation[str], count: int) -> list[str]:
    return ["".join(rotation.order()) for _ in range(count)]


def test_each_one_has_its_turn() -> None:
    assert orders(Rotation("abc", Clock()), 4) == ["abc", "bca", "cab", "abc"]
    assert orders(Rotation("a", Clock()), 2) == ["a", "a"]


def test_one_that_failed_comes_last_for_a_while_and_the_others_share_its_turns() -> None:
    clock = Clock()
    rotation = Rotation("abc", clock, put_back_s=10)
    rotation.failed("b")
    assert sorted(orders(rotation, 4)) == ["acb", "acb", "cab", "cab"]
    clock.now += 9
    assert orders(rotation, 1)[0].endswith("b")
    clock.now += 1
    assert {order[0] for order in orders(rotation, 3)} == {"a", "b", "c"}


def test_when_all_failed_all_are_tried_longest_ago_first() -> None:
    clock = Clock()
    rotation = Rotation("abc", clock)
    for server in "bca":
        rotation.failed(server)
        clock.now += 1
    assert orders(rotation, 2) == ["bca", "bca"]
    rotation.failed("b")
    assert orders(rotation, 1) == ["cab"]


def test_one_that_works_again_is_like_the_others() -> None:
    rotation = Rotation("ab", Clock())
    rotation.failed("a")
    rotation.succeeded("a")
    rotation.succeeded("b")
    assert {order[0] for order in orders(rotation, 2)} == {"a", "b"}

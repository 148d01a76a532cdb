"""Which options a fault takes, and whom it befalls."""

import pytest

from interpose.core.fault import KINDS, Chances, Fault, affects, complaints, spelled


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind="latency", latency_s=0.2, jitter_s=0.1), []),
        (Fault(kind="timeout"), []),
        (Fault(kind="reset_peer", after_s=1.5, direction="inbound"), []),
        (Fault(kind="truncate"), []),
        (Fault(kind="bandwidth"), [("", "bandwidth needs rate_bytes_per_s; give it")]),
        (
            Fault(kind="latency", latency_s=1.0, rate_bytes_per_s=5),
            [
                (
                    "rate_bytes_per_s",
                    "has no meaning for latency, which takes latency_s and jitter_s; take it away",
                )
            ],
        ),
        (
            Fault(kind="loss", status=500),
            [("status", "has no meaning for loss, which takes no option of its own; take it away")],
        ),
        (
            Fault(kind="truncate", direction="inbound"),
            [("direction", "has no meaning for truncate, which is of answers only; take it away")],
        ),
        (
            Fault(kind="slicer", average_bytes=10, variation_bytes=10),
            [("variation_bytes", "must be less than average_bytes, which is 10")],
        ),
    ],
)
def test_options_belong_to_kinds(fault: Fault, expected: list[tuple[str, str]]) -> None:
    assert list(complaints(fault)) == expected


def test_every_option_belongs_to_a_kind() -> None:
    taken = {option for rule in KINDS.values() for option in rule.takes}
    assert taken | {"kind", "probability", "direction", "seed"} == set(Fault.__struct_fields__)
    assert set(Fault.__annotations__) == set(Fault.__struct_fields__)
    for rule in KINDS.values():
        assert set(rule.needs) <= set(rule.takes)
        assert rule.befalls


def test_a_fault_is_spelled_as_one_writes_it() -> None:
    fault = Fault(kind="latency", latency_s=0.25, jitter_s=0.05, probability=0.5, direction="outbound", seed=7)
    assert spelled(fault) == "latency probability=0.5 direction=outbound seed=7 latency_s=0.25 jitter_s=0.05"
    assert spelled(Fault(kind="timeout")) == "timeout"


def test_probability_is_kept_over_many() -> None:
    always, never = Chances([Fault(kind="timeout")]), Chances([Fault(kind="timeout", probability=0.0)])
    assert all(always.draw() for _ in range(100))
    assert not any(never.draw() for _ in range(100))
    half = Chances([Fault(kind="timeout", probability=0.5, seed=1)])
    hit = sum(bool(half.draw()) for _ in range(1000))
    assert 430 < hit < 570
    assert half.drawn == hit


def test_a_seed_makes_the_same_connections_fail_again() -> None:
    def run(seed: int | None) -> list[bool]:
        chances = Chances([Fault(kind="timeout", probability=0.5, seed=seed)])
        return [bool(chances.draw()) for _ in range(64)]

    assert run(7) == run(7)
    assert run(7) != run(8)
    assert run(None) != run(None)  # one chance in 2 ** 64 to fail


def test_what_follows_from_a_seed_is_the_same_too() -> None:
    def jitters() -> list[float]:
        chances = Chances([Fault(kind="latency", latency_s=1.0, seed=3)])
        return [chances.draw()[0].random.random() for _ in range(5)]

    assert jitters() == jitters()
    assert len(set(jitters())) == 5


def test_two_kinds_with_one_seed_do_not_go_together() -> None:
    chances = Chances([Fault(kind=kind, probability=0.5, seed=1) for kind in ("timeout", "reset_peer")])
    pairs = {tuple(drawn.fault.kind for drawn in chances.draw()) for _ in range(200)}
    assert pairs == {(), ("timeout",), ("reset_peer",), ("timeout", "reset_peer")}


def test_a_direction_is_both_unless_said() -> None:
    assert affects(Fault(kind="timeout"), "inbound")
    assert affects(Fault(kind="timeout"), "outbound")
    assert affects(Fault(kind="timeout", direction="inbound"), "inbound")
    assert not affects(Fault(kind="timeout", direction="inbound"), "outbound")

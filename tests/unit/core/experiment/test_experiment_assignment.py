"""Who gets which variant: evenly, independently, and the same as before where nothing calls for a change."""

from __future__ import annotations

from collections import Counter

import pytest

from interpose.core.experiment.assignment import HELD_OUT, OUT, Assignment, Choice
from interpose.core.experiment.design import Design, Factor, Level, Rival
from interpose.core.experiment.distributions import chi_square_tail

UNITS = [f"unit-{n}".encode() for n in range(20_000)]
BUTTON = Factor("button", (Level("blue"), Level("green")))
LAYOUT = Factor("layout", (Level("old", 3), Level("new", 1)))


def levels_of(design: Design, units: list[bytes] = UNITS) -> Counter[str]:
    assignment = Assignment(design)
    names = [variant.name for variant in assignment.variants]
    places = [assignment.place(unit).variant for unit in units]
    return Counter(names[place] if place >= 0 else {OUT: "out", HELD_OUT: "held out"}[place] for place in places)


def fits(found: Counter[str], shares: dict[str, float]) -> float:
    """How probable counts at least as odd are, if these are the shares."""
    total = sum(found.values())
    assert set(found) <= set(shares)
    chi_square = sum((found[name] - share * total) ** 2 / (share * total) for name, share in shares.items())
    return chi_square_tail(chi_square, len(shares) - 1)


def test_a_full_factorial_has_every_combination_by_its_weights_and_the_control_first() -> None:
    design = Design("e", "e", (BUTTON, LAYOUT))
    assert [variant.name for variant in design.variants] == [
        "button=blue, layout=old", "button=blue, layout=new", "button=green, layout=old", "button=green, layout=new",
    ]  # fmt: skip
    shares = {variant.name: variant.share for variant in design.variants}
    assert list(shares.values()) == [0.375, 0.125, 0.375, 0.125]
    assert fits(levels_of(design), shares) > 0.001


def test_a_fraction_has_what_is_listed_and_no_more() -> None:
    listed = (((("button", "blue"), ("layout", "old")), 1.0), ((("button", "green"), ("layout", "new")), 2.0))
    found = levels_of(Design("e", "e", (BUTTON, LAYOUT), listed=listed))
    assert fits(found, {"button=blue, layout=old": 1 / 3, "button=green, layout=new": 2 / 3}) > 0.001


def test_a_level_with_weight_zero_is_never_given() -> None:
    none = Factor("button", (Level("blue"), Level("green", 0)))
    assert levels_of(Design("e", "e", (none,))) == {"button=blue": len(UNITS)}


@pytest.mark.parametrize("other", ["f", "e2", ""])
def test_experiments_of_other_salts_are_independent(other: str) -> None:
    one, two = (Assignment(Design("e", salt, (BUTTON,))) for salt in ("e", other))
    both = Counter(f"{one.place(unit).variant}{two.place(unit).variant}" for unit in UNITS)
    assert fits(both, {"00": 0.25, "01": 0.25, "10": 0.25, "11": 0.25}) > 0.001


def test_who_takes_part_says_nothing_of_the_level() -> None:
    found = levels_of(Design("e", "e", (BUTTON,), share=0.3, holdout=0.1))
    expected = {"held out": 0.1, "out": 0.9 * 0.7, "button=blue": 0.9 * 0.15, "button=green": 0.9 * 0.15}
    assert fits(found, expected) > 0.001


def test_experiments_of_a_layer_share_no_unit_and_leave_none_over() -> None:
    rivals = (Rival("a"), Rival("b", 2), Rival("c"))
    designs = [Design(rival.name, rival.name, (BUTTON,), layer=("page", rivals)) for rival in rivals]
    takes = [[Assignment(design).place(unit).variant >= 0 for unit in UNITS] for design in designs]
    assert all(sum(taken) == 1 for taken in zip(*takes, strict=True))
    assert fits(Counter(dict(zip("abc", map(sum, takes), strict=True))), {"a": 0.25, "b": 0.5, "c": 0.25}) > 0.001


def test_the_holdout_of_a_layer_is_the_same_for_all_of_it() -> None:
    rivals = (Rival("a"), Rival("b"))
    designs = [Design(one.name, one.name, (BUTTON,), holdout=0.2, layer=("page", rivals)) for one in rivals]
    held = [
        {unit for unit in UNITS if assignment.place(unit).variant == HELD_OUT}
        for assignment in map(Assignment, designs)
    ]
    assert held[0] == held[1]
    assert 3_700 < len(held[0]) < 4_300


def test_when_more_take_part_those_who_did_keep_what_they_had() -> None:
    few, many = (Assignment(Design("e", "e", (BUTTON,), share=share)) for share in (0.1, 0.4))
    places = [(few.place(unit).variant, many.place(unit).variant) for unit in UNITS]
    assert all(after == before for before, after in places if before != OUT)
    assert sum(before != OUT for before, _ in places) > 1_800


def test_when_weights_change_no_more_units_move_than_have_to_and_only_to_the_one_that_grew() -> None:
    before = Choice(("t",), [("a", 1), ("b", 1), ("c", 2)])
    after = Choice(("t",), [("a", 2), ("b", 1), ("c", 2)])  # a: from 1/4 to 2/5, so 3/20 of all have to move
    moved = [(before.choose(unit), after.choose(unit)) for unit in UNITS]
    changed = [pair for pair in moved if pair[0] != pair[1]]
    assert {to for _, to in changed} == {0}
    assert abs(len(changed) / len(UNITS) - 0.15) < 0.01


def test_a_level_that_is_added_takes_from_the_others_and_moves_nobody_else() -> None:
    before = Choice(("t",), [("a", 1), ("b", 1)])
    after = Choice(("t",), [("b", 1), ("c", 1), ("a", 1)])  # the order means nothing
    names = [("ab"[before.choose(unit)], "bca"[after.choose(unit)]) for unit in UNITS]
    assert {pair for pair in names if pair[0] != pair[1]} == {("a", "c"), ("b", "c")}
    assert abs(sum(to == "c" for _, to in names) / len(UNITS) - 1 / 3) < 0.02


def test_the_promoted_variant_is_for_all_but_the_holdout() -> None:
    rivals = (Rival("e"), Rival("other"))
    design = Design(
        "e", "e", (BUTTON,), share=0.1, holdout=0.05, layer=("page", rivals), promoted=(("button", "green"),)
    )
    found = levels_of(design)
    assert set(found) == {"button=green", "held out"}
    assert 800 < found["held out"] < 1_200


def test_a_unit_is_written_down_as_a_digest_that_another_salt_makes_another_one() -> None:
    one, two = (Assignment(Design("e", salt, (BUTTON,))) for salt in ("e", "f"))
    assert one.place(b"alice").unit == one.digest(b"alice") != two.digest(b"alice")
    assert len(one.digest(b"alice")) == 16


def test_assignments_are_those_of_before() -> None:
    """What was given is given for good: a change here would give everybody another variant."""
    assignment = Assignment(Design("checkout", "checkout", (BUTTON, LAYOUT), share=0.5, holdout=0.1))
    assert [assignment.place(unit).variant for unit in UNITS[:16]] == EXPECTED


EXPECTED = [0, OUT, 1, 0, 0, 2, 0, OUT, 0, OUT, OUT, OUT, 0, OUT, 3, 0]

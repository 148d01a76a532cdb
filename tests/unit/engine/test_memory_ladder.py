import pytest

from interpose.engine.memory_ladder import Ladder, MemoryLevel, level_at, resident_bytes

OK, SHED, REFUSE, STOP, RECYCLE = MemoryLevel


@pytest.mark.parametrize(
    ("fraction", "level"),
    [
        (0.0, OK),
        (0.849, OK),
        (0.85, SHED),
        (0.919, SHED),
        (0.92, REFUSE),
        (0.949, REFUSE),
        (0.95, STOP),
        (0.999, STOP),
        (1.0, RECYCLE),
        (3.0, RECYCLE),
    ],
)
def test_f22_a_level_begins_at_its_threshold(fraction: float, level: MemoryLevel) -> None:
    assert level_at(fraction) is level


@pytest.mark.parametrize(
    ("before", "fraction", "after"),
    [
        (SHED, 0.84, SHED),
        (SHED, 0.821, SHED),
        (SHED, 0.81, OK),
        (REFUSE, 0.90, REFUSE),
        (REFUSE, 0.88, SHED),
        (STOP, 0.93, STOP),
        (STOP, 0.91, REFUSE),
        (STOP, 0.5, OK),
        (RECYCLE, 0.98, RECYCLE),
        (RECYCLE, 0.96, STOP),
        (OK, 0.84, OK),
        (SHED, 0.91, SHED),
    ],
)
def test_f22_a_level_is_left_only_well_below_it(before: MemoryLevel, fraction: float, after: MemoryLevel) -> None:
    assert level_at(fraction, before) is after


def test_f22_the_ladder_climbs_and_comes_down_as_memory_does() -> None:
    used = iter([50, 86, 83, 93, 96, 94, 101, 90, 60])
    ladder = Ladder(100, lambda: next(used))
    assert [ladder.look() for _ in range(9)] == [OK, SHED, SHED, REFUSE, STOP, STOP, RECYCLE, REFUSE, OK]


def test_f22_without_a_limit_nothing_is_given_up_but_memory_is_known() -> None:
    ladder = Ladder(0, lambda: 1 << 40)
    assert ladder.look() is OK
    assert ladder.used_bytes == 1 << 40


def test_this_process_occupies_memory() -> None:
    assert 5_000_000 < resident_bytes() < 4_000_000_000


def test_where_the_system_does_not_say_memory_is_zero(tmp_path: object) -> None:
    assert resident_bytes(f"{tmp_path}/none") == 0

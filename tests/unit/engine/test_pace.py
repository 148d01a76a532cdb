"""Whether a conversation moves: idle for too long, or too slow after a while."""

from __future__ import annotations

import pytest

from interpose.engine.pace import RATE_AFTER_S, Pace


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        ([(1.0, 0), (4.9, 0)], None),
        ([(5.0, 0)], "nothing moved for 5 s"),
        ([(4.9, 1), (9.8, 1)], None),
        ([(4.9, 1), (9.9, 1)], "nothing moved for 5 s"),
        ([(4.0, 100), (8.0, 200), (10.0, 300)], None),
        ([(4.0, 100), (8.0, 200), (10.1, 300)], "fewer than 500 bytes per second"),
        ([(4.0, 100), (8.0, 200), (10.1, 6000)], None),
        (
            [(4.0, 10_000), (8.0, 10_001), (12.0, 10_002), (16.0, 10_003), (20.1, 10_004)],
            "fewer than 500 bytes per second",
        ),
    ],
)
def test_a26_the_first_complaint_is_about_idleness_or_about_the_pace(
    seen: list[tuple[float, int]], complaint: str | None
) -> None:
    pace = Pace(0.0, 0)
    *before, (now, count) = seen
    for earlier, so_far in before:
        assert pace.complaint(earlier, so_far, 5.0, 500) is None
    assert pace.complaint(now, count, 5.0, 500) == complaint


def test_a26_only_what_moved_since_the_beginning_counts_for_the_pace() -> None:
    pace = Pace(100.0, 1_000_000)
    for second in range(1, 10):
        assert pace.complaint(100.0 + second, 1_000_000 + second, 5.0, 500) is None
    assert pace.complaint(100.0 + RATE_AFTER_S + 1, 1_000_010, 5.0, 500) == "fewer than 500 bytes per second"


def test_a_rate_of_zero_is_any_pace() -> None:
    pace = Pace(0.0, 0)
    for second in range(1, 1000):
        assert pace.complaint(float(second), second, 5.0, 0) is None

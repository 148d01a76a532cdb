"""What one limit lets through, whatever comes and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from interpose.core.limit_book import GO, LimitBook, Terms, Verdict, rate_verdict

TEN = Terms(requests_per_s=10, burst=3)


def book(terms: Terms, max_keys: int = 1000) -> LimitBook:
    return LimitBook(terms, max_keys)


def test_a_burst_passes_and_then_one_each_interval() -> None:
    limit = book(TEN)
    said = [limit.take("a", now) for now in (100.0, 100.0, 100.0, 100.0, 100.05, 100.1, 100.1, 100.6, 100.6, 100.6)]
    assert [not one.refusal for one in said] == [True, True, True, False, False, True, False, True, True, True]
    assert [one.left for one in said] == [2, 1, 0, 0, 0, 0, 0, 2, 1, 0]
    assert said[3].retry_s == pytest.approx(0.1)
    assert said[4].retry_s == pytest.approx(0.05)
    assert said[0].reset_s == pytest.approx(0.1)
    assert said[2].reset_s == pytest.approx(0.3)


def test_keys_have_allowances_of_their_own() -> None:
    limit = book(Terms(requests_per_s=1, burst=1))
    assert [limit.take(key, 0.0).refusal for key in "abab"] == ["", "", "requests", "requests"]


@examples(200)
@given(st.lists(st.floats(0, 2), max_size=60), st.sampled_from([0.5, 1.0, 3.0, 10.0, 333.0]), st.integers(1, 20))
def test_never_more_passes_than_a_bucket_holds(pauses: list[float], rate: float, burst: int) -> None:
    """The judge is another algorithm: a bucket of `burst` tokens that fills at `rate`."""
    limit, now = book(Terms(requests_per_s=rate, burst=burst)), 1000.0
    tokens, last = float(burst), now
    for pause in pauses:
        now += pause
        tokens, last = min(burst, tokens + (now - last) * rate), now
        verdict = limit.take("a", now)
        if abs(tokens - 1) > 1e-6:  # at the very edge either may round
            assert (not verdict.refusal) == (tokens >= 1)
        if not verdict.refusal:
            tokens -= 1
        else:
            assert limit.take("a", now + verdict.retry_s - 1e-3 / rate).refusal
            again, _ = rate_verdict(limit.terms, limit._until["a"], now + verdict.retry_s + 1e-6)
            assert not again.refusal


def test_f20_a_clock_that_jumps_is_off_by_one_window_at_most() -> None:
    limit = book(TEN)
    for _ in range(3):
        limit.take("a", 5000.0)
    assert limit.take("a", 5000.0 + 3600).left == 2  # ahead: everything is allowed again, and no more than that
    assert [limit.take("a", 5000.0).refusal for _ in range(4)] == ["requests"] * 4  # back: what was used is the most
    assert limit.take("a", 5000.0).retry_s <= 0.3
    assert not limit.take("a", 5000.31).refusal


def test_f20_a_day_is_not_begun_twice_when_the_clock_is_put_back() -> None:
    limit = book(Terms(bytes_per_day=100))
    midnight = 20_000 * 86400.0
    limit.at(midnight - 1)
    limit.spend("a", 100)
    assert limit.take("a", 0.0).refusal == "bytes"
    assert limit.at(midnight - 3600) is False
    assert limit.take("a", 0.0).refusal == "bytes"
    assert limit.at(midnight + 1) is True
    assert limit.take("a", 0.0) == GO
    limit.spend("a", 100)
    assert limit.at(midnight - 1) is False
    assert limit.take("a", 0.0).refusal == "bytes"


def test_exchanges_under_way_are_counted_by_who_has_them() -> None:
    limit = book(Terms(max_exchanges=2))
    assert [limit.take("a", 0.0, owner).refusal for owner in ("w1", "w2", "w1")] == ["", "", "exchanges"]
    limit.release("a", "w1")
    limit.release("a", "w1")  # nobody has it any more, and w2's stays
    assert [limit.take("a", 0.0, "w3").refusal for _ in range(2)] == ["", "exchanges"]
    limit.forget("w2")
    assert limit.exchanges == 1
    assert not limit.take("a", 0.0, "w4").refusal


def test_who_is_refused_for_the_rate_holds_no_place() -> None:
    limit = book(Terms(requests_per_s=1, burst=1, max_exchanges=5))
    assert [limit.take("a", 0.0).refusal for _ in range(3)] == ["", "requests", "requests"]
    assert limit.exchanges == 1


def test_a32_keys_without_end_take_bounded_room_and_the_busy_ones_stay() -> None:
    limit = book(Terms(requests_per_s=0.001, burst=1, bytes_per_day=10), max_keys=100)
    limit.take("busy", 0.0)
    limit.spend("busy", 10)
    for number in range(5000):
        limit.take(f"stranger {number}", number * 1e-6)
        limit.spend(f"stranger {number}", 1)
        limit.spend("busy", 0)
        assert limit.take("busy", number * 1e-6).refusal
    assert len(limit) <= 201


def test_what_lies_in_the_past_is_forgotten() -> None:
    limit = book(Terms(requests_per_s=100, burst=1))
    for number in range(1000):
        limit.take(str(number), number * 1.0)
    assert len(limit) == 1


def test_shares_add_up_to_no_more() -> None:
    whole = Terms(requests_per_s=10, burst=7, max_exchanges=5, bytes_per_day=100)
    share = whole.share(3)
    assert share.requests_per_s * 3 == pytest.approx(10)
    assert (share.burst, share.max_exchanges, share.bytes_per_day) == (2, 1, 33)
    assert whole.share(100).burst == 1


def test_a_verdict_without_a_rate_says_nothing_of_one() -> None:
    assert book(Terms(max_exchanges=1)).take("a", 0.0) == Verdict()

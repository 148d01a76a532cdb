from __future__ import annotations

import pytest

from interpose.core.failure import Failure, Side
from interpose.core.hold import Settled
from interpose.storage.desk.delivery import Schedule, outcome_of


def failure(kind: str, *, sent: bool) -> Failure:
    return Failure(kind, Side.UPSTREAM, "why", sent=sent)


@pytest.mark.parametrize("status", [200, 202, 302, 404, 500, 503])
def test_any_answer_is_the_end_of_it(status: int) -> None:
    how = Settled(status=status)
    assert outcome_of(how, "POST", 1).how == how


@pytest.mark.parametrize(
    ("how", "method", "is_retried"),
    [
        (failure("connection_refused", sent=False), "POST", True),
        (failure("proxy_internal_error", sent=False), "POST", True),
        (failure("connection_read_timeout", sent=True), "POST", False),
        (failure("connection_refused", sent=True), "PATCH", False),
        (failure("connection_terminated", sent=True), "PUT", True),
        (failure("connection_terminated", sent=True), "GET", True),
        (failure("connection_terminated", sent=True), "put", False),
        (Settled(failure="dns_timeout"), "POST", True),
        (Settled(failure="connection_refused: nobody is there"), "POST", True),
        (Settled(failure="http_response_timeout"), "POST", False),
        (Settled(failure="http_response_timeout"), "DELETE", True),
        (Settled(failure="something else"), "POST", False),
        (Settled(), "POST", False),
        (Settled(), "GET", True),
    ],
)
def test_only_what_cannot_have_arrived_or_may_arrive_twice_is_sent_again(
    how: Settled | Failure, method: str, is_retried: bool
) -> None:
    outcome = outcome_of(how, method, 1)
    assert outcome.how is None
    assert (outcome.retry_s is not None) == is_retried
    assert outcome.why.startswith("It may have arrived, and a ") != is_retried


def test_the_last_try_leaves_it_to_a_person() -> None:
    schedule = Schedule(max_attempts=3)
    tries = [outcome_of(failure("connection_refused", sent=False), "GET", attempts, schedule) for attempts in (1, 2, 3)]
    assert [outcome.retry_s is not None for outcome in tries] == [True, True, False]
    assert tries[2].why == "It was tried 3 times, the last time with: connection_refused: why"


def test_it_waits_twice_as_long_each_time_up_to_five_minutes() -> None:
    delays = [Schedule().delay_s(attempts, 1.0) for attempts in range(1, 12)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert [Schedule().delay_s(3, chance) for chance in (0.0, 0.5)] == [2.0, 3.0]
    assert Schedule().delay_s(100_000, 1.0) == 300.0

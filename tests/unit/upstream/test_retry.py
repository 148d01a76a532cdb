"""When the same request may go out again: the whole table."""

from __future__ import annotations

import itertools

import pytest

from interpose.core.failure import CONSEQUENCES, Failure, Side
from interpose.upstream.retry import may_retry

SAFE = ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"]
UNSAFE = ["POST", "PATCH", "CONNECT", "get", "X-ODD"]
NEVER_ARRIVED = [
    "connection_limit_reached", "connection_refused", "connection_timeout", "destination_ip_unroutable",
    "destination_unavailable", "dns_error", "dns_timeout", "tls_alert_received", "tls_certificate_error",
    "tls_protocol_error",
]  # fmt: skip
FLAGS = list(itertools.product([False, True], repeat=3))


def asked(failure: Failure, method: str, *, reused: bool = True, begun: bool = False, replayed: bool = True) -> bool:
    return may_retry(
        failure, method, connection_was_reused=reused, answer_has_begun=begun, body_can_be_replayed=replayed
    )


@pytest.mark.parametrize("kind", CONSEQUENCES)
def test_f3_never_for_another_side_nor_with_an_answer_begun_nor_without_the_body(kind: str) -> None:
    for method, (sent, reused, other) in itertools.product([*SAFE, *UNSAFE], FLAGS):
        for side in (Side.DOWNSTREAM, Side.INTERNAL):
            assert not asked(Failure(kind, side, sent=sent), method, reused=reused, begun=other)
        failure = Failure(kind, Side.UPSTREAM, sent=sent)
        assert not asked(failure, method, reused=reused, begun=True, replayed=other)
        assert not asked(failure, method, reused=reused, begun=other, replayed=False)


@pytest.mark.parametrize("kind", CONSEQUENCES)
def test_f3_what_never_arrived_may_go_out_again_whatever_it_is(kind: str) -> None:
    for method in [*SAFE, *UNSAFE]:
        may = kind in NEVER_ARRIVED or kind == "connection_terminated"
        assert asked(Failure(kind, Side.UPSTREAM), method) is may
        assert not asked(Failure(kind, Side.UPSTREAM, sent=True), method, reused=False)


@pytest.mark.parametrize("method", SAFE)
def test_f3_an_idle_connection_that_was_closed_is_no_reason_to_give_up_a_safe_request(method: str) -> None:
    failure = Failure("connection_terminated", Side.UPSTREAM, sent=True)
    assert asked(failure, method)
    assert not asked(failure, method, reused=False)


@pytest.mark.parametrize("method", UNSAFE)
def test_f3_what_is_not_safe_to_repeat_is_not_repeated(method: str) -> None:
    assert not asked(Failure("connection_terminated", Side.UPSTREAM, sent=True), method)

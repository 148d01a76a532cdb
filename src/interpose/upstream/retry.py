"""Whether a request may be sent a second time: one function, decided from what was sent, the method and the body."""

from __future__ import annotations

from interpose.core.failure import Failure, Side

# RFC 9110, 9.2.2.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


def may_retry(
    failure: Failure, method: str, *, connection_was_reused: bool, answer_has_begun: bool, body_can_be_replayed: bool
) -> bool:
    """Whether the same request may go out again on a new connection.

    Either nothing of it can have reached the origin (the kind of failure says so, or no byte was sent), or the
    connection was an idle one that the origin may have closed in that moment, and sending an idempotent request twice
    does no harm (RFC 9110, 9.2.2; RFC 9112, 9.3.1). Never once a byte of an answer came, nor when the body is gone.
    """
    if failure.side is not Side.UPSTREAM or answer_has_begun or not body_can_be_replayed:
        return False
    if failure.kind != "connection_terminated":
        return not failure.sent and failure.consequence.retry_is_safe
    if not failure.sent:
        return True
    return connection_was_reused and method in IDEMPOTENT


def may_try_another(failure: Failure, method: str, *, answer_has_begun: bool, body_can_be_replayed: bool) -> bool:
    """Whether the same request may go to another server of its group.

    As above; besides, an idempotent request may go on when its server broke off before it answered. Not after a
    timeout: the server may still be at it, and a request that is too much for one would come to all of them.
    """
    return may_retry(
        failure,
        method,
        connection_was_reused=failure.kind == "connection_terminated",
        answer_has_begun=answer_has_begun,
        body_can_be_replayed=body_can_be_replayed,
    )

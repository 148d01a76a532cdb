"""How long a response is worth keeping: for stores that have to say when something may go by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from interpose.protocol.freshness import Policy, freshness_of
from interpose.protocol.stored import StoredHead

VALIDATED_S = 3600.0
"""What is stale and can be validated is of use for so long, at least."""

_VALIDATORS = (b"etag", b"last-modified")


def seconds_to_keep(policies: Sequence[Policy], wall: Callable[[], float] = time.time) -> Callable[[StoredHead], float]:
    """Tells of a head for how many seconds from now on one of `policies` could make use of the response: while it is
    fresh, then while it may stand in, be served during a validation, or be validated."""

    def keep(head: StoredHead) -> float:
        now = wall()
        return max(_seconds(head, policy, now) for policy in policies)

    return keep


def _seconds(head: StoredHead, policy: Policy, now: float) -> float:
    freshness = freshness_of(head.replace(expired=False), policy)
    directives = freshness.directives
    after = max(
        policy.grace_s,
        directives.stale_while_revalidate or 0,
        directives.stale_if_error or 0,
        VALIDATED_S if any(head.first(name) is not None for name in _VALIDATORS) else 0.0,
    )
    return max(0.0, freshness.left(now)) + after

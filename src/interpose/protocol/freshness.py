"""How old a stored response is and how long it is fresh (RFC 9111, 4.2).

What depends on the response alone is computed once and kept with its head (`freshness_of`); what is asked of it for
each request is a subtraction. Times are wall seconds. A clock that was set back makes no age negative (THREATS F20).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.fields import FieldLine
from interpose.protocol import http_date
from interpose.protocol.cache_control import (
    MOST_SECONDS,
    ResponseDirectives,
    response_directives,
    seconds,
    targeted_directives,
)
from interpose.protocol.stored import StoredHead

# RFC 9110, 15.1, without those that an attacker can bring about for everybody (THREATS A16) and without 206.
HEURISTICALLY_CACHEABLE = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410))

# Without these a stored response would be misread: where `no-cache` or `private` name one, all of it is meant.
ESSENTIAL = frozenset(
    b"age cache-control cdn-cache-control content-encoding content-range content-type date etag expires last-modified "
    b"surrogate-control vary".split(b" ")
)

# RFC 9111, 4.2.2: a typical setting.
HEURISTIC_FRACTION = 0.1


class Policy(NamedTuple):
    """What the operator decided about responses, beyond what they say themselves. Durations are seconds.

    `name` is what the cache is called in Cache-Status. `heuristic`: guess a lifetime from Last-Modified, at most
    `heuristic_most_s`, where the origin is silent. `default_ttl_s`: the lifetime where it is silent and nothing is
    guessed. `override_ttl_s`: the lifetime of what is cacheable by its status, whatever the origin says of it; what
    it forbids to store stays forbidden. `grace_s`: how long after its lifetime a response may stand in for an origin
    that fails, unless it forbids that; `unreachable_s`: the same for one that gives no answer at all. `targets`:
    fields that speak to this cache in place of Cache-Control, the first that is there and valid (RFC 9213).
    `obeys_requests`: whether clients may demand validation (`no-cache`, `max-age`, `min-fresh`) or accept stale
    answers. `stores_cookies`: whether a response that sets a cookie may be stored. `stores_parts`: whether a 206 with
    a single part may be, where the store has nothing complete in its place.
    """

    name: bytes = b"interpose"
    shared: bool = True
    heuristic: bool = False
    heuristic_most_s: float = 86400.0
    default_ttl_s: float | None = None
    override_ttl_s: float | None = None
    grace_s: float = 0.0
    unreachable_s: float = 0.0
    targets: tuple[bytes, ...] = ()
    obeys_requests: bool = True
    stores_cookies: bool = False
    stores_parts: bool = False


# A surrogate is meant by these; a proxy that a client chose is none.
GATEWAY_TARGETS = (b"cdn-cache-control", b"surrogate-control")
PROXY = Policy(heuristic=True)
GATEWAY = Policy(targets=GATEWAY_TARGETS)


class Freshness:
    """What is known of a stored response's time, computed once.

    `initial_age` is its age when it came (4.2.3), `lifetime` how long it is fresh from then on less that age, `source`
    says why. `expires_at` is the wall second from which it is stale. `must_revalidate`: never served stale.
    `must_validate`: never served without validation, however fresh.
    """

    __slots__ = (
        "directives", "expires_at", "initial_age", "is_expired", "lifetime", "must_revalidate", "must_validate",
        "policy", "response_time", "shown", "shown_age", "source",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        directives: ResponseDirectives,
        initial_age: float,
        lifetime: float,
        source: str,
        response_time: float,
        is_expired: bool,
        is_overridden: bool,
    ) -> None:
        self.policy = policy
        self.directives = directives
        self.initial_age = initial_age
        self.lifetime = lifetime
        self.source = source
        self.response_time = response_time
        self.must_revalidate = not is_overridden and (
            directives.must_revalidate
            or (policy.shared and (directives.proxy_revalidate or directives.s_maxage is not None))
        )
        self.must_validate = not is_overridden and (
            directives.no_cache or not ESSENTIAL.isdisjoint(directives.no_cache_fields)
        )
        self.is_expired = is_expired
        is_stale_already = is_expired or lifetime <= initial_age
        self.expires_at = -math.inf if is_stale_already else response_time + lifetime - initial_age
        self.shown_age = -1
        self.shown: tuple[FieldLine, ...] = ()
        """The lines of a hit at `shown_age` (`cache_status.hit_lines`)."""

    def age(self, now: float) -> float:
        """Seconds since the origin made or validated this response, never negative (4.2.3)."""
        resident = now - self.response_time
        return self.initial_age + resident if resident > 0 else self.initial_age

    def left(self, now: float) -> float:
        """Seconds that it stays fresh; how long it has been stale, when negative."""
        left = self.lifetime - self.age(now)
        return min(left, 0.0) if self.is_expired else left

    def in_words(self, now: float) -> str:
        """The sum, for people: `stored 40 s ago, fresh for 300 s because of s-maxage, 260 s left`."""
        stored = f"stored {max(0.0, now - self.response_time):.0f} s ago"
        if self.initial_age >= 1:
            stored += f" at the age of {self.initial_age:.0f} s"
        if self.must_validate:
            return f"{stored}, validated before each use because of no-cache"
        if self.lifetime <= 0:
            return f"{stored}, stale: {self.source}"
        left = self.left(now)
        if left > 0:
            return f"{stored}, fresh for {self.lifetime:.0f} s because of {self.source}, {left:.0f} s left"
        if left == 0 and self.lifetime > self.age(now):
            return f"{stored}, stale since it was purged"
        return f"{stored}, was fresh for {self.lifetime:.0f} s because of {self.source}, stale for {-left:.0f} s"


def freshness_of(head: StoredHead, policy: Policy) -> Freshness:
    """The freshness of a stored response under a policy, remembered with the head."""
    known = head.memo
    if type(known) is Freshness and (known.policy is policy or known.policy == policy):
        return known
    directives = directives_of(head.lines, policy)
    lifetime, source = lifetime_of(head.status, head.lines, head.response_time, directives, policy)
    freshness = Freshness(
        policy,
        directives,
        age_when_received(head),
        lifetime,
        source,
        head.response_time,
        head.expired,
        is_overridden(head.status, policy),
    )
    head.memo = freshness
    return freshness


def values_of(lines: Sequence[FieldLine], key: bytes) -> list[bytes]:
    """The values of all lines of that name (lower case)."""
    return [line[2] for line in lines if line[0] == key]


def directives_of(lines: Sequence[FieldLine], policy: Policy) -> ResponseDirectives:
    """What a response says to this cache: the first targeted field that counts, else Cache-Control (RFC 9213, 2.2)."""
    for name in policy.targets:
        values = values_of(lines, name)
        if values:
            directives = targeted_directives(name, values)
            if directives is not None:
                return directives
    return response_directives(values_of(lines, b"cache-control"))


def lifetime_of(
    status: int, lines: Sequence[FieldLine], response_time: float, directives: ResponseDirectives, policy: Policy
) -> tuple[float, str]:
    """Seconds that a response is fresh since the origin made it, and what says so (4.2.1, 4.2.2)."""
    if policy.override_ttl_s is not None and is_overridden(status, policy):
        return policy.override_ttl_s, "a rule"
    if policy.shared and directives.s_maxage is not None:
        return directives.s_maxage, _named("s-maxage", directives)
    if directives.max_age is not None:
        return directives.max_age, _named("max-age", directives)
    made_at = date_of(lines, response_time)
    expires = values_of(lines, b"expires")
    if expires and not directives.targeted_by:
        at = http_date.parse(expires[0], response_time)
        if at is None:
            return 0.0, "an Expires that is no date"
        return min(max(at - made_at, 0.0), MOST_SECONDS), "Expires"
    if status not in HEURISTICALLY_CACHEABLE and not directives.public:
        return 0.0, "it says nothing"
    if policy.heuristic:
        modified = values_of(lines, b"last-modified")
        modified_at = http_date.parse(modified[0], response_time) if modified else None
        if modified_at is not None and modified_at < made_at:
            guessed = min((made_at - modified_at) * HEURISTIC_FRACTION, policy.heuristic_most_s)
            return guessed, "a tenth of its age since Last-Modified"
    if policy.default_ttl_s is not None:
        return policy.default_ttl_s, "a rule for what says nothing"
    return 0.0, "it says nothing"


def _named(directive: str, directives: ResponseDirectives) -> str:
    return f"{directive} in {directives.targeted_by.decode()}" if directives.targeted_by else directive


def is_overridden(status: int, policy: Policy) -> bool:
    """Whether a rule decides the lifetime of such a response."""
    return policy.override_ttl_s is not None and status in HEURISTICALLY_CACHEABLE


def is_explicit(lines: Sequence[FieldLine], directives: ResponseDirectives, policy: Policy) -> bool:
    """Whether the origin said how long the response is fresh, or that it is for everybody."""
    return (
        directives.public
        or directives.max_age is not None
        or (policy.shared and directives.s_maxage is not None)
        or (not directives.targeted_by and bool(values_of(lines, b"expires")))
    )


def date_of(lines: Sequence[FieldLine], response_time: float) -> float:
    """When the origin made the response: its Date, or when it came if that is missing or no date (RFC 9110, 6.6.1)."""
    values = values_of(lines, b"date")
    date = http_date.parse(values[0], response_time) if values else None
    return response_time if date is None else date


def age_when_received(head: StoredHead) -> float:
    """The corrected initial age (4.2.3): what Date makes apparent or what Age and the time under way add up to.

    Date has whole seconds, so what is apparent is counted in them: a response of this second has no age.
    """
    apparent = max(0.0, math.floor(head.response_time) - date_of(head.lines, head.response_time))
    delay = max(0.0, head.response_time - head.request_time)
    return max(apparent, age_value(head.lines) + delay)


def age_value(lines: Sequence[FieldLine]) -> float:
    """What Age says: the first member of the first line; one that is no number says nothing (5.1)."""
    for line in lines:
        if line[0] == b"age":
            return seconds(line[2].partition(b",")[0].strip(b" \t")) or 0
    return 0.0

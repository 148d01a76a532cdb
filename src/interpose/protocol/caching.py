"""What a cache does with a request and with an answer (RFC 9111): the decisions, without the doing.

    asked = read(method, lines, has_content)             what the request says
    entry = variants.select(entries, lines)              the stored response that fits it
    decide(asked, entry's head, ..., now, policy)        serve it, validate it, or fetch
    may_stand_in(asked, head, now, policy)               whether a stale one may answer where the origin failed

Decisions are a handful of constants: a hit makes no object, and costs a comparison once the freshness of the response
is known (`freshness.freshness_of` keeps it). What of an answer is stored is decided in `storing`, what a 304 changes in
`updating`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

from interpose.core.fields import FieldLine, field_line
from interpose.protocol import http_date
from interpose.protocol.cache_control import SILENT_REQUEST, RequestDirectives, request_directives
from interpose.protocol.cache_status import BYPASS, METHOD, PARTIAL, REQUEST, STALE, URI_MISS, VARY_MISS
from interpose.protocol.conditional import FIELDS as CONDITIONAL_FIELDS
from interpose.protocol.conditional import NONE, Conditions, Validators, conditions_of, range_applies
from interpose.protocol.freshness import Freshness, Policy, date_of, freshness_of
from interpose.protocol.ranges import part_of, wanted_of_part
from interpose.protocol.stored import StoredHead

# Errors of an origin after which a stale response may be served (RFC 5861, 4).
FAILURES: Final = frozenset((500, 502, 503, 504))

_TELLING: Final = CONDITIONAL_FIELDS | frozenset((b"authorization", b"cache-control", b"range"))


class Asked(NamedTuple):
    """What a request says that matters to a cache. `range` is its Range field."""

    method: str
    directives: RequestDirectives = SILENT_REQUEST
    conditions: Conditions = NONE
    range: bytes | None = None
    has_authorization: bool = False
    has_content: bool = False


PLAIN_GET: Final = Asked("GET")
PLAIN_HEAD: Final = Asked("HEAD")


def read(method: str, lines: Sequence[FieldLine], has_content: bool) -> Asked:
    """What a request with these fields asks of a cache."""
    for line in lines:
        if line[0] in _TELLING:
            return _read(method, lines, has_content)
    if has_content:
        return Asked(method, has_content=True)
    return PLAIN_GET if method == "GET" else PLAIN_HEAD if method == "HEAD" else Asked(method)


def _read(method: str, lines: Sequence[FieldLine], has_content: bool) -> Asked:
    wishes: list[bytes] = []
    ranges: list[bytes] = []
    has_authorization = has_conditions = False
    for key, _, value, _ in lines:
        if key not in _TELLING:
            continue
        if key == b"cache-control":
            wishes.append(value)
        elif key == b"range":
            ranges.append(value)
        elif key == b"authorization":
            has_authorization = True
        else:
            has_conditions = True
    return Asked(
        method,
        request_directives(wishes),
        conditions_of(lines) if has_conditions else NONE,
        ranges[0] if len(ranges) == 1 and method == "GET" else None,
        has_authorization,
        has_content,
    )


class Action(enum.Enum):
    """What to do with a request."""

    SERVE = "serve"
    SERVE_AND_VALIDATE = "serve, validate in the background"
    VALIDATE = "validate"
    FETCH = "fetch"
    REFUSE = "answer 504"


class Decision(NamedTuple):
    """What to do, and why the store alone does not do (a `fwd` reason of RFC 9211, b"" for a hit).

    `may_store` is False when the answer is for this request alone, whatever it says.
    """

    action: Action
    reason: bytes = b""
    may_store: bool = True


HIT: Final = Decision(Action.SERVE)
STALE_HIT: Final = Decision(Action.SERVE, STALE)
STALE_WHILE_REVALIDATE = Decision(Action.SERVE_AND_VALIDATE, STALE)
VALIDATE_STALE: Final = Decision(Action.VALIDATE, STALE)
VALIDATE_REQUEST = Decision(Action.VALIDATE, REQUEST)
FETCH_URI_MISS = Decision(Action.FETCH, URI_MISS)
FETCH_VARY_MISS = Decision(Action.FETCH, VARY_MISS)
FETCH_STALE: Final = Decision(Action.FETCH, STALE)
FETCH_REQUEST = Decision(Action.FETCH, REQUEST)
FETCH_PARTIAL = Decision(Action.FETCH, PARTIAL)
PASS_REQUEST = Decision(Action.FETCH, REQUEST, may_store=False)
PASS_METHOD = Decision(Action.FETCH, METHOD, may_store=False)
PASS_CONTENT = Decision(Action.FETCH, BYPASS, may_store=False)
REFUSED = Decision(Action.REFUSE)


def decide(asked: Asked, head: StoredHead | None, has_variants: bool, now: float, policy: Policy) -> Decision:
    """What to do with a request (RFC 9111, 4).

    `head` is the stored response that fits it, None when none does; `has_variants` says that others of its URI are
    stored. STALE_HIT is served stale because the client allows it.
    """
    if asked is PLAIN_GET and head is not None and head.complete:  # nearly always
        freshness = freshness_of(head, policy)
        if now < freshness.expires_at and not freshness.must_validate:
            return HIT
        return _judged(asked, head, freshness, now)
    if asked.method != "GET" and asked.method != "HEAD":
        return PASS_METHOD
    if asked.has_content:
        decision = PASS_CONTENT  # what it means is not in the key (THREATS A14)
    elif asked.conditions.if_match or asked.conditions.if_unmodified_since is not None:
        decision = PASS_REQUEST  # for the origin alone to evaluate (4.3.2)
    elif head is None:
        decision = FETCH_VARY_MISS if has_variants else FETCH_URI_MISS
    elif not head.complete and not serves_part(asked, head, now):
        decision = FETCH_PARTIAL
    else:
        decision = _judged(asked, head, freshness_of(head, policy), now)
    if asked.directives.only_if_cached and decision.action is not Action.SERVE:  # 5.2.1.7
        return STALE_HIT if decision.action is Action.SERVE_AND_VALIDATE else REFUSED
    return decision


def _judged(asked: Asked, head: StoredHead, freshness: Freshness, now: float) -> Decision:
    """What to do with a request and the stored response that fits it."""
    may_validate = has_validator(head.lines, now)
    if freshness.must_validate:
        return VALIDATE_STALE if may_validate else FETCH_STALE
    wishes = asked.directives if freshness.policy.obeys_requests else SILENT_REQUEST
    left = freshness.left(now)
    if wishes is not SILENT_REQUEST and _wants_newer(wishes, freshness, now, left):
        return VALIDATE_REQUEST if may_validate else FETCH_REQUEST
    if left > 0:
        return HIT
    if not freshness.must_revalidate:
        if wishes.max_stale is not None and -left <= wishes.max_stale:
            return STALE_HIT
        window = freshness.directives.stale_while_revalidate
        if window and -left <= window:
            return STALE_WHILE_REVALIDATE
    return VALIDATE_STALE if may_validate else FETCH_STALE


def _wants_newer(wishes: RequestDirectives, freshness: Freshness, now: float, left: float) -> bool:
    """Whether the client does not want what is stored, fresh as it may be (5.2.1).

    An immutable response is not asked for again by a reload (`max-age=0`), only by a forced one (RFC 8246, 2).
    """
    if wishes.no_cache:
        return True
    if wishes.min_fresh is not None and left < wishes.min_fresh:
        return True
    if wishes.max_age is None or (freshness.directives.immutable and left > 0):
        return False
    return freshness.age(now) > wishes.max_age or wishes.max_age == 0


def may_stand_in(asked: Asked, head: StoredHead, now: float, policy: Policy, *, is_unreachable: bool = False) -> bool:
    """Whether this response may answer although the origin failed to say that it is still right (4.2.4; RFC 5861, 4).

    `is_unreachable`: it did not answer at all, which is what 4.2.4 calls being disconnected; an error that it answers
    is not. A response that was purged softly may stand in for as long as it would have been fresh.
    """
    freshness = freshness_of(head, policy)
    if freshness.must_revalidate or freshness.must_validate:
        return False
    wishes = asked.directives if policy.obeys_requests else SILENT_REQUEST
    if wishes.no_cache:
        return False
    left = freshness.lifetime - freshness.age(now)
    if left > 0:
        return freshness.is_expired or wishes.max_age is None or bool(wishes.stale_if_error)
    allowed = max(freshness.directives.stale_if_error or 0, wishes.stale_if_error or 0, policy.grace_s)
    if is_unreachable:
        allowed = max(allowed, policy.unreachable_s)
    return allowed > 0 and -left <= allowed


def has_validator(lines: Sequence[FieldLine], now: float) -> bool:
    """Whether a response can be validated (4.3.1)."""
    for key, _, value, _ in lines:
        if (key == b"etag" and value) or (key == b"last-modified" and http_date.parse(value, now) is not None):
            return True
    return False


def validation_lines(head: StoredHead) -> list[FieldLine]:
    """The fields that ask an origin whether this response is still right (4.3.1): both, where there are two."""
    lines: list[FieldLine] = []
    etag, modified = head.first(b"etag"), head.first(b"last-modified")
    if etag:
        lines.append(field_line("If-None-Match", etag))
    if modified and http_date.parse(modified, head.response_time) is not None:
        lines.append(field_line("If-Modified-Since", modified))
    return lines


def validators_of(head: StoredHead) -> Validators:
    """What conditions of a request are compared with."""
    return Validators(head.first(b"etag"), head.first(b"last-modified"), date_of(head.lines, head.response_time))


def serves_part(asked: Asked, head: StoredHead, now: float) -> bool:
    """Whether a stored part has all that is asked for (3.3)."""
    value = head.first(b"content-range")
    part = None if value is None else part_of(value)
    if asked.range is None or part is None or not range_applies(asked.conditions.if_range, validators_of(head), now):
        return False
    return wanted_of_part(asked.range, part) is not None

"""What of an answer is stored (RFC 9111, 3): whether any, which fields, and under what words it can be purged."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from interpose.core.fields import HOP_BY_HOP, FieldLine, field_line
from interpose.protocol import http_date
from interpose.protocol.cache_control import ResponseDirectives
from interpose.protocol.caching import Asked, has_validator
from interpose.protocol.freshness import (
    ESSENTIAL,
    HEURISTICALLY_CACHEABLE,
    Policy,
    directives_of,
    freshness_of,
    is_explicit,
    is_overridden,
    values_of,
)
from interpose.protocol.ranges import part_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.variants import names, vary_of

# Statuses whose meaning for caches is known here (RFC 9110, 15; must-understand, RFC 9111, 5.2.2.3).
UNDERSTOOD = HEURISTICALLY_CACHEABLE | frozenset(
    (201, 202, 205, 302, 303, 305, 307, 400, 401, 402, 403, 406, 408, 409, 411, 413, 414, 415, 422, 426, 451, 500, 501,
     502, 503, 504, 505)
)  # fmt: skip
# Never stored, whatever they say. Answers to a part, a condition, an expectation or a connection of one request; 428,
# 429, 431 and 511 must not be (RFC 6585).
NEVER_STORED = frozenset((206, 304, 407, 412, 416, 417, 421, 425, 428, 429, 431, 511))
# Not stored (RFC 9111, 3.1).
_OF_THIS_HOP = HOP_BY_HOP | frozenset((b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"))
_TAG_SEPARATORS = re.compile(rb"[ \t,]+")
MOST_TAGS = 128
LONGEST_TAG_BYTES = 256


def keep(
    asked: Asked,
    request_lines: Sequence[FieldLine],
    key: bytes,
    status: int,
    reason: bytes,
    lines: Sequence[FieldLine],
    request_time: float,
    response_time: float,
    policy: Policy,
    tag_fields: tuple[bytes, ...] = (),
) -> StoredHead | str:
    """The head to store of an answer, or why it must not be stored, in words (3).

    `length` and `sha256` are the caller's to fill in once the content has been seen, to its verified end.
    """
    if asked.method != "GET":
        return "only what a plain GET gets is stored"
    directives = directives_of(lines, policy)
    why_not = _forbidden(asked, status, lines, directives, policy)
    if why_not is not None:
        return why_not
    vary = vary_of(lines, request_lines)
    if vary is None:
        return "it varies on more than the request's fields (Vary: *)"
    if _may_be_personal(request_lines, status, lines, directives, policy) and all(
        name != b"cookie" for name, _ in vary
    ):
        return "the request has a cookie, and nothing says that the answer is for others too"
    kept = stored_lines(lines, directives, response_time)
    tags = tags_of(lines, tag_fields)
    head = StoredHead(status, reason, kept, request_time, response_time, vary, 0, b"", tags, key, status != 206)
    return _useless(head, policy) or head


def refusal(asked: Asked, head: StoredHead, policy: Policy) -> str | None:
    """Why a head that was updated must not stay stored, in words; None when it may."""
    why_not = _forbidden(asked, head.status, head.lines, directives_of(head.lines, policy), policy)
    if why_not is None and names(head.lines) is None:
        return "it varies on more than the request's fields (Vary: *)"
    return why_not


def _forbidden(
    asked: Asked, status: int, lines: Sequence[FieldLine], directives: ResponseDirectives, policy: Policy
) -> str | None:
    if asked.has_content:
        return "the request has content"
    if asked.directives.no_store:
        return "the request says no-store"
    if status < 200 or (status in NEVER_STORED and not (status == 206 and policy.stores_parts)):
        return f"a {status} is never stored"
    if directives.must_understand:
        if status not in UNDERSTOOD:
            return f"it must be understood, and {status} is not known here"
    elif directives.no_store:
        return "it says no-store"
    if policy.shared and (directives.private or directives.private_fields & ESSENTIAL):
        return "it is private"
    if policy.shared and asked.has_authorization:
        if not (directives.public or directives.must_revalidate or directives.s_maxage is not None):
            return "the request has credentials, and the answer does not say that it is for others too"
    if not policy.stores_cookies and any(line[0] == b"set-cookie" for line in lines):
        return "it sets a cookie"
    if status not in HEURISTICALLY_CACHEABLE and not is_explicit(lines, directives, policy):
        return f"a {status} that does not say how long it is fresh"
    return None


def _may_be_personal(
    request_lines: Sequence[FieldLine],
    status: int,
    lines: Sequence[FieldLine],
    directives: ResponseDirectives,
    policy: Policy,
) -> bool:
    """Whether a lifetime would be guessed of what a page may have been made of for one user (THREATS A15)."""
    return (
        policy.shared
        and policy.heuristic
        and policy.default_ttl_s is None
        and not is_overridden(status, policy)
        and not is_explicit(lines, directives, policy)
        and any(line[0] == b"cookie" for line in request_lines)
    )


def _useless(head: StoredHead, policy: Policy) -> str | None:
    """Why a head is not worth its room: it could never be served."""
    if head.status == 206 and part_of(head.first(b"content-range") or b"") is None:
        return "it is a part of something, and does not say which"
    if has_validator(head.lines, head.response_time):
        return None
    freshness = freshness_of(head, policy)
    if freshness.must_validate:
        return "it must always be validated, and has nothing to validate it by"
    if freshness.lifetime > freshness.initial_age:
        return None
    directives = freshness.directives
    if not freshness.must_revalidate and (
        directives.stale_while_revalidate or directives.stale_if_error or policy.grace_s > 0
    ):
        return None
    return "it is stale already, and has nothing to validate it by"


def stored_lines(
    lines: Sequence[FieldLine], directives: ResponseDirectives, response_time: float
) -> tuple[FieldLine, ...]:
    """What of a response's fields is stored (3.1), with a Date where there is none (RFC 9110, 6.6.1).

    Fields that `no-cache` or `private` name are not stored, which is the surest way never to serve them.
    """
    withheld = directives.no_cache_fields | directives.private_fields
    kept = [line for line in lines if line[0] not in _OF_THIS_HOP and (line[0] not in withheld or line[0] in ESSENTIAL)]
    dates = values_of(kept, b"date")
    if len(dates) != 1 or http_date.parse(dates[0], response_time) is None:
        kept = [line for line in kept if line[0] != b"date"]
        kept.append(field_line("Date", http_date.written(math.floor(response_time))))
    return tuple(kept)


def tags_of(lines: Sequence[FieldLine], tag_fields: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The words that a response can be purged by, from the fields of these names (lower case)."""
    found: dict[bytes, None] = {}
    for name in tag_fields:
        for value in values_of(lines, name):
            for tag in _TAG_SEPARATORS.split(value):
                if tag and len(tag) <= LONGEST_TAG_BYTES and len(found) < MOST_TAGS:
                    found[tag] = None
    return tuple(found)

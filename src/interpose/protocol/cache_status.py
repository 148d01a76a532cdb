"""What a cache says about how it handled a request: Cache-Status (RFC 9211), Age, and the lines of a hit."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from interpose.core.fields import FieldLine
from interpose.protocol.freshness import Freshness
from interpose.protocol.stored import StoredHead

# Why a request went on to the origin (RFC 9211, 2.2).
BYPASS: Final = b"bypass"
METHOD: Final = b"method"
URI_MISS = b"uri-miss"
VARY_MISS = b"vary-miss"
MISS = b"miss"
REQUEST = b"request"
STALE = b"stale"
PARTIAL = b"partial"

_STRING = re.compile(rb"[\x20-\x7e]*")
_SPECIAL = re.compile(rb'(["\\])')


def hit(name: bytes, ttl: int, detail: bytes = b"") -> FieldLine:
    """The line of an answer from the store; `ttl` is how long it stays fresh, negative when it is stale.

    `name` and `detail` are tokens.
    """
    value = b"%b; hit; ttl=%d; detail=%b" % (name, ttl, detail) if detail else b"%b; hit; ttl=%d" % (name, ttl)
    return FieldLine(b"cache-status", b"Cache-Status", value, b"Cache-Status: %b\r\n" % value)


def forwarded(
    name: bytes,
    reason: bytes,
    *,
    status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl: int | None = None,
    key: bytes | None = None,
    detail: bytes = b"",
) -> FieldLine:
    """The line of an answer that the origin was asked for.

    `status` is the origin's when another is answered (304 to a validation); `collapsed`: another request's fetch
    answered this one. A key that no string can hold is left out.
    """
    parts = [name, b"fwd=" + reason]
    if status is not None:
        parts.append(b"fwd-status=%d" % status)
    if stored:
        parts.append(b"stored")
    if collapsed:
        parts.append(b"collapsed")
    if ttl is not None:
        parts.append(b"ttl=%d" % ttl)
    if key is not None and _STRING.fullmatch(key):
        parts.append(b'key="%b"' % _SPECIAL.sub(rb"\\\1", key))
    if detail:
        parts.append(b"detail=" + detail)
    value = b"; ".join(parts)
    return FieldLine(b"cache-status", b"Cache-Status", value, b"Cache-Status: %b\r\n" % value)


@lru_cache(maxsize=1024)
def age_line(age: int) -> FieldLine:
    """Age in whole seconds (RFC 9111, 5.1)."""
    value = b"%d" % age
    return FieldLine(b"age", b"Age", value, b"Age: %b\r\n" % value)


def hit_lines(head: StoredHead, freshness: Freshness, now: float) -> tuple[FieldLine, ...]:
    """All field lines of an answer from the store: the stored ones, Age and Cache-Status.

    Made once a second for each response, however often it is asked for.
    """
    age = math.floor(freshness.age(now))
    if age == freshness.shown_age:
        return freshness.shown
    lines = [line for line in head.lines if line[0] != b"age"]
    lines.append(age_line(age))
    lines.append(hit(freshness.policy.name, math.floor(freshness.left(now))))
    freshness.shown = tuple(lines)
    freshness.shown_age = age
    return freshness.shown

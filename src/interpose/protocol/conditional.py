"""Conditional requests (RFC 9110, 13): whether their preconditions hold for a representation.

Entity-tags are compared as they are written, weakness apart. Some origins forget the quotes: such a tag equals only
one that is spelled the same, so that a client gets back what it was given.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from interpose.core.fields import FieldLine
from interpose.protocol import http_date

# A list is cut here; who sends more gets the whole answer.
MOST_TAGS = 256

_TAG = re.compile(rb'[ \t]*(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*")|([^ \t,"]+))[ \t]*')


class Verdict(enum.Enum):
    """What to answer: the representation, 304, or 412."""

    GO_ON = "go on"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


class Validators(NamedTuple):
    """What a representation can be told by. `date` is when the response was made: it stands in for a Last-Modified
    that is missing (RFC 9111, 4.3.2), and decides whether one is strong (RFC 9110, 8.8.2.2)."""

    etag: bytes | None = None
    last_modified: bytes | None = None
    date: float | None = None


class Conditions(NamedTuple):
    """The preconditions of a request; empty lists and None for what is not there."""

    if_match: tuple[bytes, ...] = ()
    if_none_match: tuple[bytes, ...] = ()
    if_modified_since: bytes | None = None
    if_unmodified_since: bytes | None = None
    if_range: bytes | None = None


FIELDS: Final = frozenset((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"))
NONE: Final = Conditions()


def conditions_of(lines: Sequence[FieldLine]) -> Conditions:
    """The preconditions among a request's fields."""
    match: list[bytes] = []
    none_match: list[bytes] = []
    since: bytes | None = None
    unmodified: bytes | None = None
    range_: bytes | None = None
    for key, _, value, _ in lines:
        if key not in FIELDS:
            continue
        match key:
            case b"if-match":
                match.append(value)
            case b"if-none-match":
                none_match.append(value)
            case b"if-modified-since":
                since = value
            case b"if-unmodified-since":
                unmodified = value
            case _:
                range_ = value
    return Conditions(tuple(match), tuple(none_match), since, unmodified, range_)


def evaluate(method: str, conditions: Conditions, validators: Validators, now: float) -> Verdict:
    """What an origin answers, in the order of RFC 9110, 13.2.2. For a representation that exists."""
    if conditions.if_match:
        if not matches(conditions.if_match, validators.etag, strongly=True):
            return Verdict.FAILED
    elif conditions.if_unmodified_since is not None:
        since = http_date.parse(conditions.if_unmodified_since, now)
        modified = _modified(validators, now)
        if since is not None and modified is not None and modified > since:
            return Verdict.FAILED
    if conditions.if_none_match and method not in ("GET", "HEAD"):
        found = matches(conditions.if_none_match, validators.etag, strongly=False)
        return Verdict.FAILED if found else Verdict.GO_ON
    return evaluate_in_cache(method, conditions, validators, now)


def evaluate_in_cache(method: str, conditions: Conditions, validators: Validators, now: float) -> Verdict:
    """What a cache answers: it looks at If-None-Match, else at If-Modified-Since, and leaves the others to the origin
    (RFC 9111, 4.3.2)."""
    if method not in ("GET", "HEAD"):
        return Verdict.GO_ON
    if conditions.if_none_match:
        found = matches(conditions.if_none_match, validators.etag, strongly=False)
        return Verdict.NOT_MODIFIED if found else Verdict.GO_ON
    if conditions.if_modified_since is None:
        return Verdict.GO_ON
    since = http_date.parse(conditions.if_modified_since, now)
    modified: float | None = _modified(validators, now)
    if modified is None:
        modified = validators.date
    if since is None or modified is None or modified > since:
        return Verdict.GO_ON
    return Verdict.NOT_MODIFIED


def range_applies(if_range: bytes | None, validators: Validators, now: float) -> bool:
    """Whether Range may be honoured: there is no If-Range, or its validator is strong and the same (13.1.5)."""
    if if_range is None:
        return True
    if if_range.startswith((b'"', b"W/")):
        return _TAG.fullmatch(if_range) is not None and matches((if_range,), validators.etag, strongly=True)
    since = http_date.parse(if_range, now)
    modified = _modified(validators, now)
    return since is not None and since == modified and _is_strong(modified, validators.date)


def matches(values: Sequence[bytes], etag: bytes | None, *, strongly: bool) -> bool:
    """Whether a list of entity-tags, or `*`, names this one (8.8.3.2). `*` names any representation."""
    if any(value.strip(b" \t") == b"*" for value in values):
        return True
    if etag is None:
        return False
    own = _TAG.fullmatch(etag)
    if own is None or (strongly and own[1]):
        return False
    wanted = own[2] or own[3]
    return any(opaque == wanted and not (strongly and is_weak) for is_weak, opaque in tags(values))


def tags(values: Sequence[bytes]) -> list[tuple[bool, bytes]]:
    """Whether each tag in a list is weak, and the tag with its quotes. What is none ends the list of its line."""
    found: list[tuple[bool, bytes]] = []
    for value in values:
        place = 0
        while place < len(value) and len(found) < MOST_TAGS:
            if value[place : place + 1] == b",":
                place += 1
                continue
            match = _TAG.match(value, place)
            if match is None or value[match.end() : match.end() + 1] not in (b"", b","):
                break
            found.append((match[1] is not None, match[2] or match[3]))
            place = match.end()
    return found


def is_same_strong(one: bytes | None, other: bytes | None) -> bool:
    """Whether these entity-tags are there, both strong and equal."""
    return one is not None and one == other and not one.startswith(b"W/")


def is_strong_tag(etag: bytes | None) -> bool:
    """Whether this is an entity-tag that is not weak."""
    return etag is not None and not etag.startswith(b"W/")


def _modified(validators: Validators, now: float) -> int | None:
    return None if validators.last_modified is None else http_date.parse(validators.last_modified, now)


def _is_strong(modified: int | None, date: float | None) -> bool:
    """A date of change is strong when the response was made at least a second later (8.8.2.2)."""
    return modified is not None and date is not None and date - modified >= 1

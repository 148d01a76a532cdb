"""Which stored response fits a request: Vary, and spellings that mean the same (RFC 9111, 4.1).

A response that varies is kept with the values that the request had; it fits a request with the same. Values are
normalised first, but only in ways that leave their meaning: lists of preferences lose order, case and the spelling of
weights, other lists the white space around commas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from interpose.core.fields import FieldLine
from interpose.protocol.stored import StoredHead

Vary = tuple[tuple[bytes, bytes | None], ...]

# Weighted lists whose order means nothing (RFC 9110, 12.5.2-12.5.4).
_PREFERENCES = frozenset((b"accept-charset", b"accept-encoding", b"accept-language"))
# Commas are not list separators in these, or may not be.
_NO_LISTS = frozenset((b"authorization", b"cookie", b"date", b"referer", b"user-agent"))

_COMMA = re.compile(rb"[ \t]*,[ \t]*")
_WEIGHTED = re.compile(rb"([!#$%&'*+\-.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_ALIASES = {b"x-gzip": b"gzip", b"x-compress": b"compress"}  # RFC 9110, 8.4.1
_REMEMBERED_BYTES = 512


class Kept(Protocol):
    """What a store keeps of a response, as far as it is looked at here."""

    head: StoredHead


K = TypeVar("K", bound=Kept)


def names(response_lines: Sequence[FieldLine]) -> list[bytes] | None:
    """The names a response varies on, sorted, lower case; None when one of them is `*`: it fits no other request."""
    found: set[bytes] = set()
    for key, _, value, _ in response_lines:
        if key == b"vary":
            for name in value.lower().split(b","):
                name = name.strip(b" \t")
                if name == b"*":
                    return None
                if name:
                    found.add(name)
    return sorted(found)


def vary_of(response_lines: Sequence[FieldLine], request_lines: Sequence[FieldLine]) -> Vary | None:
    """What a response varies on with this request's values; None when it fits no other request."""
    varying = names(response_lines)
    if varying is None:
        return None
    return tuple([(name, normalised(name, request_lines)) for name in varying])


def normalised(name: bytes, request_lines: Sequence[FieldLine]) -> bytes | None:
    """What a request says in this field, in the spelling that is compared; None when it is not there."""
    values = [line[2] for line in request_lines if line[0] == name]
    if not values:
        return None
    value = values[0] if len(values) == 1 else b",".join(values)
    return _normalised(name, value) if len(value) <= _REMEMBERED_BYTES else _respelled(name, value)


@lru_cache(maxsize=1024)
def _normalised(name: bytes, value: bytes) -> bytes:
    return _respelled(name, value)


def _respelled(name: bytes, value: bytes) -> bytes:
    if name in _NO_LISTS or b'"' in value:
        return value
    members = [member for member in _COMMA.split(value.strip(b" \t")) if member]
    if name in _PREFERENCES:
        weighed = [_preference(member.lower()) for member in members]
        if None not in weighed:
            members = sorted({member for member in weighed if member is not None})
    return b",".join(members)


def _preference(member: bytes) -> bytes | None:
    match = _WEIGHTED.fullmatch(member)
    if match is None:
        return None
    what = _ALIASES.get(match[1], match[1])
    weight = match[2]
    if weight is None or weight.startswith(b"1"):
        return what
    return b"%b;q=%b" % (what, weight.rstrip(b"0").rstrip(b".") or b"0")


def fits(head: StoredHead, request_lines: Sequence[FieldLine]) -> bool:
    """Whether the request has the values that this response was chosen by."""
    return not head.vary or all(normalised(name, request_lines) == value for name, value in head.vary)


def select(entries: Sequence[K], request_lines: Sequence[FieldLine]) -> K | None:
    """The entry that fits, the most recent of several (4: by Date, which is when they came, but for clocks)."""
    best: K | None = None
    for entry in entries:
        if fits(entry.head, request_lines) and (best is None or entry.head.response_time > best.head.response_time):
            best = entry
    return best

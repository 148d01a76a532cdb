"""Dictionaries of structured fields (RFC 9651, 3.2): what targeted cache control is written in.

Parsing is all or nothing, as the RFC demands: one character that does not belong makes the whole field no dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from interpose.protocol import number

MOST_MEMBERS = 256

_KEY = rb"[a-z*][a-z0-9_\-.*]*"
_INTEGER = rb"-?[0-9]{1,15}"
_DECIMAL = rb"-?[0-9]{1,12}\.[0-9]{1,3}"
_STRING = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_TOKEN = rb"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"
_BYTES = rb":[A-Za-z0-9+/=]*:"
_DATE = rb"@-?[0-9]{1,15}"
_DISPLAY = rb'%"[\x20\x21\x23-\x7e]*"'
_BARE = rb"(?:" + b"|".join((_DECIMAL, _INTEGER, _STRING, _TOKEN, _BYTES, rb"\?[01]", _DATE, _DISPLAY)) + rb")"
_PARAMETERS = rb"(?:; *" + _KEY + rb"(?:=" + _BARE + rb")?)*"
_INNER_LIST = rb"\( *(?:" + _BARE + _PARAMETERS + rb"(?: +" + _BARE + _PARAMETERS + rb")*)? *\)"
# Each alternative begins with an octet that no other one can have, and ends where the next part begins with one that
# it cannot have, so a match is found or not in one pass.
_MEMBER = re.compile(rb"(" + _KEY + rb")(?:=(?:(" + _BARE + rb")|" + _INNER_LIST + rb"))?" + _PARAMETERS)
_COMMA = re.compile(rb"[ \t]*,[ \t]*")
_INTEGER_ONLY = re.compile(rb"(-?)([0-9]{1,15})")
_STRING_ONLY = re.compile(_STRING)
_TOKEN_ONLY = re.compile(_TOKEN)
_ESCAPED = re.compile(rb"\\(.)")


class Item(NamedTuple):
    """One member. `integer` and `string` (of a string or a token) are None when it is something else."""

    is_true: bool
    integer: int | None
    string: bytes | None


_TRUE = Item(True, None, None)
_OTHER = Item(False, None, None)


def dictionary(values: Sequence[bytes]) -> dict[bytes, Item] | None:
    """The members of a dictionary that is spread over these field lines, parameters left out. None when it is not one.

    Of members with one name the last counts.
    """
    raw = b",".join(values).strip(b" ")
    members: dict[bytes, Item] = {}
    place = 0
    for _ in range(MOST_MEMBERS):
        if place == len(raw):
            return None if members else members  # a comma came last, or nothing at all
        match = _MEMBER.match(raw, place)
        if match is None:
            return None
        has_value = raw[match.end(1) : match.end(1) + 1] == b"="
        members[match[1]] = _item(match[2]) if has_value else _TRUE
        place = match.end()
        if place == len(raw):
            return members
        comma = _COMMA.match(raw, place)
        if comma is None:
            return None
        place = comma.end()
    return None


def _item(raw: bytes | None) -> Item:
    if raw is None or raw == b"?0":
        return _OTHER
    if raw == b"?1":
        return _TRUE
    integer = _INTEGER_ONLY.fullmatch(raw)
    if integer is not None:
        value = number.decimal(integer[2]) or 0
        return Item(False, -value if integer[1] else value, None)
    if _STRING_ONLY.fullmatch(raw) is not None:
        return Item(False, None, _ESCAPED.sub(rb"\1", raw[1:-1]))
    return Item(False, None, raw) if _TOKEN_ONLY.fullmatch(raw) is not None else _OTHER

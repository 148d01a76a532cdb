"""Byte ranges (RFC 9110, 14): what part of a representation a request asks for, and how parts are answered.

A request may ask for many small ranges, or the same one many times, and make a server send more than it has. So more
than MOST_RANGES are answered with the whole, and ranges that overlap or touch become one (THREATS A31).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from interpose.protocol import number

MOST_RANGES = 8
_LONGEST = 512
_BEYOND = 1 << 62
"""What a number of more than 18 digits is taken for: a place after any end."""

_UNIT = re.compile(rb"[ \t]*bytes[ \t]*=", re.IGNORECASE)
_RANGE = re.compile(rb"[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*")
_CONTENT_RANGE = re.compile(rb"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)

Range = tuple[int, int]
"""First and last octet, both included."""


def wanted(value: bytes, length: int) -> list[Range] | None:
    """The parts of a representation of `length` octets that a Range field asks for, in the order of the request.

    None when the field is to be ignored: another unit, not the grammar, too many, or nothing to take parts of. Empty
    when no part of it is there: the answer is 416.
    """
    match = _UNIT.match(value)
    if match is None or len(value) > _LONGEST or length == 0:
        return None
    specs = value[match.end() :].split(b",")
    ranges: list[Range] = []
    seen = 0
    for spec in specs:
        if not spec.strip(b" \t"):
            continue  # empty list elements (5.6.1.2)
        seen += 1
        parsed = _RANGE.fullmatch(spec)
        if parsed is None or seen > MOST_RANGES:
            return None
        if parsed[3] is not None:
            suffix = _place(parsed[3])
            if suffix:
                ranges.append((max(0, length - suffix), length - 1))
            continue
        first = _place(parsed[1])
        last = _place(parsed[2]) if parsed[2] else _BEYOND
        if last < first:
            return None
        if first < length:
            ranges.append((first, min(last, length - 1)))
    return _coalesced(ranges) if seen else None


def _place(digits: bytes) -> int:
    value = number.decimal(digits.lstrip(b"0") or b"0")
    return _BEYOND if value is None else value


def _coalesced(ranges: list[Range]) -> list[Range]:
    """The ranges without overlap; what was joined stands where the first of it was asked for."""
    joined: list[tuple[int, int, int]] = []  # first, last, place in the request
    for first, last, place in sorted((first, last, place) for place, (first, last) in enumerate(ranges)):
        if joined and first <= joined[-1][1] + 1:
            before = joined[-1]
            joined[-1] = (before[0], max(before[1], last), min(before[2], place))
        else:
            joined.append((first, last, place))
    joined.sort(key=_place_in_request)
    return [(first, last) for first, last, _ in joined]


def _place_in_request(joined: tuple[int, int, int]) -> int:
    return joined[2]


def content_range(part: Range, length: int) -> bytes:
    """The Content-Range of one part."""
    return b"bytes %d-%d/%d" % (part[0], part[1], length)


def unsatisfied_range(length: int) -> bytes:
    """The Content-Range of a 416."""
    return b"bytes */%d" % length


class Part(NamedTuple):
    """What a 206 with a single part holds: first and last octet, and the length of the whole, None when unknown."""

    first: int
    last: int
    length: int | None


def part_of(content_range_value: bytes) -> Part | None:
    """What Content-Range says; None when it is not one, or impossible (14.4)."""
    match = _CONTENT_RANGE.fullmatch(content_range_value)
    if match is None:
        return None
    first = number.decimal(match[1]) or 0
    last = number.decimal(match[2]) or 0
    length = None if match[3] == b"*" else number.decimal(match[3])
    if last < first or (length is not None and last >= length):
        return None
    return Part(first, last, length)


def wanted_of_part(value: bytes, part: Part) -> Range | None:
    """The one range of the whole that a Range field asks for, when a part that is stored has it all; else None."""
    if part.length is None:
        return None
    ranges = wanted(value, part.length)
    if ranges is None or len(ranges) != 1:
        return None
    first, last = ranges[0]
    return ranges[0] if part.first <= first and last <= part.last else None


class Multipart(NamedTuple):
    """The frame of a multipart/byteranges answer (14.6): what stands before each part and after the last."""

    content_type: bytes
    heads: tuple[bytes, ...]
    end: bytes
    length: int


def multipart(parts: list[Range], length: int, media_type: bytes | None, boundary: bytes) -> Multipart:
    """How to frame these parts of a representation. `boundary` must not occur in it: letters and digits by chance."""
    described = b"" if media_type is None else b"Content-Type: %b\r\n" % media_type
    heads = tuple(
        [
            b"%b--%b\r\n%bContent-Range: %b\r\n\r\n"
            % (b"\r\n" if place else b"", boundary, described, content_range(part, length))
            for place, part in enumerate(parts)
        ]
    )
    end = b"\r\n--%b--\r\n" % boundary
    octets = sum([last - first + 1 for first, last in parts]) + sum([len(head) for head in heads]) + len(end)
    return Multipart(b"multipart/byteranges; boundary=" + boundary, heads, end, octets)

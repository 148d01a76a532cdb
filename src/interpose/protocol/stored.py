"""The head of a stored response: what a cache keeps beside the content, and its form as bytes.

The form is what disk and shared stores hold. It is read with suspicion, since a file may be cut, changed or old: every
part is length-prefixed, a digest covers the whole, and the field lines pass the same grammar as lines from the wire
(THREATS A18). Whatever is wrong with it, there is one answer: ValueError, and the caller takes it for a miss.

    magic, version | digest of the rest | fixed part | reason | key | sha256 | lines | vary | tags

Numbers are big-endian; a list is its count and its members, a string its length and its bytes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import lru_cache
from typing import Any

from interpose.core.fields import HOP_BY_HOP, MAX_REMEMBERED_LINE_BYTES, FieldLine, field_line

MAX_ENCODED_BYTES = 1 << 20

_MAGIC = b"IPSH\x01"
_DIGEST_BYTES = 16
_BODY = len(_MAGIC) + _DIGEST_BYTES
# status, flags, request_time, response_time, length
_FIXED = struct.Struct("!HBddQ")
_COMPLETE = 1
_EXPIRED = 2
_COUNT = struct.Struct("!I")
_ABSENT = 0xFFFFFFFF
_LONGEST = 1 << 62


class StoredHead:
    """A stored response's head. Immutable, except for `memo`; equal when all of it but the memo is.

    `lines` are the end-to-end fields as received, without those that `no-cache="x"` or `private="x"` keep from being
    stored. `request_time` and `response_time` are wall seconds: when the request was sent, and when the head of the
    answer came (RFC 9111, 4.2.3). `vary` has the names, in lower case, that the response varies on, with the normalised
    value each had in the request, None for a field that was not there. `length` and `sha256` are the content's.
    `key` is text for people and for purging: `GET https://host/path?query` and what a configuration added.
    `complete` is False for a part of a representation. `expired` is True for one that was purged softly: it is stale,
    whatever its fields say, until a validation refreshes it.
    """

    __slots__ = (
        "complete", "expired", "key", "length", "lines", "memo", "reason", "request_time", "response_time", "sha256",
        "status", "tags", "vary",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        reason: bytes,
        lines: tuple[FieldLine, ...],
        request_time: float,
        response_time: float,
        vary: tuple[tuple[bytes, bytes | None], ...] = (),
        length: int = 0,
        sha256: bytes = b"",
        tags: tuple[bytes, ...] = (),
        key: bytes = b"",
        complete: bool = True,
        expired: bool = False,
    ) -> None:
        self.status = status
        self.reason = reason
        self.lines = lines
        self.request_time = request_time
        self.response_time = response_time
        self.vary = vary
        self.length = length
        self.sha256 = sha256
        self.tags = tags
        self.key = key
        self.complete = complete
        self.expired = expired
        self.memo: object | None = None
        """What somebody computed from this head and keeps with it; for one user: `freshness.freshness_of`."""

    def first(self, key: bytes) -> bytes | None:
        """The value of the first line named `key` (lower case), else None."""
        for line in self.lines:
            if line[0] == key:
                return line[2]
        return None

    def replace(self, **changes: Any) -> StoredHead:
        """The same head with other values for some of its parts, and without a memo."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in _PARTS}
        parts.update(changes)
        return StoredHead(**parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredHead) and all(getattr(self, name) == getattr(other, name) for name in _PARTS)

    def __hash__(self) -> int:
        return hash((self.key, self.vary, self.response_time))

    def __repr__(self) -> str:
        return f"<StoredHead {self.status} {self.key!r}>"


_PARTS = (
    "status", "reason", "lines", "request_time", "response_time", "vary", "length", "sha256", "tags", "key", "complete",
    "expired",
)  # fmt: skip


def encode(head: StoredHead) -> bytes:
    """The head as bytes."""
    flags = (_COMPLETE if head.complete else 0) | (_EXPIRED if head.expired else 0)
    parts = [
        _FIXED.pack(head.status, flags, head.request_time, head.response_time, head.length),
        _string(head.reason),
        _string(head.key),
        _string(head.sha256),
        _COUNT.pack(len(head.lines)),
    ]
    for line in head.lines:
        parts.append(_string(line.name))
        parts.append(_string(line.value))
    parts.append(_COUNT.pack(len(head.vary)))
    for name, value in head.vary:
        parts.append(_string(name))
        parts.append(_COUNT.pack(_ABSENT) if value is None else _string(value))
    parts.append(_COUNT.pack(len(head.tags)))
    parts.extend(_string(tag) for tag in head.tags)
    rest = b"".join(parts)
    return _MAGIC + _digest(rest) + rest


def decode(raw: bytes) -> StoredHead:
    """The head that `encode` made these bytes of. ValueError for anything else."""
    if len(raw) > MAX_ENCODED_BYTES:
        raise ValueError(f"a stored head of {len(raw)} bytes; the limit is {MAX_ENCODED_BYTES}")
    if raw[: len(_MAGIC)] != _MAGIC:
        raise ValueError("not a stored head of this version")
    rest = raw[_BODY:]
    if raw[len(_MAGIC) : _BODY] != _digest(rest) or len(rest) < _FIXED.size:
        raise ValueError("a stored head is damaged")
    status, flags, request_time, response_time, length = _FIXED.unpack_from(rest)
    if not (100 <= status <= 599 and flags <= _COMPLETE | _EXPIRED and length < _LONGEST):
        raise ValueError("a stored head has an impossible status, flag or length")
    if not (math.isfinite(request_time) and math.isfinite(response_time)):
        raise ValueError("a stored head has an impossible time")
    reader = _Reader(rest, _FIXED.size)
    reason = reader.string()
    key = reader.string()
    sha256 = reader.string()
    lines = tuple(reader.lines())
    vary = tuple([(reader.string(), reader.optional_string()) for _ in range(reader.count())])
    tags = tuple([reader.string() for _ in range(reader.count())])
    if reader.place != len(rest):
        raise ValueError("a stored head goes on after its end")
    _check_reason(reason)
    complete, expired = flags & _COMPLETE != 0, flags & _EXPIRED != 0
    return StoredHead(
        status, reason, lines, request_time, response_time, vary, length, sha256, tags, key, complete, expired
    )


def key_in(raw: bytes) -> bytes:
    """The key in the bytes of a head that were checked before."""
    place = _BODY + _FIXED.size
    for _ in range(2):  # the reason phrase, and then it
        start = place + _COUNT.size
        place = start + _COUNT.unpack_from(raw, place)[0]
    return raw[start:place]


class _Reader:
    """Takes counts and strings from one buffer; ValueError when it is too short for them."""

    __slots__ = ("_data", "place")

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self.place = place

    def count(self) -> int:
        """A number of things, each of which takes at least four bytes."""
        count = self._number()
        if count * 4 > len(self._data) - self.place:
            raise ValueError("a stored head is shorter than it says")
        return count

    def lines(self) -> list[FieldLine]:
        """A list of field lines: nearly all of a head, so it is read in one go."""
        data, lines, unpack = self._data, [], _COUNT.unpack_from
        count = self.count()
        place = self.place
        try:
            for _ in range(count):
                start = place + 4
                end = start + unpack(data, place)[0]
                place = end + 4 + unpack(data, end)[0]
                name, value = data[start:end], data[end + 4 : place]
                lines.append(
                    _remembered_line(name, value) if place - start <= MAX_REMEMBERED_LINE_BYTES else _line(name, value)
                )
        except struct.error:
            raise ValueError("a stored head is shorter than it says") from None
        if place > len(data):
            raise ValueError("a stored head is shorter than it says")
        self.place = place
        return lines

    def string(self) -> bytes:
        value = self.optional_string()
        if value is None:
            raise ValueError("a stored head lacks a value")
        return value

    def optional_string(self) -> bytes | None:
        length = self._number()
        if length == _ABSENT:
            return None
        start = self.place
        self.place += length
        if self.place > len(self._data):
            raise ValueError("a stored head is shorter than it says")
        return self._data[start : self.place]

    def _number(self) -> int:
        start = self.place
        self.place += _COUNT.size
        if self.place > len(self._data):
            raise ValueError("a stored head is shorter than it says")
        number: int = _COUNT.unpack_from(self._data, start)[0]
        return number


def _line(name: bytes, value: bytes) -> FieldLine:
    line = field_line(name, value)
    if line.key in HOP_BY_HOP:
        raise ValueError(f"a stored head has the field {line.key!r}, which belongs to one connection")
    return line


@lru_cache(maxsize=2048)
def _remembered_line(name: bytes, value: bytes) -> FieldLine:
    """Short lines are judged once, and shared by the heads that have them."""
    return _line(name, value)


def _check_reason(reason: bytes) -> None:
    """A reason phrase is spelled like a field's value (RFC 9112, 4)."""
    field_line(b"reason", reason.strip(b" \t"))


def _string(value: bytes) -> bytes:
    return _COUNT.pack(len(value)) + value


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()

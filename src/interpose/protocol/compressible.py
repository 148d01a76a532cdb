"""Whether a response may be given a content coding, and what of its fields changes then (RFC 9110, 8.4).

    asked = asked_of(lines, offers)               what the request says, read before it goes on
    why_not(asked, response parts, ...)           why the response must stay as it is, "" when it may be coded
    coded(lines, coding)                          its fields with the coding
    varying(lines)                                its fields without one, where another client may get it with one

Secrets. The length of compressed content tells what is repeated in it. Who can make a browser ask for pages that hold a
secret beside text of his own, and sees how long the encrypted answers are, can guess the secret octet by octet (the
attacks CRIME and BREACH). So over TLS what is for one user alone stays plain; `why_personal` says what that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from interpose.core.fields import FieldLine, field_line
from interpose.core.target import Target
from interpose.protocol.cache_control import ResponseDirectives, request_directives, response_directives
from interpose.protocol.conditional import tags
from interpose.protocol.negotiation import best_coding

_ASKED = frozenset(
    b"accept-encoding authorization cache-control cookie if-none-match if-range range referer sec-fetch-site "
    b"x-forwarded-proto".split(b" ")
)
# Statuses that have no content, or a part of one.
_NOT_WHOLE = frozenset((204, 205, 206, 304, 416))
# What was computed over the octets as they are.
_DIGESTS = frozenset((b"content-digest", b"content-md5", b"digest", b"repr-digest"))
_LOOKED_AT = _DIGESTS | frozenset(
    (b"cache-control", b"content-encoding", b"content-range", b"content-type", b"set-cookie")
)
_SAME_SITE = frozenset((b"none", b"same-origin", b"same-site"))
_REMEMBERED_BYTES = 256
"""Of an entity-tag. One that is longer is of no use to anybody, and goes."""

_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')

ACCEPT_ENCODING = b"accept-encoding"
VARY = field_line("Vary", "Accept-Encoding")
_CODINGS = {coding: field_line("Content-Encoding", coding) for coding in ("br", "gzip", "zstd")}


class Asked(NamedTuple):
    """What a request says that matters here. `coding` is what its client would have, "" for plain content."""

    coding: str = ""
    is_secure: bool = False
    has_authorization: bool = False
    has_cookie: bool = False
    is_of_same_site: bool = False
    forbids: bool = False
    wants_part_since: bool = False
    """It asks for a part, if the whole has not changed since a date."""
    if_none_match: tuple[bytes, ...] = ()


PLAIN = Asked()


def asked_of(lines: Sequence[FieldLine], target: Target, offers: tuple[str, ...], *, is_tls: bool) -> Asked:
    """What a request with these fields says."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        if line[0] in _ASKED:
            found.setdefault(line[0], []).append(line[2])
    if not found:
        return PLAIN
    if_range = found.get(b"if-range")
    return Asked(
        coding=best_coding(found.get(b"accept-encoding", ()), offers),
        is_secure=is_tls or found.get(b"x-forwarded-proto") == [b"https"],
        has_authorization=b"authorization" in found,
        has_cookie=b"cookie" in found,
        is_of_same_site=b"cookie" in found and _is_of_same_site(found, target),
        forbids=b"cache-control" in found and request_directives(found[b"cache-control"]).no_transform,
        wants_part_since=b"range" in found and if_range is not None and not if_range[0].startswith((b'"', b"W/")),
        if_none_match=tuple(found.get(b"if-none-match", ())),
    )


def _is_of_same_site(found: dict[bytes, list[bytes]], target: Target) -> bool:
    """Whether a browser says that no other site made it ask. Without a word of that nobody knows."""
    if sites := found.get(b"sec-fetch-site"):
        return all(site.lower() in _SAME_SITE for site in sites)
    referers = found.get(b"referer", ())
    authority = str(target.authority).encode("latin-1", "replace").lower()
    return bool(referers) and all(referer.lower().split(b"/", 3)[2:3] == [authority] for referer in referers)


class MediaTypes:
    """A list of media types, as an operator writes it: `text/html`, `text/*`, `*+json`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        names = [pattern.lower().encode("latin-1", "replace") for pattern in patterns]
        self._types = frozenset(names)
        self._beginnings = tuple([name[:-1] for name in names if name.endswith(b"/*")])
        self._ends = tuple([name[1:] for name in names if name.startswith(b"*+")])
        self._matches = lru_cache(maxsize=256)(self._find)

    def matches(self, content_type: bytes) -> bool:
        """Whether a Content-Type is one of them, whatever its parameters."""
        return self._matches(content_type) if len(content_type) <= 128 else self._find(content_type)

    def _find(self, content_type: bytes) -> bool:
        name = content_type.partition(b";")[0].strip(b" \t").lower()
        return name in self._types or name.startswith(self._beginnings) or name.endswith(self._ends)


class Said(NamedTuple):
    """What a response says that matters here: its type, its Cache-Control, and why it cannot be coded at all."""

    content_type: bytes = b""
    directives: ResponseDirectives = response_directives(())
    sets_cookie: bool = False
    obstacle: str = ""


def said_of(status: int, lines: Sequence[FieldLine]) -> Said:
    """What a response with this status and these fields says."""
    if status in _NOT_WHOLE or status < 200:
        return Said(obstacle=f"a {status} has no whole content")
    types: list[bytes] = []
    directives: list[bytes] = []
    sets_cookie, obstacle = False, ""
    for key, _, value, _ in lines:
        if key not in _LOOKED_AT:
            continue
        if key == b"content-type":
            types.append(value)
        elif key == b"cache-control":
            directives.append(value)
        elif key == b"set-cookie":
            sets_cookie = True
        elif key == b"content-encoding":
            obstacle = "it has a coding already"
        elif key == b"content-range":
            obstacle = "it is a part"
        else:
            obstacle = "a digest was made of it as it is"
    said = response_directives(directives)
    if said.no_transform:
        obstacle = "it says no-transform"
    return Said(types[0] if len(types) == 1 else b"", said, sets_cookie, obstacle)


def why_not(said: Said, types: MediaTypes, length: int | None, min_bytes: int) -> str:
    """Why a response stays as it is for every client, in words; "" when it may be coded. `length` is None where nobody
    knows it yet."""
    if said.obstacle:
        return said.obstacle
    if not said.content_type or not types.matches(said.content_type):
        return "its type is none of those that are compressed"
    if length is not None and length < max(min_bytes, 1):
        return "it is too short"
    return ""


def why_personal(asked: Asked, said: Said) -> str:
    """Why a response may hold a secret of one user, in words; "" when nothing says so (THREATS A42)."""
    directives = said.directives
    if said.sets_cookie:
        return "it sets a cookie"
    if directives.private or directives.no_store:
        return "it is private"
    if directives.public or directives.s_maxage:
        return ""
    if asked.has_authorization:
        return "it is for a user who gave credentials"
    if asked.has_cookie and not asked.is_of_same_site and not directives.max_age:
        return "it is for a user with a cookie, and another site may have made the browser ask"
    return ""


def coded(lines: Iterable[FieldLine], coding: str) -> list[FieldLine]:
    """The fields of a response whose content is given a coding: another representation, so its entity-tag is weak, and
    parts of it are not offered."""
    kept: list[FieldLine] = []
    for line in lines:
        if line[0] == b"etag":
            if (weak := weakened(line)) is not None:
                kept.append(weak)
        elif line[0] != b"accept-ranges":
            kept.append(line)
    kept.append(_CODINGS[coding])
    return varying(kept)


def weakened(line: FieldLine) -> FieldLine | None:
    """The same entity-tag, weak: it is the same for every coding. None for what is none, which cannot be made weak."""
    if line[2].startswith(b"W/"):
        return line
    return _weak(line[1], line[2]) if len(line[2]) <= _REMEMBERED_BYTES else None


@lru_cache(maxsize=1024)
def _weak(name: bytes, tag: bytes) -> FieldLine | None:
    return field_line(name, b"W/" + tag) if _TAG.fullmatch(tag) else None


def varying(lines: list[FieldLine]) -> list[FieldLine]:
    """The fields with Accept-Encoding in Vary (RFC 9110, 12.5.5)."""
    for place, line in enumerate(lines):
        if line[0] == b"vary":
            if not _varies(line[2]):
                if any(_varies(other[2]) for other in lines[place + 1 :] if other[0] == b"vary"):
                    return lines
                merged = field_line(line[1], line[2] + b", Accept-Encoding" if line[2] else b"Accept-Encoding")
                return [*lines[:place], merged, *lines[place + 1 :]]
            return lines
    return [*lines, VARY]


def _varies(value: bytes) -> bool:
    return any(name.strip(b" \t") in (ACCEPT_ENCODING, b"*") for name in value.lower().split(b","))


def not_modified(asked: Asked, lines: list[FieldLine]) -> list[FieldLine]:
    """The fields of a 304: its tag is weak where the client has none but the weak one, which it got with a coding. A
    strong one would not select what the client has (RFC 9111, 4.3.4)."""
    etag = next((line[2] for line in lines if line[0] == b"etag"), None)
    if etag is None or not asked.if_none_match:
        return lines
    opaque = etag.removeprefix(b"W/")
    had = {is_weak for is_weak, tag in tags(asked.if_none_match) if tag == opaque}
    if had != {True}:
        return lines
    changed = [line if line[0] != b"etag" else weakened(line) for line in lines]
    return varying([line for line in changed if line is not None])

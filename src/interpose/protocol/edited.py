"""What the fields of a message say when its content is changed on the way (RFC 9110, 7.7, 8.8 and 14).

A changed content is another representation. Its entity-tag is the origin's with a mark behind it, and weak; clients
send it back in If-None-Match, where the mark comes off, so that the origin still answers 304. A tag with the mark of
other rules is one that no origin knows. Dates of change, digests and the offer of parts were about the content as it
was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from interpose.core.fields import FieldLine, field_line
from interpose.protocol.conditional import tags

_ABOUT_THE_CONTENT: Final = frozenset(
    (b"accept-ranges", b"content-digest", b"content-md5", b"digest", b"etag", b"last-modified", b"repr-digest")
)
_TAG: Final = re.compile(rb'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_MARKED: Final = re.compile(rb'"([\x21\x23-\x7e\x80-\xff]*)\+e([0-9a-f]{8})"')
_CHARSET: Final = re.compile(rb""";[ \t]*charset[ \t]*=[ \t]*["']?([A-Za-z0-9._:+-]+)""", re.IGNORECASE)
_ELEMENT: Final = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(;[^,]*)?")
_UNDERSTOOD: Final = frozenset((b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"identity"))

UTF_8: Final = frozenset((b"", b"utf-8", b"utf8", b"us-ascii", b"ascii"))
"""The charsets whose octets are those of UTF-8. Content that names none is taken for it."""


def charset_of(content_type: bytes) -> bytes:
    """The charset that a Content-Type names, in lower case; b"" for none."""
    match = _CHARSET.search(content_type)
    return b"" if match is None else match[1].lower()


def edited_lines(lines: Iterable[FieldLine], mark: bytes) -> list[FieldLine]:
    """The fields of a response with changed content."""
    kept: list[FieldLine] = []
    for line in lines:
        if line[0] not in _ABOUT_THE_CONTENT:
            kept.append(line)
        elif line[0] == b"etag" and (marked := marked_tag(line, mark)) is not None:
            kept.append(marked)
    return kept


def marked_tag(line: FieldLine, mark: bytes) -> FieldLine | None:
    """The same entity-tag, weak, with a mark; None for what is none."""
    match = _TAG.fullmatch(line[2])
    return None if match is None else field_line(line[1], b'W/"%b+e%b"' % (match[1], mark))


def inbound_lines(lines: Sequence[FieldLine], mark: bytes) -> tuple[list[FieldLine], frozenset[bytes]]:
    """The fields of a request whose answer may be changed, as they go on, and the tags that came with this mark.

    Marks come off, codings that cannot be undone are not asked for. Where nothing of that is there the list is the
    same.
    """
    changed: list[FieldLine] = []
    marked: set[bytes] = set()
    for line in lines:
        if line[0] == b"accept-encoding":
            changed += _understood(line)
        elif line[0] == b"if-none-match" and b"+e" in line[2]:
            kept = []
            for is_weak, tag in tags((line[2],)):
                match = _MARKED.fullmatch(tag)
                if match is None or match[2] != mark:
                    kept.append(b"W/" + tag if is_weak else tag)
                else:
                    kept.append(b'W/"%b"' % match[1])
                    marked.add(b'"%b"' % match[1])
            if kept:
                changed.append(field_line(line[1], b", ".join(kept)))
        elif line[0] not in (b"available-dictionary", b"dictionary-id"):
            changed.append(line)
    return changed, frozenset(marked)


def not_modified_lines(lines: Sequence[FieldLine], marked: frozenset[bytes], mark: bytes) -> list[FieldLine]:
    """The fields of a 304: the client knows what it has by the tag with the mark, if it sent that."""
    changed = []
    for line in lines:
        if line[0] == b"etag" and line[2].removeprefix(b"W/") in marked:
            changed.append(marked_tag(line, mark) or line)
        else:
            changed.append(line)
    return changed


def _understood(line: FieldLine) -> list[FieldLine]:
    """An Accept-Encoding with only those codings that can be undone; `*` could be any."""
    kept = []
    for element in line[2].split(b","):
        match = _ELEMENT.fullmatch(element)
        if match is not None and match[1].lower() in _UNDERSTOOD:
            kept.append(element.strip(b" \t"))
    value = b", ".join(kept) or b"identity"
    return [line if value == line[2] else field_line(line[1], value)]

"""HTML cut into tags and what is between them, as it comes, by the rules of browsers (HTML, 13.2.5).

Every octet comes out again: `raw` of all tokens together is what went in. Only what decides where tags begin and end is
looked at: comments, quoted values, and elements whose content is no HTML (`script`, `style`, `textarea` ...).

A tag that has not ended is kept back. It is looked at again once there is a quarter more, so that what comes octet by
octet takes time in proportion to it; one of more than MAX_TAG_BYTES is text. Patterns never go back (possessive), so
their time is in proportion, too (THREATS A30).

Departs: `<!--<script>` inside a script, where browsers look for two ends, ends at the first.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final

MAX_TAG_BYTES: Final = 65536
_SMALL_BYTES: Final = 1024

_TAG: Final = re.compile(
    rb"""<(/?)([A-Za-z][^\t\n\f\r />]*+)((?:[\t\n\f\r /]++|(?:=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)
    (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+|(?=>)|\Z))?+)*+)>"""
    .replace(b"\n    ", b"")
)  # fmt: skip
_ATTRIBUTE: Final = re.compile(
    rb"""(=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)
    (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"([^"]*+)"|'([^']*+)'|([^\t\n\f\r >"'][^\t\n\f\r >]*+)|(?=\Z)))?+"""
    .replace(b"\n    ", b"")
)  # fmt: skip
_OPENING: Final = re.compile(rb"<(?=[A-Za-z/!?]|\Z)")
_COMMENT_END: Final = re.compile(rb"--!?>")
_NO_HTML: Final = {
    name: re.compile(rb"</%b(?=[\t\n\f\r />])" % name, re.IGNORECASE)
    for name in (b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes")
}
_LONGEST_END: Final = len(b"</textarea>")


class Kind(enum.Enum):
    """What a token is."""

    TEXT = "text"
    """Anything but a tag: text, comments, declarations, scripts."""
    START = "start"
    END = "end"


Token = tuple[Kind, bytes, bytes, bytes]
"""A piece of HTML: what it is, and as it was written; of a tag its name, in lower case, and its attributes, as they
were written. (No class of its own: making tokens is most of the work.)"""


def attributes_of(written: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names, in lower case, and values, as they were written, in their order. The first of a name is the one that
    counts."""
    for match in _ATTRIBUTE.finditer(written):
        yield match[1].lower(), match[2] or match[3] or match[4] or b""


class Tags:
    """Cuts HTML: `feed` each chunk, then `finish`."""

    __slots__ = ("_end", "_held", "_look_at")

    def __init__(self) -> None:
        self._held = b""
        self._look_at = 0
        """How much has to be there before it is worth looking again."""
        self._end: re.Pattern[bytes] | None = None
        """What ends the text that is passing: a comment's end, an element's; None between tags."""

    def feed(self, data: bytes) -> Iterator[Token]:
        """The tokens that are whole with `data`. Take all of them before the next call."""
        data = self._held + data
        if len(data) < self._look_at:
            self._held = data
            return iter(())
        self._look_at = 0
        return self._tokens(data)

    def finish(self) -> Iterator[Token]:
        """What is left, which is no tag."""
        held, self._held = self._held, b""
        if held:
            yield Kind.TEXT, held, b"", b""

    def _tokens(self, data: bytes) -> Iterator[Token]:
        place, match_tag = 0, _TAG.match
        while place < len(data):
            if self._end is not None:
                match = self._end.search(data, place)
                if match is None:
                    kept = max(place, len(data) - _LONGEST_END)
                    if kept > place:
                        yield Kind.TEXT, data[place:kept], b"", b""
                    self._held = data[kept:]
                    return
                # A comment's end belongs to it; an element's end is a tag of its own.
                stop = match.start() if match[0].startswith(b"</") else match.end()
                self._end = None
                if stop > place:
                    yield Kind.TEXT, data[place:stop], b"", b""
                place = stop
                continue
            opening = _OPENING.search(data, place)
            if opening is None:
                yield Kind.TEXT, data[place:], b"", b""
                break
            if opening.start() > place:
                yield Kind.TEXT, data[place : opening.start()], b"", b""
            place = opening.start()
            tag = match_tag(data, place)
            if tag is not None:
                is_end, name, attributes = tag.groups()
                name = name.lower()
                if is_end:
                    yield Kind.END, tag[0], name, attributes
                else:
                    self._end = _NO_HTML.get(name)
                    yield Kind.START, tag[0], name, attributes
                place = tag.end()
                continue
            size = self._other(data, place)
            if size == -1:
                size = len(data) - place if len(data) - place > MAX_TAG_BYTES else 0
            if size == 0:
                self._keep(data[place:])
                return
            yield Kind.TEXT, data[place : place + size], b"", b""
            place += size
        self._held = b""

    def _other(self, data: bytes, place: int) -> int:
        """How many octets from a `<` on are text: -1 when it begins a tag, 0 when nobody can know yet."""
        following = data[place + 1 : place + 4]
        first = following[:1]
        if b"A" <= first.upper() <= b"Z":
            return -1
        if first == b"/":
            second = following[1:2]
            if not second:
                return 0
            if b"A" <= second.upper() <= b"Z":
                return -1
            return self._until_bracket(data, place)
        if first == b"!" and b"--".startswith(following[1:3]):
            if len(following) < 3:
                return 0
            # `<!-->` and `<!--->` are whole: a comment's end may begin with the dashes that began it.
            self._end = _COMMENT_END
            return 2
        if first in (b"!", b"?"):
            return self._until_bracket(data, place)
        return 0

    def _until_bracket(self, data: bytes, place: int) -> int:
        """The length of a declaration and of other nonsense, which ends at the first bracket."""
        end = data.find(b">", place)
        if end != -1:
            return end + 1 - place
        return len(data) - place if len(data) - place > MAX_TAG_BYTES else 0

    def _keep(self, data: bytes) -> None:
        self._held = data
        if len(data) > _SMALL_BYTES:
            self._look_at = len(data) + len(data) // 4

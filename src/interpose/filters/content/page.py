"""HTML pages changed while they flow: elements removed, and text put in.

Which elements are open is kept as browsers keep it, as far as it matters here: an element that is removed ends with its
own end tag, with that of an element around it, or, where its end tag may be left out, before the tags that imply its
end (HTML, 13.1.2.4). An end tag that belongs to nothing ends nothing. What never ends is removed to the end of the
page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from interpose.filters.content.options import Insertion
from interpose.filters.content.selector import Selector
from interpose.filters.content.tags import Kind, Tags, Token

MOST_OPEN: Final = 512
"""How many elements are known to be open. Those inside are not told apart."""

_EMPTY: Final = frozenset(
    (b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"source", b"track", b"wbr")
)
_OF_PAGES: Final = frozenset((b"html", b"head", b"body"))
_ENDS_A_PARAGRAPH: Final = frozenset(
    b"address article aside blockquote details div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    b"hgroup hr main menu nav ol p pre search section table ul".split(b" ")
)
_ENDED_BY: Final[dict[bytes, frozenset[bytes]]] = {
    b"p": _ENDS_A_PARAGRAPH,
    b"li": frozenset((b"li",)),
    b"dt": frozenset((b"dt", b"dd")),
    b"dd": frozenset((b"dt", b"dd")),
    b"option": frozenset((b"option", b"optgroup")),
    b"optgroup": frozenset((b"optgroup",)),
    b"td": frozenset((b"td", b"th", b"tr", b"tbody", b"tfoot")),
    b"th": frozenset((b"td", b"th", b"tr", b"tbody", b"tfoot")),
    b"tr": frozenset((b"tr", b"tbody", b"tfoot")),
    b"thead": frozenset((b"tbody", b"tfoot")),
    b"tbody": frozenset((b"tbody", b"tfoot")),
    b"head": frozenset((b"body",)),
}
"""What the beginning of which elements ends these."""


class PageEdits:
    """Removes what `selectors` mean, and inserts. A `replacing.Step`."""

    __slots__ = (
        "_counts", "_insert_body", "_insert_head", "_is_page", "_open", "_removed", "_selectors", "_tags",
    )  # fmt: skip

    def __init__(self, selectors: Sequence[Selector], insertions: Iterable[Insertion] = ()) -> None:
        self._tags = Tags()
        self._selectors = selectors
        self._open: list[bytes] = []
        self._counts: dict[bytes, int] = {}
        """How many of each name are open."""
        self._removed = 0
        """How many elements were open before the one that is being removed, plus one; 0 where none is."""
        self._is_page = False
        """Whether it is a page and not a part of one, which scripts ask for and nothing is put into."""
        insertions = tuple(insertions)
        self._insert_head = "".join([one.html for one in insertions if one.end_of == "head"]).encode()
        self._insert_body = "".join([one.html for one in insertions if one.end_of == "body"]).encode()

    def feed(self, data: bytes) -> bytes:
        """See `Step`."""
        return b"".join(self._changed(self._tags.feed(data)))

    def finish(self) -> bytes:
        """See `Step`."""
        rest = b"".join(self._changed(self._tags.finish()))
        return rest + self._inserted_head() + self._inserted_body() if self._is_page else rest

    def _changed(self, tokens: Iterator[Token]) -> list[bytes]:
        made = []
        for kind, raw, name, attributes in tokens:
            if kind is Kind.TEXT:
                if not self._is_page and raw[:9].lower() == b"<!doctype":
                    self._is_page = True
                if not self._removed:
                    made.append(raw)
            elif kind is Kind.START:
                made.append(self._begun(raw, name, attributes))
            else:
                made.append(self._ended(raw, name))
        return made

    def _begun(self, raw: bytes, name: bytes, attributes: bytes) -> bytes:
        """What a start tag becomes."""
        opened = self._open
        if name in _OF_PAGES:
            self._is_page = True
        while opened and opened[-1] in _ENDED_BY and name in _ENDED_BY[opened[-1]]:
            self._close(len(opened) - 1)
        if self._removed:
            self._note(name)
            return b""
        before = self._inserted_head() if name == b"body" else b""
        for selector in self._selectors:
            if selector.means(name, attributes):
                if name not in _EMPTY and len(opened) < MOST_OPEN:
                    self._removed = len(opened) + 1
                    self._note(name)
                return before
        self._note(name)
        return before + raw if before else raw

    def _ended(self, raw: bytes, name: bytes) -> bytes:
        """What an end tag becomes."""
        opened = self._open
        was_removed, place = self._removed, -1
        if name in self._counts:
            place = len(opened) - 1
            while opened[place] != name:
                place -= 1
            self._close(place)
        if was_removed and (self._removed or place == was_removed - 1):
            return b""  # inside of what is removed, or its own end
        if name == b"head":
            return self._inserted_head() + raw
        if name == b"body":
            return self._inserted_body() + raw
        return raw

    def _note(self, name: bytes) -> None:
        if name not in _EMPTY and len(self._open) < MOST_OPEN:
            self._open.append(name)
            self._counts[name] = self._counts.get(name, 0) + 1

    def _close(self, place: int) -> None:
        """Those from `place` on are open no more."""
        for name in self._open[place:]:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
        del self._open[place:]
        if self._removed > len(self._open):
            self._removed = 0

    def _inserted_head(self) -> bytes:
        inserted, self._insert_head = self._insert_head, b""
        return inserted

    def _inserted_body(self) -> bytes:
        inserted, self._insert_body = self._insert_body, b""
        return inserted

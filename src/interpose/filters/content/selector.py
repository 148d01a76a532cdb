"""Which elements of a page are meant: a tag, `#id`, `.class` and `[attribute]`, in any combination, as in style sheets.

    div.advert   #banner   iframe[src*="ads."]   [data-ad]   a.button[rel~=sponsored]

Nothing that needs the elements around: no descendants, no `:has`. Text is UTF-8, and compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Final, NamedTuple

from interpose.filters.content.tags import attributes_of

_TAG: Final = re.compile(r"\*|[A-Za-z][A-Za-z0-9-]*")
_NAME: Final = re.compile(r"[#.]([A-Za-z0-9_\u0080-\uffff-]+)")
_ATTRIBUTE: Final = re.compile(
    r"""\[[ ]*([A-Za-z_:][A-Za-z0-9_:.-]*)[ ]*(?:([~^$*|]?=)[ ]*(?:"([^"]*)"|'([^']*)'|([^"'\]\s]+))[ ]*)?\]"""
)
_BLANKS: Final = re.compile(r"[ \t\n\f\r]+")

_HOLDS: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": lambda value, wanted: value == wanted,
    "~=": lambda value, wanted: wanted in _BLANKS.split(value),
    "^=": lambda value, wanted: wanted != "" and value.startswith(wanted),
    "$=": lambda value, wanted: wanted != "" and value.endswith(wanted),
    "*=": lambda value, wanted: wanted != "" and wanted in value,
    "|=": lambda value, wanted: value == wanted or value.startswith(f"{wanted}-"),
}


class Condition(NamedTuple):
    """What an attribute must be: there, or there with a value. `operator` "" is the first."""

    name: bytes
    operator: str
    value: str


class Selector(NamedTuple):
    """What elements have to be. `tag` b"" is any. `needle` has to be in a tag's attributes as they are written, unless
    one of them is spelled with a reference."""

    tag: bytes
    conditions: tuple[Condition, ...]
    needle: bytes

    def means(self, tag: bytes, attributes: bytes) -> bool:
        """Whether an element is one, by its start tag."""
        if self.tag and tag != self.tag:
            return False
        if not self.conditions:
            return True
        if self.needle not in attributes and b"&" not in attributes:
            return False
        found: dict[bytes, bytes] = {}
        for name, value in attributes_of(attributes):
            found.setdefault(name, value)
        return all(_holds(condition, found) for condition in self.conditions)


def _holds(condition: Condition, found: dict[bytes, bytes]) -> bool:
    value = found.get(condition.name)
    if value is None:
        return False
    if not condition.operator:
        return True
    return _HOLDS[condition.operator](unescape(value.decode("utf-8", "replace")), condition.value)


def selector_of(text: str) -> Selector:
    """The selector that `text` is. ValueError, a sentence, for what is none."""
    match = _TAG.match(text)
    tag = "" if match is None or match[0] == "*" else match[0].lower()
    place = 0 if match is None else match.end()
    conditions: list[Condition] = []
    while place < len(text):
        if (match := _NAME.match(text, place)) is not None:
            name, operator = (b"id", "=") if text[place] == "#" else (b"class", "~=")
            conditions.append(Condition(name, operator, match[1]))
        elif (match := _ATTRIBUTE.match(text, place)) is not None:
            value = next((one for one in match.group(3, 4, 5) if one is not None), "")
            conditions.append(Condition(match[1].lower().encode(), match[2] or "", value))
        else:
            shown = text[place : place + 20]
            raise ValueError(
                f"is no selector from {shown!r} on; write a tag, #id, .class and [attribute=value] without blanks"
            )
        place = match.end()
    if not text or text == "*":
        raise ValueError('would mean every element; write a tag, #id, .class or [attribute=value]: "div.advert"')
    needles = [condition.value.encode() for condition in conditions if condition.operator]
    return Selector(tag.encode(), tuple(conditions), max(needles, key=len, default=b""))

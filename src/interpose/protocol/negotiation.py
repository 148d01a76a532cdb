"""What the client would rather have: proactive negotiation over `Accept` and `Accept-Encoding` (RFC 9110, 12.4 and
12.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

# An element list is cut here; a browser's has about eight.
MOST_RANGES = 64

# Possessive quantifiers: no spelling of an element makes the engine look back.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# RFC 9110, 12.5.1: media-range, then parameters, of which `q` is the weight (12.4.2).
_RANGE = re.compile(rf"[ \t]*+({_TOKEN})/({_TOKEN})((?:[ \t]*+;[ \t]*+(?:{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))?)*)[ \t]*+")
_PARAMETER = re.compile(rf";[ \t]*+({_TOKEN})=({_TOKEN}|{_QUOTED})")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# Up to the next comma outside quotes: a malformed element ends there and takes no other with it.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)*', re.DOTALL)
# RFC 9110, 12.5.3: codings, and a weight that nothing follows.
_CODING = re.compile(rf"[ \t]*+({_TOKEN})[ \t]*+(?:;[ \t]*+[qQ]=([0-9.]++)[ \t]*+)?")
_CODING_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}
_REMEMBERED_LENGTH = 256

NOT_ACCEPTABLE = "0000"
FULL_WEIGHT = "1000"


class MediaRange(NamedTuple):
    """One element of `Accept`: lower case, `*` for any; the weight as four digits, so that weights compare as text."""

    type: str
    subtype: str
    has_parameters: bool
    weight: str

    def precedence(self, type_: str, subtype: str) -> int:
        """How exactly this range names a media type without parameters: 0 not at all, 3 by its name."""
        if self.has_parameters:
            return 0
        if self.type == "*" and self.subtype == "*":
            return 1
        if self.type != type_:
            return 0
        return 2 if self.subtype == "*" else 3 if self.subtype == subtype else 0


def media_ranges(accept: str) -> list[MediaRange]:
    """The media ranges of an `Accept` value, malformed elements left out, the first MOST_RANGES of them."""
    ranges: list[MediaRange] = []
    place = 0
    for _ in range(MOST_RANGES):
        element = _ELEMENT.match(accept, place)
        assert element is not None  # the pattern matches the empty string
        if (range_ := _media_range(element[0])) is not None:
            ranges.append(range_)
        place = element.end() + 1
        if place > len(accept):
            break
    return ranges


def _media_range(element: str) -> MediaRange | None:
    match = _RANGE.fullmatch(element)
    if match is None:
        return None
    weight = FULL_WEIGHT
    has_parameters = False
    for name, value in _PARAMETER.findall(match[3]):
        match name.lower():
            case "q":
                if _WEIGHT.fullmatch(value) is None:
                    return None
                weight = value.replace(".", "").ljust(4, "0")
                break  # what follows the weight is an extension of RFC 7231's, which RFC 9110 took away
            case "charset":
                pass  # Departs: clients write `application/json; charset=utf-8` and mean any JSON
            case _:
                has_parameters = True
    return MediaRange(match[1].lower(), match[2].lower(), has_parameters, weight)


def best_media_type(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer with the greatest weight, the earlier one of equals; None when the client accepts none of them.

    The most exact range that matches decides an offer's weight. Without `Accept` anything goes: the first offer.
    """
    if accept is None:
        return offers[0]
    ranges = media_ranges(accept)
    if not ranges:
        return offers[0]
    best: str | None = None
    best_weight = NOT_ACCEPTABLE
    for offer in offers:
        type_, _, subtype = offer.partition("/")
        # Equally exact ranges (a range written twice) count with the greater weight.
        precedence, weight = max((range_.precedence(type_, subtype), range_.weight) for range_ in ranges)
        if precedence > 0 and weight > best_weight:
            best, best_weight = offer, weight
    return best


def best_coding(values: Sequence[bytes], offers: tuple[str, ...]) -> str:
    """The content coding among `offers` with the greatest weight in the Accept-Encoding lines `values`, the earlier
    one of equals; "" where the client would rather have none of them, or says nothing."""
    if not values:
        return ""
    accept = (values[0] if len(values) == 1 else b",".join(values)).decode("latin-1")
    return _remembered_coding(accept, offers) if len(accept) <= _REMEMBERED_LENGTH else _best_coding(accept, offers)


def _best_coding(accept: str, offers: tuple[str, ...]) -> str:
    weights: dict[str, str] = {}
    for element in accept.lower().split(",", MOST_RANGES)[:MOST_RANGES]:
        match = _CODING.fullmatch(element)
        if match is None or (match[2] is not None and _WEIGHT.fullmatch(match[2]) is None):
            continue
        coding = _CODING_ALIASES.get(match[1], match[1])
        weight = FULL_WEIGHT if match[2] is None else match[2].replace(".", "").ljust(4, "0")
        weights[coding] = max(weight, weights.get(coding, NOT_ACCEPTABLE))
    best, best_weight = "", NOT_ACCEPTABLE
    others = weights.get("*", NOT_ACCEPTABLE)
    for offer in offers:
        weight = weights.get(offer, others)
        if weight > best_weight:
            best, best_weight = offer, weight
    # Plain content is always acceptable unless it is refused; it wins only where the client says by how much.
    return "" if weights.get("identity", NOT_ACCEPTABLE) > best_weight else best


_remembered_coding = lru_cache(maxsize=1024)(_best_coding)

"""The value behind a word, read as its word wants it: 1MB, 10m, 5xx, 10.0.0.0/8, mon-fri/08:00-18:00."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from interpose.core.query.error import meant
from interpose.core.query.values import (
    DAYS,
    MINUTES_A_DAY,
    OCTETS,
    SECONDS,
    Contained,
    Exact,
    Glob,
    Network,
    Present,
    Span,
    Template,
    Value,
    Window,
    folded,
)
from interpose.core.query.words import Kind, Word

_MOST_OCTETS = 1 << 60
_MOST_SECONDS = 36525 * 86400
_DURATIONS: Mapping[str, float] = {**SECONDS, "ms": 0.001}
_AMOUNT = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?([A-Za-z]*)")
_CLASS = re.compile(r"([1-5])[xX]{2}")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_SLOT = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_WINDOW = re.compile(r"(?:([A-Za-z]{3})(?:-([A-Za-z]{3}))?)?(?:(?:^|/)([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2}))?")


class Item(NamedTuple):
    """One value as it is written: `parts` are what stands between its wildcards."""

    operator: str
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, wildcards taken literally."""
        return "*".join(self.parts)


def value_of(word: Word, item: Item) -> Value:
    """The value that `item` is for `word`. ValueError is the sentence that says what is wrong."""
    if item.operator and word.kind not in _COMPARED:
        raise ValueError(
            f"`{item.operator}` compares numbers, and `{word.word}` is no number: "
            f'write it as in {word.example}, or put "{item.operator}…" in quotes'
        )
    if word.kind is not Kind.CONTAINED:
        if len(item.parts) > 2:  # two wildcards beside each other are one
            item = item._replace(parts=(item.parts[0], *filter(None, item.parts[1:-1]), item.parts[-1]))
        if item.parts == ("", "") and not item.operator:
            return Present()
    return _READERS[word.kind](word, item)


def _text(word: Word, item: Item) -> Value:
    parts = tuple(folded(part) for part in item.parts) if word.folds else item.parts
    if word.word == "host":
        if not item.text.isascii():
            raise ValueError("a host has its ASCII form in requests: write the one that begins with xn--")
        if "/" in item.text:
            raise ValueError("a host has neither scheme nor path: write the name alone, or url:… or path:…")
    return Glob(parts) if len(parts) > 1 else Exact(parts[0])


def _path(word: Word, item: Item) -> Value:
    text = item.text
    if "{" not in text and "}" not in text:
        return _text(word, item)
    rest = len(item.parts) == 2 and item.parts[0].endswith("/") and not item.parts[1]
    if len(item.parts) > 1 and not rest:
        raise ValueError("beside `{name}` a wildcard may only stand at the end, as in /users/{id}/*")
    segments: list[str | None] = []
    names: list[str] = []
    for segment in text[:-2].split("/") if rest else text.split("/"):
        slot = _SLOT.fullmatch(segment)
        if slot is None and ("{" in segment or "}" in segment):
            raise ValueError("`{name}` stands for a whole segment: write it between slashes, as in /users/{id}")
        segments.append(None if slot else segment)
        if slot:
            names.append(slot[1])
    if len(set(names)) < len(names):
        raise ValueError("two segments have the same name: give each its own")
    return Template(tuple(segments), tuple(names), rest)


def _contained(word: Word, item: Item) -> Value:
    if not item.text:
        raise ValueError(f"every text contains the empty one: write what is looked for, as in {word.example}")
    return Contained(folded(item.text))


def _choice(word: Word, item: Item) -> Value:
    value = folded(item.text)
    if len(item.parts) > 1:
        return Glob(tuple(folded(part) for part in item.parts))
    if value not in word.values:
        hint = meant(value, word.values)
        known = f"; there is {', '.join(word.values)}" if not hint and len(word.values) < 10 else ""
        raise ValueError(f"`{word.word}` knows no `{_short(item.text)}`{hint or known}")
    return Exact(value)


def _number(word: Word, item: Item) -> Value:
    text = item.text
    if word.kind is Kind.STATUS and not item.operator and (hundred := _CLASS.fullmatch(text)):
        return Span(100 * _whole(hundred[1]), 100 * _whole(hundred[1]) + 99)
    unit = {Kind.SIZE: "B", Kind.DURATION: "s"}.get(word.kind, "")
    low, dots, high = text.partition("..")
    if not dots:
        number = _amount(word, text)
        if not item.operator:
            if word.kind is Kind.DURATION:
                raise ValueError(f"no two moments are equal: write `{word.word}:<{text}` or `{word.word}:>{text}`")
            return Span(number, number, unit)
        if item.operator[0] == "<":
            return Span(None, number, unit, with_high=item.operator == "<=")
        return Span(number, None, unit, with_low=item.operator == ">=")
    if item.operator:
        raise ValueError("a range needs no comparison: write `LOW..HIGH`")
    if not low or not high:
        raise ValueError("a range has two ends: write `LOW..HIGH`, or `>=LOW`, or `<=HIGH`")
    span = Span(_amount(word, low), _amount(word, high), unit)
    assert span.low is not None
    assert span.high is not None
    if span.low > span.high:
        raise ValueError(f"the range ends before it begins: write {high}..{low}")
    return span


def _amount(word: Word, text: str) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"`{_short(text)}` is no {word.kind.value}: write it as in {word.example}")
    whole, fraction, unit = found[1], found[2] or "", found[3]
    match word.kind:
        case Kind.SIZE:
            size = _SIZES.get(unit.lower() or "b")
            if size is None:
                raise ValueError(f"`{unit}` is no unit of sizes: write B, kB, MB, GB, TB or KiB, MiB, GiB, TiB")
            scale: int = 10 ** len(fraction)
            octets = (_whole(whole + fraction) * size + scale // 2) // scale
            if octets > _MOST_OCTETS:
                raise ValueError(f"`{text}` is more than 1 EiB, which no content is")
            return octets
        case Kind.DURATION:
            length = _DURATIONS.get(unit)
            if length is None:
                what = f"`{unit}` is no unit of time" if unit else f"`{text}` has no unit"
                raise ValueError(f"{what}: write ms, s, m (minutes), h, d or w behind the number")
            seconds = round(_whole(whole + fraction) * length * 10.0 ** -len(fraction), 6)
            if seconds > _MOST_SECONDS:
                raise ValueError(f"`{text}` is more than a hundred years: write a shorter time")
            return seconds
    number = _whole(whole)
    low, high = (100, 999) if word.kind is Kind.STATUS else (0, word.most)
    if fraction or unit:
        raise ValueError(f"`{_short(text)}` is no whole number: write it as in {word.example}")
    if not low <= number <= high:
        raise ValueError(f"`{word.word}` is a number from {low} to {high}, not {number}")
    return number


def _address(word: Word, item: Item) -> Value:
    text = item.text
    try:
        if _ADDRESS.fullmatch(text) is None:
            raise ValueError
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        wildcard = ": a part of the addresses is written as a network, 10.0.0.0/8" if len(item.parts) > 1 else ""
        raise ValueError(
            f"`{_short(text)}` is neither an IP address nor a network{wildcard or f': write it as in {word.example}'}"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        if (mapped := network.network_address.ipv4_mapped) is not None:
            return Network(f"{mapped}/{network.prefixlen - 96}")
    return Network(str(network))


def _window(word: Word, item: Item) -> Value:
    text = item.text
    found = _WINDOW.fullmatch(folded(text))
    if found is None or not text:
        raise ValueError(f"`{_short(text)}` is no time of the week: write it as in {word.example}, or sat-sun")
    first, last = found[1] or "mon", found[2] or found[1] or "sun"
    for day in (first, last):
        if day not in DAYS:
            raise ValueError(f"`{day}` is no day{meant(day, DAYS) or ': write mon, tue, wed, thu, fri, sat or sun'}")
    start, end = 0, MINUTES_A_DAY
    if found[3]:
        start, end = _minute(found[3], found[4]), _minute(found[5], found[6])
        if start in (MINUTES_A_DAY, end):
            raise ValueError(f"nothing lies between {found[3]}:{found[4]} and {found[5]}:{found[6]}")
    return Window(DAYS.index(first), DAYS.index(last), start, end)


def _minute(hours: str, minutes: str) -> int:
    minute = 60 * _whole(hours) + _whole(minutes)
    if _whole(minutes) > 59 or minute > MINUTES_A_DAY:
        raise ValueError(f"there is no {hours}:{minutes}: a day has 00:00 to 24:00")
    return minute


def _whole(digits: str) -> int:
    return int(digits)  # after a full match of ASCII digits


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


_SIZES = {name.lower(): size for name, size in OCTETS.items()}
_COMPARED = (Kind.INTEGER, Kind.STATUS, Kind.SIZE, Kind.DURATION)
_READERS: Mapping[Kind, Callable[[Word, Item], Value]] = {
    Kind.TEXT: _text,
    Kind.PATH: _path,
    Kind.CONTAINED: _contained,
    Kind.CHOICE: _choice,
    Kind.INTEGER: _number,
    Kind.STATUS: _number,
    Kind.SIZE: _number,
    Kind.DURATION: _number,
    Kind.ADDRESS: _address,
    Kind.WINDOW: _window,
}

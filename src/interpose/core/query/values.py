"""What a term asks for, normalised: octets, seconds, networks, folded text.

Each value prints as it may be written, and each that is about text can judge one: a database that has no such
comparison calls `matches`. All of it takes time in proportion to the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 1440
OCTETS = {"TiB": 1 << 40, "TB": 10**12, "GiB": 1 << 30, "GB": 10**9, "MiB": 1 << 20, "MB": 10**6,
          "KiB": 1 << 10, "kB": 10**3, "B": 1}  # fmt: skip
SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_UNITS = {"B": OCTETS, "s": SECONDS, "": {"": 1}}

PLAIN_NAME = re.compile(r"[^\s()\":,*\\<>=]+")
_PLAIN_VALUE = re.compile(r"[^\s()\",\\<>~][^\s()\",\\]*")
_SPECIAL = re.compile(r"([\"\\*])")
_ASCII_UPPER = {upper: upper + 32 for upper in range(65, 91)}


def folded(text: str) -> str:
    """The text with A to Z in lower case. Nothing else is folded: to `str.lower` the Kelvin sign is a k."""
    return text.lower() if text.isascii() else text.translate(_ASCII_UPPER)


def literal(text: str) -> str:
    """The text as a value of a query spells it when nothing in it is a wildcard: in quotes where it has to be."""
    escaped = escape(text)
    return escaped if escaped == text and _PLAIN_VALUE.fullmatch(text) else f'"{escaped}"'


def escape(text: str) -> str:
    """The text as it stands inside quotes."""
    return _SPECIAL.sub(r"\\\1", text)


@dataclass(frozen=True, slots=True)
class Present:
    """`*`: there is one, whatever it is."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class Exact:
    """This text. The empty one means that there is none."""

    text: str

    def matches(self, text: str) -> bool:
        """Whether this is the text."""
        return text == self.text

    def __str__(self) -> str:
        return literal(self.text)


@dataclass(frozen=True, slots=True)
class Glob:
    """Text with any text between its parts: `*.example.com` is ("", ".example.com")."""

    parts: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Whether the text has all parts in their order, the first at its beginning, the last at its end."""
        first, last = self.parts[0], self.parts[-1]
        if not text.startswith(first) or not text.endswith(last):
            return False
        place, end = len(first), len(text) - len(last)
        for part in self.parts[1:-1]:
            found = text.find(part, place, end)
            if found < 0:
                return False
            place = found + len(part)
        return place <= end

    def __str__(self) -> str:
        text = "*".join(map(escape, self.parts))
        return text if _PLAIN_VALUE.fullmatch(text) else f'"{text}"'


@dataclass(frozen=True, slots=True)
class Template:
    """A path by its segments: `/users/{id}` is ("", "users", None), its names ("id",). With `rest` more may follow."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    rest: bool = False

    def matches(self, text: str) -> bool:
        """Whether the path has these segments; one that is open takes anything but nothing."""
        given = text.split("/", len(self.segments)) if self.rest else text.split("/")
        if len(given) != len(self.segments) + self.rest:
            return False
        for want, have in zip(self.segments, given, strict=False):
            if have != want if want is not None else not have:
                return False
        return True

    def __str__(self) -> str:
        names = iter(self.names)
        segments = [f"{{{next(names)}}}" if segment is None else segment for segment in self.segments]
        text = escape("/".join(segments)) + "/*" * self.rest
        return text if _PLAIN_VALUE.fullmatch(text) else f'"{text}"'


@dataclass(frozen=True, slots=True)
class Contained:
    """Text that stands anywhere in the other one, without regard to case."""

    text: str

    def matches(self, text: str) -> bool:
        """Whether the text has this somewhere. It need not be folded."""
        return self.text in folded(text)

    def __str__(self) -> str:
        return literal(self.text)


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from `low` to `high`, None where there is no bound. `unit`: B for octets, s for seconds, else nothing."""

    low: float | None
    high: float | None
    unit: str = ""
    with_low: bool = True
    with_high: bool = True

    def __contains__(self, number: float) -> bool:
        if self.low is not None and not (number >= self.low if self.with_low else number > self.low):
            return False
        return self.high is None or (number <= self.high if self.with_high else number < self.high)

    def __str__(self) -> str:
        if self.low is None and self.high is not None:
            return f"<{'=' * self.with_high}{_number(self.high, self.unit)}"
        if self.high is None and self.low is not None:
            return f">{'=' * self.with_low}{_number(self.low, self.unit)}"
        assert self.low is not None
        assert self.high is not None
        low, high = _number(self.low, self.unit), _number(self.high, self.unit)
        return low if low == high else f"{low}..{high}"


def _number(number: float, unit: str) -> str:
    if number % 1:
        return f"{Decimal(repr(number)):f}{unit}"
    for name, size in _UNITS[unit].items():
        if number and number % size == 0:
            return f"{Decimal(number // size):f}{name}"
    return f"0{unit}"


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses: a network as `ipaddress` prints it. IPv4 mapped into IPv6 is IPv4."""

    text: str

    def __str__(self) -> str:
        return self.text.removesuffix("/32" if "." in self.text else "/128")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of each week in local time: days from Monday (0), minutes of the day.

    One that ends before it begins goes on into the next day and belongs to the day on which it began.
    """

    first_day: int
    last_day: int
    start: int
    end: int

    def has_day(self, day: int) -> bool:
        """Whether it begins on this day of the week."""
        return (day - self.first_day) % 7 <= (self.last_day - self.first_day) % 7

    def contains(self, day: int, minute: int) -> bool:
        """Whether this minute is in it."""
        if self.start < self.end:
            return self.start <= minute < self.end and self.has_day(day)
        return (minute >= self.start and self.has_day(day)) or (minute < self.end and self.has_day((day - 1) % 7))

    def __str__(self) -> str:
        first, last = DAYS[self.first_day], DAYS[self.last_day]
        days = "" if (first, last) == ("mon", "sun") else first if first == last else f"{first}-{last}"
        if (self.start, self.end) == (0, MINUTES_A_DAY):
            return days or "mon-sun"
        return f"{days}{'/' if days else ''}{_clock(self.start)}-{_clock(self.end)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


Value = Present | Exact | Glob | Template | Contained | Span | Network | Window

"""Dates in fields (RFC 9110, 5.6.7): the three spellings, read strictly, and the one that is written.

The grammar is that of the RFC, but letters match without case, as caches are asked to (RFC 9111, 4.2). A zone other
than GMT, a day that no month has or an hour of one digit make it no date.
"""

from __future__ import annotations

import re
from datetime import date
from email.utils import formatdate
from functools import lru_cache

from interpose.protocol import number

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_S = 86400
_MONTHS = {
    name: place
    for place, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(b" "), start=1)
}  # fmt: skip
_MONTH = rb"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_TIME = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_IMF = re.compile(
    rb"(?:mon|tue|wed|thu|fri|sat|sun), ([0-9]{2}) " + _MONTH + rb" ([0-9]{4}) " + _TIME + rb" gmt", re.IGNORECASE
)
_RFC850 = re.compile(
    rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day, ([0-9]{2})-" + _MONTH + rb"-([0-9]{2}) " + _TIME + rb" gmt",
    re.IGNORECASE,
)
_ASCTIME = re.compile(
    rb"(?:mon|tue|wed|thu|fri|sat|sun) " + _MONTH + rb" ([0-9]{2}| [0-9]) " + _TIME + rb" ([0-9]{4})", re.IGNORECASE
)
_FIFTY_YEARS_S = 50 * 365.25 * _DAY_S
_LONGEST = 40


def parse(raw: bytes, now: float) -> int | None:
    """The wall seconds that `raw` means, None when it is no date.

    `now` decides the century of a year with two digits: a date more than fifty years ahead is one of the past.
    """
    if len(raw) > _LONGEST:
        return None
    fixed = _fixed(raw)
    if fixed is not None:
        return fixed
    match = _RFC850.fullmatch(raw)
    if match is None:
        return None
    year = (number.decimal(match[3]) or 0) + 2000
    seconds = _seconds(year, match[2], match[1], match[4], match[5], match[6])
    while seconds is not None and seconds - now > _FIFTY_YEARS_S:
        year -= 100
        seconds = _seconds(year, match[2], match[1], match[4], match[5], match[6])
    return seconds


@lru_cache(maxsize=1024)
def _fixed(raw: bytes) -> int | None:
    """The spellings whose year has four digits. Remembered: answers of one second share their Date, a site's pages
    their Last-Modified."""
    match = _IMF.fullmatch(raw)
    if match is not None:
        return _seconds(number.decimal(match[3]) or 0, match[2], match[1], match[4], match[5], match[6])
    match = _ASCTIME.fullmatch(raw)
    if match is not None:
        day = match[2].replace(b" ", b"0")
        return _seconds(number.decimal(match[6]) or 0, match[1], day, match[3], match[4], match[5])
    return None


def _seconds(year: int, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes) -> int | None:
    in_day = [number.decimal(part) or 0 for part in (hour, minute, second)]
    if in_day[0] > 23 or in_day[1] > 59 or in_day[2] > 60:  # 60: a leap second
        return None
    try:
        days = date(year, _MONTHS[month.lower()], number.decimal(day) or 0).toordinal() - _EPOCH
    except ValueError:
        return None
    return days * _DAY_S + in_day[0] * 3600 + in_day[1] * 60 + in_day[2]


@lru_cache(maxsize=64)
def written(seconds: int) -> bytes:
    """The spelling that senders use."""
    return formatdate(seconds, usegmt=True).encode("ascii")

"""Dates: the three spellings of RFC 9110, 5.6.7, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.protocol import http_date

NOW = 1795176000.0  # Fri, 20 Nov 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Fri, 20 Nov 2026 12:00:00 GMT", 1795176000),
        (b"Friday, 20-Nov-26 12:00:00 GMT", 1795176000),
        (b"Fri Nov 20 12:00:00 2026", 1795176000),
        (b"Sun Nov  1 12:00:00 2026", 1793534400),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"Wed, 31 Dec 1969 23:59:59 GMT", -1),
        (b"Thu, 18 Aug 2050 02:01:18 GMT", 2544400878),
        (b"THU, 18 AUG 2050 02:01:18 gMT", 2544400878),
        (b"Sat, 29 Feb 2020 00:00:00 GMT", 1582934400),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        (b"Saturday, 01-Jan-77 00:00:00 GMT", 220924800),  # 2077 is more than fifty years ahead
        (b"Wednesday, 01-Jan-76 00:00:00 GMT", 3345062400),  # 2076 is not
        (b"Mon, 20 Nov 2026 12:00:00 GMT", 1795176000),  # the name of the day is not compared
    ],
)
def test_a_date_is_its_seconds(raw: bytes, expected: int) -> None:
    assert http_date.parse(raw, NOW) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"0", b"-1", b"foo", b"1795176000", b"Thu, 18 Aug 2050 02:01:18 UTC", b"Thu, 18 Aug 2050 02:01:18",
        b"Thu, 18 Aug 2050 02:01:18 +0000", b"Thu, 18 Aug 50 02:01:18 GMT", b"Thu 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18  Aug  2050 02:01:18 GMT", b"Thu, 18-Aug-2050 02:01:18 GMT", b"Thu, 18 Aug 2050 02.01.18 GMT",
        b"Thu, 18 Aug 2050 2:01:18 GMT", b"Thu, 8 Aug 2050 02:01:18 GMT", b"Thu, 32 Aug 2050 02:01:18 GMT",
        b"Thu, 00 Aug 2050 02:01:18 GMT", b"Sat, 29 Feb 2021 00:00:00 GMT", b"Thu, 18 Aug 2050 24:01:18 GMT",
        b"Thu, 18 Aug 2050 02:60:18 GMT", b"Thu, 18 Aug 2050 02:01:61 GMT", b"Thu, 18 Aug 0000 02:01:18 GMT",
        b"Foo, 18 Aug 2050 02:01:18 GMT", b"Thu, 18 Foo 2050 02:01:18 GMT", b"2050-08-18T02:01:18Z",
        b" Thu, 18 Aug 2050 02:01:18 GMT", b"Thu, 18 Aug 2050 02:01:18 GMT\n", b"18 Aug 2050 02:01:18 GMT",
        b"Thursday, 18-Aug-2050 02:01:18 GMT", b"Thu, 18-Aug-50 02:01:18 GMT", b"Thu Aug 8 02:01:18 2050",
        "Thu, 1\u0668 Aug 2050 02:01:18 GMT".encode(), b"Thu, 18 Aug 2050 02:01:18 GMT" * 9,
    ],
)  # fmt: skip
def test_what_is_no_date_is_none(raw: bytes) -> None:
    assert http_date.parse(raw, NOW) is None


@given(st.integers(-60_000_000_000, 250_000_000_000))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_what_is_written_is_read(seconds: int) -> None:
    as_datetime = datetime.fromtimestamp(seconds, UTC)
    by_name = as_datetime.strftime(f"%a, %d %b {as_datetime.year:04} %H:%M:%S GMT").encode()
    assert http_date.parse(by_name, NOW) == seconds
    assert http_date.parse(as_datetime.strftime(f"%a %b %e %H:%M:%S {as_datetime.year:04}").encode(), NOW) == seconds
    if seconds >= 0:
        assert http_date.written(seconds) == by_name


@given(st.binary(max_size=40) | st.text("SunMoTueWdhFriSat, :-0123456789JanGMT", max_size=32).map(str.encode))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_any_bytes_are_a_date_or_none(raw: bytes) -> None:
    assert http_date.parse(raw, NOW) is None or b":" in raw

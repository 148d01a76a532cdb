"""Freshness and age against a model of their own: plain sums over values that are drawn, not parsed."""

from __future__ import annotations

import math
from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from interpose.core.fields import FieldLine, field_line
from interpose.protocol import caching, conditional, ranges, storing, updating, variants
from interpose.protocol.caching import Action, decide, read
from interpose.protocol.freshness import GATEWAY, PROXY, Policy, freshness_of
from interpose.protocol.stored import StoredHead, decode, encode
from interpose.protocol.storing import keep

T = 1795176000
BEYOND = 10**12

seconds = st.integers(0, 5000) | st.sampled_from([0, 1, 2**31, BEYOND])
maybe = st.none() | seconds


@given(
    max_age=maybe,
    s_maxage=maybe,
    expires=st.none() | st.integers(-5000, 5000),
    date=st.none() | st.integers(-5000, 5000),
    age=maybe,
    delay=st.floats(0, 100),
    later=st.floats(-100, 10000),
    shared=st.booleans(),
)
@examples(250, derandomize=True)
def test_a_response_is_as_old_and_as_fresh_as_the_sums_say(
    max_age: int | None,
    s_maxage: int | None,
    expires: int | None,
    date: int | None,
    age: int | None,
    delay: float,
    later: float,
    shared: bool,
) -> None:
    fields = []
    if max_age is not None:
        fields.append(f"Cache-Control: max-age={max_age}")
    if s_maxage is not None:
        fields.append(f"Cache-Control: s-maxage={s_maxage}")
    if expires is not None:
        fields.append(f"Expires: {formatdate(T + expires, usegmt=True)}")
    if date is not None:
        fields.append(f"Date: {formatdate(T + date, usegmt=True)}")
    if age is not None:
        fields.append(f"Age: {age}")
    lines = tuple(field_line(*field.split(": ", 1)) for field in fields)
    head = StoredHead(200, b"", lines, T - delay, T)

    def capped(value: int) -> int:
        return min(value, 2**31)

    wanted_age = max(capped(age or 0) + delay, 0 if date is None or date > 0 else -date) + max(later, 0)
    if shared and s_maxage is not None:
        wanted_lifetime = capped(s_maxage)
    elif max_age is not None:
        wanted_lifetime = capped(max_age)
    else:
        wanted_lifetime = 0 if expires is None else max(0, expires - (date or 0))

    known = freshness_of(head, Policy(shared=shared))
    now = T + later
    assert math.isclose(known.age(now), wanted_age, abs_tol=1e-4)
    assert known.lifetime == wanted_lifetime
    left = wanted_lifetime - wanted_age
    if abs(left) > 1e-3:
        served = decide(caching.PLAIN_GET, head, True, now, Policy(shared=shared)).action is Action.SERVE
        assert served == (left > 0)
        assert (known.left(now) > 0) == (left > 0)


NAMES = """
    Age Authorization Cache-Control CDN-Cache-Control Connection Content-Location Content-Range Cookie Date ETag Expires
    If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Last-Modified Location Range Set-Cookie
    Surrogate-Control Surrogate-Key Vary
"""
names = st.sampled_from(NAMES.split())
words = st.sampled_from(
    ["max-age=", "no-cache", "private", '"', ",", " ", "\\", "60", "*", "W/", "bytes=", "-", "0-1", "bytes 0-1/2", "=",
     "Fri, 20 Nov 2026 12:00:00 GMT", "http://", "/", "%", "[", "\xff", "s-maxage=5", "must-understand", "gzip;q=", "."]
)  # fmt: skip
values = st.lists(words, max_size=5).map("".join).map(str.strip) | st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f", exclude_categories=("Cc",)),
    max_size=20,
)
messages = st.lists(st.tuples(names, values), max_size=6)


def lines_of(fields: list[tuple[str, str]]) -> list[FieldLine]:
    lines = []
    for name, value in fields:
        try:
            lines.append(field_line(name, value))
        except ValueError:
            continue
    return lines


@given(
    messages,
    messages,
    messages,
    st.sampled_from([200, 204, 206, 299, 304, 404, 416, 500]),
    st.sampled_from(["GET", "HEAD", "POST", "get", ""]),
    st.sampled_from([PROXY, GATEWAY, Policy(shared=False, stores_parts=True, stores_cookies=True, grace_s=5)]),
)
@examples(250, derandomize=True)
def test_whatever_the_fields_are_there_is_a_decision(
    request: list[tuple[str, str]],
    response: list[tuple[str, str]],
    later: list[tuple[str, str]],
    status: int,
    method: str,
    policy: Policy,
) -> None:
    request_lines, response_lines, later_lines = lines_of(request), lines_of(response), lines_of(later)
    asked = read("GET", request_lines, has_content=False)
    head = keep(asked, request_lines, b"GET k", status, b"", response_lines, T, T + 0.5, policy, (b"surrogate-key",))
    if isinstance(head, str):
        head = StoredHead(status, b"", tuple(storing.stored_lines(response_lines, freshness_of(
            StoredHead(status, b"", tuple(response_lines), T, T), policy).directives, T)), T, T)  # fmt: skip
    assert decode(encode(head)) == head
    again = read(method, later_lines, has_content=False)
    for now in (T - 10.0, T + 1.0, T + 1e10):
        decide(again, head, True, now, policy)
        caching.may_stand_in(again, head, now, policy)
        freshness_of(head, policy).in_words(now)
        conditional.evaluate(method, again.conditions, caching.validators_of(head), now)
        conditional.evaluate_in_cache("GET", again.conditions, caching.validators_of(head), now)
        conditional.range_applies(again.conditions.if_range, caching.validators_of(head), now)
    caching.validation_lines(head)
    storing.refusal(asked, head, policy)
    variants.fits(head, later_lines)
    for line in later_lines:
        ranges.wanted(line.value, 10)
        ranges.part_of(line.value)
    updated = updating.freshened(head, later_lines, request_lines, T + 1, T + 2, policy)
    if updated is not None:
        assert decode(encode(updated)) == updated
    updating.freshened_by_head(head, later_lines, 0, request_lines, T + 1, T + 2, policy)


@given(messages)
@examples(100, derandomize=True)
def test_a_response_always_fits_the_request_that_it_came_for(request: list[tuple[str, str]]) -> None:
    request_lines = lines_of(request)
    varying = [field_line("Vary", ", ".join({line.name.decode() for line in request_lines} | {"Accept-Language"}))]
    vary = variants.vary_of(varying, request_lines)
    assert vary is not None
    assert variants.fits(StoredHead(200, b"", (), T, T, vary), request_lines)


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"bytes=", b"0", b"9", b"-", b",", b" "]), max_size=20).map(b"".join)
)
@examples(250, derandomize=True)
def test_a31_any_ranges_are_of_what_is_there_and_do_not_overlap(raw: bytes) -> None:
    found = ranges.wanted(raw, 100)
    if found:
        assert len(found) <= ranges.MOST_RANGES
        octets = [place for first, last in found for place in range(first, last + 1)]
        assert len(octets) == len(set(octets))
        assert 0 <= min(octets) <= max(octets) < 100

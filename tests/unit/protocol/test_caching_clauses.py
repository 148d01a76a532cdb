"""The caching of HTTP, clause by clause: RFC 9111, the parts of RFC 9110 about conditions and ranges, RFC 5861, 8246,
9211 and 9213. Each row says in our words what a clause demands, and what must come of one case.

"must" rows are what the RFC demands, "may" rows what it allows or recommends and what this cache chose.

Most rows are stories: an answer comes at T, and some seconds later the same is asked for again. Fields are written in
one string, lines with ` | ` between. Unless it says otherwise the answer has the Date of T, and the cache is a shared
one that guesses no lifetime.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from interpose.core.fields import FieldLine, field_line
from interpose.core.target import Authority, Form, Target
from interpose.protocol import cache_key, cache_status, caching, conditional, freshness, ranges, storing, updating
from interpose.protocol.caching import Action, decide, may_stand_in, read
from interpose.protocol.conditional import Validators, conditions_of
from interpose.protocol.freshness import Policy, freshness_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.storing import keep
from interpose.protocol.variants import select

T = 1795176000.0  # Fri, 20 Nov 2026 12:00:00 GMT
NOW = "Fri, 20 Nov 2026 12:00:00 GMT"
HOUR_LATER = "Fri, 20 Nov 2026 13:00:00 GMT"
HOUR_AGO = "Fri, 20 Nov 2026 11:00:00 GMT"
DAY_AGO = "Thu, 19 Nov 2026 12:00:00 GMT"

SHARED = Policy()
PRIVATE = Policy(shared=False)
GUESSING = Policy(heuristic=True)
GATEWAY = freshness.GATEWAY
DEAF = Policy(obeys_requests=False)
BY_RULE = Policy(override_ttl_s=600.0)
DEFAULT = Policy(default_ttl_s=120.0)
GRACE = Policy(grace_s=300.0)
LONELY = Policy(unreachable_s=60.0)
PARTS = Policy(stores_parts=True)
COOKIES = Policy(stores_cookies=True)


def lines(text: str) -> list[FieldLine]:
    found = []
    for line in text.split(" | ") if text else []:
        name, _, value = line.partition(":")
        found.append(field_line(name, value.strip(" ")))
    return found


class Entry:
    def __init__(self, head: StoredHead) -> None:
        self.head = head


class Story(NamedTuple):
    clause: str
    need: str
    words: str
    answer: str
    after: float
    expected: str
    more: dict[str, Any]


def story(clause: str, need: str, words: str, answer: str, after: float, expected: str, **more: Any) -> Story:
    return Story(clause, need, words, answer, after, expected, more)


def must(clause: str, words: str, answer: str, after: float, expected: str, **more: Any) -> Story:
    return story(clause, "must", words, answer, after, expected, **more)


def may(clause: str, words: str, answer: str, after: float, expected: str, **more: Any) -> Story:
    return story(clause, "may", words, answer, after, expected, **more)


def answer_lines(text: str) -> list[FieldLine]:
    if text == "no-date" or text.startswith("no-date | "):
        return lines(text[10:])
    found = lines(text)
    if not any(line.key == b"date" for line in found):
        found.append(field_line("Date", NOW))
    return found


def stored(
    text: str, status: int = 200, first: str = "", policy: Policy = SHARED, delay: float = 0.0
) -> StoredHead | str:
    request = lines(first)
    asked = read("GET", request, has_content=False)
    return keep(asked, request, b"GET http://a/", status, b"", answer_lines(text), T - delay, T, policy)


def outcome(told: Story) -> str:
    more = dict(told.more)
    request = lines(more.pop("request", ""))
    method = more.pop("method", "GET")
    has_content = more.pop("has_content", False)
    expired = more.pop("expired", False)
    policy = more.get("policy", SHARED)
    head = stored(told.answer, **more)
    if isinstance(head, str):
        return "not stored"
    if expired:
        head = head.replace(expired=True)
    entries = [Entry(head)]
    entry = select(entries, request)
    asked = read(method, request, has_content=has_content)
    decision = decide(asked, None if entry is None else entry.head, True, T + told.after, policy)
    if decision.action is Action.SERVE and not decision.reason:
        return "hit"
    return " ".join([decision.action.name.lower(), decision.reason.decode()]).strip()


STORIES = [
    # ------ storing: RFC 9111, 3
    must("9111 3", "a method that is known and a final status", "Cache-Control: max-age=60", 1, "hit"),
    must("9111 3", "an interim answer is no answer", "Cache-Control: max-age=60", 1, "not stored", status=103),
    must("9111 3", "an answer to processing is interim, too", "Cache-Control: max-age=60", 1, "not stored", status=102),
    must("9111 3", "nothing without a lifetime or a validator is reused", "X: 1", 1, "not stored"),
    must("9111 3", "an empty answer says nothing", "no-date", 1, "not stored"),
    must("9111 3", "a 304 is no response of its own", "Cache-Control: max-age=60", 1, "not stored", status=304),
    must("9111 3.3", "a part is not the whole", "Cache-Control: max-age=60 | Content-Range: bytes 0-4/10", 1,
         "not stored", status=206),
    may("9111 3", "203 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=203),
    may("9111 3", "204 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=204),
    may("9111 3", "an unknown 2xx with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=299),
    may("9111 3", "300 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=300),
    may("9111 3", "301 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=301),
    may("9111 3", "302 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=302),
    may("9111 3", "303 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=303),
    may("9111 3", "307 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=307),
    may("9111 3", "308 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=308),
    may("9111 3", "400 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=400),
    may("9111 3", "404 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=404),
    may("9111 3", "410 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=410),
    may("9111 3", "an unknown 4xx with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=499),
    may("9111 3", "500 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=500),
    may("9111 3", "502 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=502),
    may("9111 3", "503 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=503),
    may("9111 3", "504 with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=504),
    may("9111 3", "an unknown 5xx with a lifetime", "Cache-Control: max-age=60", 1, "hit", status=599),
    *[
        must("9111 4.2.4", f"a {status} is not reused stale",
             f"Expires: {HOUR_AGO} | Last-Modified: {DAY_AGO}", 1, "validate stale", status=status)
        for status in (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599)
    ],
    must("9111 3", "302 without a lifetime is not cacheable", f"Last-Modified: {DAY_AGO}", 1, "not stored", status=302),
    must("9111 3", "401 without a lifetime is not cacheable", f"Last-Modified: {DAY_AGO}", 1, "not stored", status=401),
    must("9111 3", "500 without a lifetime is not cacheable", f"Last-Modified: {DAY_AGO}", 1, "not stored", status=500),
    must("6585 3", "428 is never stored", "Cache-Control: max-age=60", 1, "not stored", status=428),
    must("6585 4", "429 is never stored", "Cache-Control: max-age=60", 1, "not stored", status=429),
    must("6585 5", "431 is never stored", "Cache-Control: max-age=60", 1, "not stored", status=431),
    must("6585 6", "511 is never stored", "Cache-Control: max-age=60", 1, "not stored", status=511),
    may("9110 15.5.13", "412 answers the conditions of one request", "Cache-Control: max-age=60", 1, "not stored",
        status=412),
    may("9110 15.5.17", "416 answers the ranges of one request", "Cache-Control: max-age=60", 1, "not stored",
        status=416),
    may("9110 15.5.18", "417 answers the expectation of one request", "Cache-Control: max-age=60", 1, "not stored",
        status=417),
    may("9110 15.5.20", "421 is about a connection", "Cache-Control: max-age=60", 1, "not stored", status=421),
    may("9110 15.5.8", "407 is this hop's", "Cache-Control: max-age=60", 1, "not stored", status=407),
    # ------ requests with credentials: 3.5
    must("9111 3.5", "credentials: a lifetime alone does not share it", "Cache-Control: max-age=60", 1, "not stored",
         first="Authorization: Basic Zm9v"),
    must("9111 3.5", "credentials: Expires alone does not either", f"Expires: {HOUR_LATER}", 1, "not stored",
         first="Authorization: Basic Zm9v"),
    must("9111 3.5", "credentials: proxy-revalidate is not among what shares",
         "Cache-Control: max-age=60, proxy-revalidate",
         1, "not stored", first="Authorization: Basic Zm9v"),
    may("9111 3.5", "credentials: public shares it", "Cache-Control: max-age=60, public", 1, "hit",
        first="Authorization: Basic Zm9v"),
    may("9111 3.5", "credentials: must-revalidate shares it", "Cache-Control: max-age=60, must-revalidate", 1, "hit",
        first="Authorization: Basic Zm9v"),
    may("9111 3.5", "credentials: s-maxage shares it", "Cache-Control: s-maxage=60", 1, "hit",
        first="Authorization: Basic Zm9v"),
    must("9111 3.5", "credentials: a malformed public shares nothing", "Cache-Control: max-age=60, public=yes", 1,
         "not stored", first="Authorization: Basic Zm9v"),
    may("9111 3.5", "a private cache may keep it", "Cache-Control: max-age=60", 1, "hit",
        first="Authorization: Basic Zm9v", policy=PRIVATE),
    may("9111 3.5", "a rule does not share it", "Cache-Control: max-age=60", 1, "not stored",
        first="Authorization: Basic Zm9v", policy=BY_RULE),
    may("9111 4", "a request with credentials gets what is for all", "Cache-Control: max-age=60", 1, "hit",
        request="Authorization: Basic Zm9v"),
    # ------ the request: 2, 4, 9.3 of 9110
    must("9111 4", "another method is not answered by a stored GET", "Cache-Control: max-age=60", 1, "fetch method",
         method="POST"),
    must("9111 4", "DELETE goes to the origin", "Cache-Control: max-age=60", 1, "fetch method", method="DELETE"),
    must("9111 4", "OPTIONS goes to the origin", "Cache-Control: max-age=60", 1, "fetch method", method="OPTIONS"),
    must("9111 4", "a method nobody knows goes to the origin", "Cache-Control: max-age=60", 1, "fetch method",
         method="FROB"),
    must("9111 4", "methods are compared with case", "Cache-Control: max-age=60", 1, "fetch method", method="get"),
    may("9110 9.3.2", "HEAD is answered by a stored GET", "Cache-Control: max-age=60", 1, "hit", method="HEAD"),
    may("9110 9.3.2", "HEAD is validated like GET", 'Cache-Control: max-age=60 | ETag: "a"', 61, "validate stale",
        method="HEAD"),
    may("9110 9.3.1", "a GET with content is not what a key can tell", "Cache-Control: max-age=60", 1, "fetch bypass",
        has_content=True),
    may("9111 4", "cookies do not matter unless it varies on them", "Cache-Control: max-age=60", 1, "hit",
        request="Cookie: a=b"),
    may("9111 7.3", "an answer that sets a cookie is for one client", "Cache-Control: max-age=60 | Set-Cookie: a=b", 1,
        "not stored"),
    may("9111 7.3", "unless the operator says otherwise", "Cache-Control: max-age=60 | Set-Cookie: a=b", 1, "hit",
        policy=COOKIES),
    may("9111 3", "an attachment is like any other", "Cache-Control: max-age=60 | Content-Disposition: attachment", 1,
        "hit"),
    # ------ lifetimes: 4.2.1
    must("9111 4.2", "fresh while younger than its lifetime", "Cache-Control: max-age=60", 59.9, "hit"),
    must("9111 4.2", "stale at its lifetime", 'Cache-Control: max-age=60 | ETag: "a"', 60, "validate stale"),
    must("9111 4.2", "stale after its lifetime, nothing to validate by", "Cache-Control: max-age=60", 61,
         "fetch stale"),
    must("9111 4.2.1", "s-maxage counts for a shared cache", "Cache-Control: s-maxage=60", 59, "hit"),
    must("9111 4.2.1", "a short s-maxage over a long max-age", 'Cache-Control: max-age=60, s-maxage=10 | ETag: "a"', 11,
         "validate stale"),
    must("9111 4.2.1", "the order does not matter", 'Cache-Control: s-maxage=10, max-age=60 | ETag: "a"', 11,
         "validate stale"),
    must("9111 4.2.1", "nor do lines", 'Cache-Control: max-age=60 | Cache-Control: s-maxage=10 | ETag: "a"', 11,
         "validate stale"),
    may("9111 4.2.1", "a long s-maxage over a short max-age", "Cache-Control: max-age=1, s-maxage=60", 11, "hit"),
    may("9111 4.2.1", "s-maxage over max-age=0 and a past Expires",
        f"Cache-Control: max-age=0, s-maxage=60 | Expires: {HOUR_AGO}", 11, "hit"),
    must("9111 5.2.2.10", "s-maxage is nothing to a private cache",
         'Cache-Control: s-maxage=60, max-age=1 | ETag: "a"', 11,
         "validate stale", policy=PRIVATE),
    must("9111 5.2.2.10", "nor in lines of their own",
         'Cache-Control: s-maxage=60 | Cache-Control: max-age=1 | ETag: "a"',
         11, "validate stale", policy=PRIVATE),
    must("9111 4.2.1", "max-age over a past Expires", f"Cache-Control: max-age=60 | Expires: {HOUR_AGO}", 59, "hit"),
    must("9111 4.2.1", "max-age over an Expires that is none", "Cache-Control: max-age=60 | Expires: 0", 59, "hit"),
    must("9111 4.2.1", "max-age=0 over a future Expires",
         f'Cache-Control: max-age=0 | Expires: {HOUR_LATER} | ETag: "a"',
         1, "validate stale"),
    must("9111 4.2.1", "Expires less Date", f"Expires: {HOUR_LATER}", 3599, "hit"),
    must("9111 4.2.1", "stale when Expires is reached", f'Expires: {HOUR_LATER} | ETag: "a"', 3600, "validate stale"),
    must("9111 4.2.1", "Expires equal to Date is no lifetime", f'Expires: {NOW} | ETag: "a"', 0, "validate stale"),
    must("9111 4.2.1", "an Expires in the past is none", f'Expires: {HOUR_AGO} | ETag: "a"', 0, "validate stale"),
    must("9111 4.2.1", "Expires before a Date that is fast",
         'Date: Fri, 20 Nov 2026 12:06:40 GMT | Expires: Fri, 20 Nov 2026 12:05:00 GMT | ETag: "a"', 1,
         "validate stale"),
    may("9111 4.2.1", "Expires without Date counts from when it came", f"no-date | Expires: {HOUR_LATER}", 3599, "hit"),
    may("9110 6.6.1", "a Date that is none is the time it came", f"Date: foo | Expires: {HOUR_LATER}", 3599, "hit"),
    must("9111 4.2.1", "the first Expires of two", f'Expires: {NOW} | Expires: {HOUR_LATER} | ETag: "a"', 1,
         "validate stale"),
    must("9111 4.2.1", "the first max-age of two", "Cache-Control: max-age=60, max-age=1", 30, "hit"),
    must("9111 4.2.1", "also when that is the short one", 'Cache-Control: max-age=1, max-age=60 | ETag: "a"', 30,
         "validate stale"),
    must("9111 4.2.1", "the first of two lines", "Cache-Control: max-age=60 | Cache-Control: max-age=1", 30, "hit"),
    must("9111 4.2.1", "one that is invalid makes both so", 'Cache-Control: max-age=60, max-age=x | ETag: "a"', 30,
         "validate stale"),
    must("9111 4.2.1", "a lifetime with letters before it is none", 'Cache-Control: max-age=a60 | ETag: "a"', 1,
         "validate stale"),
    must("9111 4.2.1", "a lifetime with letters after it is none", 'Cache-Control: max-age=60a | ETag: "a"', 1,
         "validate stale"),
    must("9111 4.2.1", "a negative lifetime is none", 'Cache-Control: max-age=-60 | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "a plus is no digit", 'Cache-Control: max-age=+60 | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "a fraction is no number of seconds", 'Cache-Control: max-age=60.0 | ETag: "a"', 1,
         "validate stale"),
    must("9111 4.2.1", "half a second more is none either", 'Cache-Control: max-age=60.5 | ETag: "a"', 1,
         "validate stale"),
    must("9111 4.2.1", "single quotes are no quotes", "Cache-Control: max-age='60' | ETag: \"a\"", 1, "validate stale"),
    must("9111 4.2.1", "no argument is no lifetime", 'Cache-Control: max-age | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "an empty argument is none", 'Cache-Control: max-age= | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "an invalid s-maxage is stale, whatever max-age says",
         'Cache-Control: s-maxage=x, max-age=60 | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "space before the equals sign", 'Cache-Control: max-age =60 | ETag: "a"', 1, "validate stale"),
    must("9111 4.2.1", "space after it", 'Cache-Control: max-age= 60 | ETag: "a"', 1, "validate stale"),
    may("9111 1.2.2", "leading zeros", "Cache-Control: max-age=00060", 59, "hit"),
    may("9111 1.2.2", "2147483647 seconds", "Cache-Control: max-age=2147483647", 9e8, "hit"),
    may("9111 1.2.2", "2147483648 seconds", "Cache-Control: max-age=2147483648", 9e8, "hit"),
    must("9111 1.2.2", "more than that are as many as that", "Cache-Control: max-age=99999999999", 9e8, "hit"),
    must("9111 1.2.2", "more digits than a number has", "Cache-Control: max-age=" + "9" * 40, 2147483647, "hit"),
    must("9111 1.2.2", "and not more", "Cache-Control: max-age=" + "9" * 40 + ' | ETag: "a"', 2147483648,
         "validate stale"),
    # ------ the grammar: 5.2
    must("9111 5.2", "names have no case", "Cache-Control: MaX-aGe=60", 59, "hit"),
    must("9111 5.2", "quoted and token forms are the same", 'Cache-Control: max-age="60"', 59, "hit"),
    must("9111 5.2", "what is in quotes is no directive (before)",
         'Cache-Control: x="max-age=60", max-age=1 | ETag: "a"', 30,
         "validate stale"),
    must("9111 5.2", "what is in quotes is no directive (after)",
         'Cache-Control: max-age=1, x="max-age=60" | ETag: "a"', 30,
         "validate stale"),
    must("9111 5.2", "also with an escaped quote", 'Cache-Control: x="\\", max-age=60, \\"", max-age=1 | ETag: "a"', 30,
         "validate stale"),
    must("9111 5.2", "a forbidding word in quotes forbids nothing", 'Cache-Control: x="no-store", max-age=60', 30,
         "hit"),
    must("9111 5.2.3", "unknown directives are ignored", "Cache-Control: foobar, max-age=60", 59, "hit"),
    must("9111 5.2.3", "also with arguments", 'Cache-Control: foo=bar, baz="a, b", max-age=60', 59, "hit"),
    must("9110 5.6.1", "empty list elements", "Cache-Control: , ,max-age=60,,", 59, "hit"),
    must("9110 5.6.1", "no space after the comma", "Cache-Control: public,max-age=60,foo", 59, "hit"),
    must("9110 5.6.1", "tabs and spaces around", "Cache-Control: public ,\t max-age=60\t , foo", 59, "hit"),
    may("9111 4.2.1", "a string that never ends hides nothing that forbids",
        'Cache-Control: max-age=60, x="foo, no-store', 1,
        "not stored"),
    may("9111 4.2.1", "nor makes anything fresh", 'Cache-Control: x="foo, max-age=60 | ETag: "a"', 1, "validate stale"),
    may("9111 4.2.1", "semicolons do not separate, but what forbids is heard", "Cache-Control: no-store; max-age=60", 1,
        "not stored"),
    may("9111 4.2.1", "and what permits is not", 'Cache-Control: max-age=60; public | ETag: "a"', 1, "validate stale"),
    # ------ guesses: 4.2.2
    may("9111 4.2.2", "a tenth of the time since the last change", f"Last-Modified: {DAY_AGO}", 8600, "hit",
        policy=GUESSING),
    may("9111 4.2.2", "and not more", f"Last-Modified: {DAY_AGO}", 8641, "validate stale", policy=GUESSING),
    may("9111 4.2.2", "at most a day", "Last-Modified: Fri, 20 Nov 2020 12:00:00 GMT", 86401, "validate stale",
        policy=GUESSING),
    may("9111 4.2.2", "a gateway does not guess", f"Last-Modified: {DAY_AGO}", 1, "validate stale", policy=GATEWAY),
    must("9111 4.2.2", "not where the origin was explicit", f"Cache-Control: max-age=1 | Last-Modified: {DAY_AGO}", 30,
         "validate stale", policy=GUESSING),
    must("9111 4.2.2", "nor where it tried to be", f"Expires: 0 | Last-Modified: {DAY_AGO}", 30, "validate stale",
         policy=GUESSING),
    may("9111 4.2.2", "a change after the answer tells nothing", f"Last-Modified: {HOUR_LATER}", 1, "validate stale",
        policy=GUESSING),
    may("9111 4.2.2", "a change at the answer tells nothing", f"Last-Modified: {NOW}", 1, "validate stale",
        policy=GUESSING),
    may("9111 4.2.2", "a change that is no date tells nothing", "Last-Modified: yesterday", 1, "not stored",
        policy=GUESSING),
    *[
        may("9110 15.1", f"a {status} may be guessed about", f"Last-Modified: {DAY_AGO}", 60, "hit", status=status,
            policy=GUESSING)
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410)
    ],
    *[
        must("9110 15.1", f"a {status} may not", f"Last-Modified: {DAY_AGO}", 60, "not stored", status=status,
             policy=GUESSING)
        for status in (201, 202, 302, 303, 307, 401, 403, 500, 502, 503, 504, 599)
    ],
    may("9110 15.1", "414 could be guessed about, but an attacker makes it", f"Last-Modified: {DAY_AGO}", 60,
        "not stored",
        status=414, policy=GUESSING),
    may("9110 15.1", "so can 501", f"Last-Modified: {DAY_AGO}", 60, "not stored", status=501, policy=GUESSING),
    may("9111 5.2.2.9", "public makes any final answer cacheable", f"Cache-Control: public | Last-Modified: {DAY_AGO}",
        60,
        "hit", status=599, policy=GUESSING),
    may("9111 4.2.2", "a rule where the origin is silent", "X: 1", 119, "hit", policy=DEFAULT),
    may("9111 4.2.2", "and no longer", "X: 1", 121, "fetch stale", policy=DEFAULT),
    may("9111 4.2.2", "no rule where it is not silent", 'Cache-Control: max-age=1 | ETag: "a"', 60, "validate stale",
        policy=DEFAULT),
    may("9111 4.2.2", "a rule does not make an error cacheable", "X: 1", 1, "not stored", status=500, policy=DEFAULT),
    may("9111 4.2.1", "a rule may know better than the origin", "Cache-Control: max-age=1, must-revalidate", 599, "hit",
        policy=BY_RULE),
    may("9111 4.2.1", "even when it wants validation each time", "Cache-Control: no-cache", 599, "hit", policy=BY_RULE),
    may("9111 4.2.1", "but not about what must not be stored", "Cache-Control: no-store", 1, "not stored",
        policy=BY_RULE),
    may("9111 4.2.1", "nor about what is private", "Cache-Control: private", 1, "not stored", policy=BY_RULE),
    may("9111 4.2.1", "nor about errors", 'Cache-Control: max-age=1 | ETag: "a"', 60, "validate stale", status=500,
        policy=BY_RULE),
    may("9111 4.2.2", "no guess about what came for a cookie", f"Last-Modified: {DAY_AGO}", 60, "not stored",
        first="Cookie: a=b", policy=GUESSING),
    may("9111 4.2.2", "unless it says that it varies on it", f"Last-Modified: {DAY_AGO} | Vary: Cookie", 60, "hit",
        first="Cookie: a=b", request="Cookie: a=b", policy=GUESSING),
    may("9111 4.2.2", "what is explicit is for all", "Cache-Control: max-age=60", 59, "hit", first="Cookie: a=b",
        policy=GUESSING),
    may("9111 4.2.2", "where nothing is guessed it is validated each time", f"Last-Modified: {DAY_AGO}", 1,
        "validate stale", first="Cookie: a=b"),
    # ------ age: 4.2.3, 5.1
    must("9111 4.2.3", "what Age says counts", 'Cache-Control: max-age=60 | Age: 120 | ETag: "a"', 0, "validate stale"),
    must("9111 4.2.3", "and is added to", 'Cache-Control: max-age=60 | Age: 50 | ETag: "a"', 10, "validate stale"),
    must("9111 4.2.3", "before that it is fresh", "Cache-Control: max-age=60 | Age: 50", 9, "hit"),
    must("9111 4.2.3", "the time under way counts", 'Cache-Control: max-age=60 | Age: 50 | ETag: "a"', 5,
         "validate stale",
         delay=5.0),
    must("9111 4.2.3", "a Date in the past is an age", f'Date: {HOUR_AGO} | Cache-Control: max-age=3600 | ETag: "a"', 0,
         "validate stale"),
    must("9111 4.2.3", "a Date in the future is none", f"Date: {HOUR_LATER} | Cache-Control: max-age=60", 59, "hit"),
    must("9111 4.2.3", "the greater of Date's and Age's",
         'Date: Fri, 20 Nov 2026 11:59:50 GMT | Expires: Fri, 20 Nov 2026 12:00:10 GMT | Age: 25 | ETag: "a"', 0,
         "validate stale"),
    must("9111 4.2.3", "Age counts with a fast Date",
         'Date: Fri, 20 Nov 2026 12:00:10 GMT | Expires: Fri, 20 Nov 2026 12:00:20 GMT | Age: 15 | ETag: "a"', 0,
         "validate stale"),
    may("9111 5.1", "an Age that is no number is ignored", "Cache-Control: max-age=60 | Age: abc", 59, "hit"),
    may("9111 5.1", "a negative Age is ignored", "Cache-Control: max-age=60 | Age: -120", 59, "hit"),
    may("9111 5.1", "an Age with a fraction is ignored", "Cache-Control: max-age=60 | Age: 120.0", 59, "hit"),
    may("9111 5.1", "the first member of a list counts", 'Cache-Control: max-age=60 | Age: 120, 0 | ETag: "a"', 1,
        "validate stale"),
    may("9111 5.1", "the first line counts", 'Cache-Control: max-age=60 | Age: 120 | Age: 0 | ETag: "a"', 1,
        "validate stale"),
    may("9111 5.1", "also when it is the young one", "Cache-Control: max-age=60 | Age: 0, 120", 1, "hit"),
    may("9111 5.1", "also in lines", "Cache-Control: max-age=60 | Age: 0 | Age: 120", 1, "hit"),
    must("9111 1.2.2", "an Age beyond all numbers is very old",
         f'Cache-Control: max-age=60 | Age: {"9" * 30} | ETag: "a"', 0,
         "validate stale"),
    may("9111 4.2.3", "a clock that was set back makes nothing younger than it came", "Cache-Control: max-age=60",
        -3600, "hit"),
    may("9111 4.2.3", "nor what came stale fresh", 'Cache-Control: max-age=60 | Age: 60 | ETag: "a"', -3600,
        "validate stale"),
    # ------ request directives: 5.2.1
    may("9111 5.2.1.1", "max-age: not older than that", 'Cache-Control: max-age=60 | ETag: "a"', 11, "validate request",
        request="Cache-Control: max-age=10"),
    may("9111 5.2.1.1", "young enough", "Cache-Control: max-age=60", 9, "hit", request="Cache-Control: max-age=10"),
    may("9111 5.2.1.1", "max-age=0 is a wish for validation", 'Cache-Control: max-age=60 | ETag: "a"', 0,
        "validate request",
        request="Cache-Control: max-age=0"),
    may("9111 5.2.1.1", "Age counts", 'Cache-Control: max-age=60 | Age: 30 | ETag: "a"', 0, "validate request",
        request="Cache-Control: max-age=20"),
    may("9111 5.2.1.1", "an invalid max-age is a cautious one", 'Cache-Control: max-age=60 | ETag: "a"', 1,
        "validate request",
        request="Cache-Control: max-age=x"),
    may("9111 5.2.1.1", "it does not make anything fresher", 'Cache-Control: max-age=10 | ETag: "a"', 20,
        "validate stale",
        request="Cache-Control: max-age=60"),
    may("9111 5.2.1.2", "max-stale: so much too old will do", "Cache-Control: max-age=10", 100, "serve stale",
        request="Cache-Control: max-stale=90"),
    may("9111 5.2.1.2", "but not more", "Cache-Control: max-age=10", 101, "fetch stale",
        request="Cache-Control: max-stale=90"),
    may("9111 5.2.1.2", "without a number any age will do", "Cache-Control: max-age=10", 99999, "serve stale",
        request="Cache-Control: max-stale"),
    may("9111 5.2.1.2", "an invalid one allows nothing", "Cache-Control: max-age=10", 11, "fetch stale",
        request="Cache-Control: max-stale=x"),
    may("9111 5.2.1.2", "Age counts", 'Cache-Control: max-age=1500 | Age: 2000 | ETag: "a"', 1, "serve stale",
        request="Cache-Control: max-stale=1000"),
    must("9111 5.2.2.2", "must-revalidate is stronger than max-stale",
         'Cache-Control: max-age=10, must-revalidate | ETag: "a"',
         11, "validate stale", request="Cache-Control: max-stale"),
    must("9111 5.2.2.8", "so is proxy-revalidate", 'Cache-Control: max-age=10, proxy-revalidate | ETag: "a"', 11,
         "validate stale", request="Cache-Control: max-stale"),
    must("9111 5.2.2.10", "so is s-maxage", 'Cache-Control: s-maxage=10 | ETag: "a"', 11, "validate stale",
         request="Cache-Control: max-stale"),
    may("9111 5.2.2.8", "proxy-revalidate is nothing to a private cache",
        "Cache-Control: max-age=10, proxy-revalidate", 11,
        "serve stale", request="Cache-Control: max-stale", policy=PRIVATE),
    may("9111 5.2.1.3", "min-fresh: for so long still", 'Cache-Control: max-age=60 | ETag: "a"', 11, "validate request",
        request="Cache-Control: min-fresh=50"),
    may("9111 5.2.1.3", "long enough", "Cache-Control: max-age=60", 9, "hit", request="Cache-Control: min-fresh=50"),
    may("9111 5.2.1.3", "Age counts", "Cache-Control: max-age=1500 | Age: 1000", 0, "fetch request",
        request="Cache-Control: min-fresh=1000"),
    may("9111 5.2.1.3", "an invalid one asks for nothing", "Cache-Control: max-age=60", 1, "hit",
        request="Cache-Control: min-fresh=x"),
    may("9111 5.2.1.4", "no-cache: only validated", 'Cache-Control: max-age=60 | ETag: "a"', 1, "validate request",
        request="Cache-Control: no-cache"),
    may("9111 5.2.1.4", "by Last-Modified, too", f"Cache-Control: max-age=60 | Last-Modified: {DAY_AGO}", 1,
        "validate request", request="Cache-Control: no-cache"),
    may("9111 5.2.1.4", "without a validator: fetched", "Cache-Control: max-age=60", 1, "fetch request",
        request="Cache-Control: no-cache"),
    may("9111 5.2.1.4", "whatever its case", "Cache-Control: max-age=60", 1, "fetch request",
        request="Cache-Control: NO-CACHE"),
    may("9111 5.2.1.5", "no-store: the answer is not stored", "Cache-Control: max-age=60", 1, "not stored",
        first="Cache-Control: no-store"),
    may("9111 5.2.1.5", "what is stored may answer it", "Cache-Control: max-age=60", 1, "hit",
        request="Cache-Control: no-store"),
    may("9111 5.2.1.7", "only-if-cached: a hit", "Cache-Control: max-age=60", 1, "hit",
        request="Cache-Control: only-if-cached"),
    may("9111 5.2.1.7", "only-if-cached: else 504", 'Cache-Control: max-age=60 | ETag: "a"', 61, "refuse",
        request="Cache-Control: only-if-cached"),
    may("9111 5.2.1.7", "stale will do when the client says so", "Cache-Control: max-age=60", 61, "serve stale",
        request="Cache-Control: only-if-cached, max-stale"),
    may("9111 5.2.1.7", "another variant will not do", "Cache-Control: max-age=60 | Vary: Foo", 1, "refuse",
        request="Cache-Control: only-if-cached | Foo: 1"),
    may("9111 5.2.1", "several lines are one list", "Cache-Control: max-age=10", 11, "serve stale",
        request="Cache-Control: foo | Cache-Control: max-stale=5"),
    may("9111 5.2.1", "an operator may keep clients from it", "Cache-Control: max-age=60", 1, "hit",
        request="Cache-Control: no-cache, max-age=0, min-fresh=99", policy=DEAF),
    may("9111 5.4", "Pragma in a request is of the past", "Cache-Control: max-age=60", 1, "hit",
        request="Pragma: no-cache"),
    may("9111 5.4", "whatever it says", "Cache-Control: max-age=60", 1, "hit", request="Pragma: foo"),
    must("9111 5.4", "Pragma in an answer means nothing", "Cache-Control: max-age=60 | Pragma: no-cache", 1, "hit"),
    must("9111 5.4", "nor to a guess", f"Last-Modified: {DAY_AGO} | Pragma: no-cache", 1, "hit", policy=GUESSING),
    # ------ response directives: 5.2.2
    must("9111 5.2.2.5", "no-store", "Cache-Control: no-store", 1, "not stored"),
    must("9111 5.2.2.5", "whatever its case", "Cache-Control: nO-StOrE", 1, "not stored"),
    must("9111 5.2.2.5", "whatever else is said", f"Cache-Control: max-age=60, no-store | Expires: {HOUR_LATER}", 1,
         "not stored"),
    must("9111 5.2.2.5", "in any line", "Cache-Control: max-age=60 | Cache-Control: no-store", 1, "not stored"),
    may("9111 5.2.2.5", "with an argument that it does not have", "Cache-Control: max-age=60, no-store=no", 1,
        "not stored"),
    must("9111 5.2.2.7", "private is not for a shared cache", "Cache-Control: private, max-age=60", 1, "not stored"),
    may("9111 5.2.2.7", "it is for a private one", "Cache-Control: private, max-age=60", 1, "hit", policy=PRIVATE),
    must("9111 5.2.2.7", "private fields do not make it so", 'Cache-Control: private="x-user", max-age=60 | X-User: a',
         1, "hit"),
    may("9111 5.2.2.7", "unless the response makes no sense without",
        'Cache-Control: private="vary", max-age=60 | Vary: A', 1,
        "not stored"),
    may("9111 5.2.2.7", "names that are none are as if there were none", 'Cache-Control: private="a b", max-age=60', 1,
        "not stored"),
    may("9111 5.2.2.7", "an empty list is as if there was none", 'Cache-Control: private="", max-age=60', 1,
        "not stored"),
    must("9111 5.2.2.4", "no-cache: validated before each use", 'Cache-Control: max-age=60, no-cache | ETag: "a"', 1,
         "validate stale"),
    must("9111 5.2.2.4", "whatever its case", 'Cache-Control: max-age=60, No-CaChE | ETag: "a"', 1, "validate stale"),
    must("9111 5.2.2.4", "also with Expires",
         f'Cache-Control: no-cache | Expires: {HOUR_LATER} | ETag: "a"', 1, "validate stale"),
    must("9111 5.2.2.4", "whatever the client would accept", 'Cache-Control: max-age=60, no-cache | ETag: "a"', 1,
         "validate stale", request="Cache-Control: max-stale"),
    may("9111 5.2.2.4", "without a validator there is no use in it", "Cache-Control: max-age=60, no-cache", 1,
        "not stored"),
    may("9111 5.2.2.4", "fields that are named are left out instead",
        'Cache-Control: no-cache="a, b", max-age=60 | a: 1', 1, "hit"),
    may("9111 5.2.2.4", "a token names a field as well", "Cache-Control: no-cache=a, max-age=60 | a: 1", 1, "hit"),
    may("9111 5.2.2.4", "one that the rest cannot do without: the whole",
        'Cache-Control: no-cache="content-type", max-age=60 | ETag: "a"', 1, "validate stale"),
    may("9111 5.2.2.4", "both forms: the whole", 'Cache-Control: no-cache="a", no-cache, max-age=60 | ETag: "a"', 1,
        "validate stale"),
    must("9111 5.2.2.2", "must-revalidate: fresh is fresh", "Cache-Control: max-age=60, must-revalidate", 59, "hit"),
    must("9111 5.2.2.2", "stale is validated", 'Cache-Control: max-age=60, must-revalidate | ETag: "a"', 61,
         "validate stale"),
    must("9111 5.2.2.3", "must-understand: an unknown status", "Cache-Control: max-age=60, no-store, must-understand",
         1,
         "not stored", status=599),
    must("9111 5.2.2.3", "also without no-store", "Cache-Control: max-age=60, must-understand", 1, "not stored",
         status=299),
    may("9111 5.2.2.3", "a known one makes no-store void", "Cache-Control: max-age=60, no-store, must-understand", 1,
        "hit"),
    must("9111 5.2.2.3", "malformed it permits nothing", "Cache-Control: max-age=60, no-store, must-understand=1", 1,
         "not stored"),
    must("9111 5.2.2.3", "a request's no-store stays", "Cache-Control: max-age=60, no-store, must-understand", 1,
         "not stored",
         first="Cache-Control: no-store"),
    may("9111 5.2.2.6", "no-transform does not keep it from being stored", "Cache-Control: max-age=60, no-transform",
        1, "hit"),
    may("9111 5.2.2.9", "public alone is no lifetime", 'Cache-Control: public | ETag: "a"', 1, "validate stale"),
    # ------ Vary: 4.1
    may("9111 4.1", "the same value", "Cache-Control: max-age=60 | Vary: Foo", 1, "hit", first="Foo: 1",
        request="Foo: 1"),
    must("9111 4.1", "another value", "Cache-Control: max-age=60 | Vary: Foo", 1, "fetch vary-miss", first="Foo: 1",
         request="Foo: 2"),
    must("9111 4.1", "the field is missing now", "Cache-Control: max-age=60 | Vary: Foo", 1, "fetch vary-miss",
         first="Foo: 1"),
    must("9111 4.1", "the field was missing then", "Cache-Control: max-age=60 | Vary: Foo", 1, "fetch vary-miss",
         request="Foo: 1"),
    must("9111 4.1", "an empty field is not a missing one", "Cache-Control: max-age=60 | Vary: Foo", 1,
         "fetch vary-miss",
         request="Foo:"),
    may("9111 4.1", "missing both times", "Cache-Control: max-age=60 | Vary: Foo", 1, "hit", request="Bar: 1"),
    may("9111 4.1", "names have no case", "Cache-Control: max-age=60 | Vary: fOO", 1, "hit", first="Foo: 1",
        request="foo: 1"),
    must("9111 4.1", "values of unknown fields have case", "Cache-Control: max-age=60 | Vary: Foo", 1,
         "fetch vary-miss",
         first="Foo: a", request="Foo: A"),
    may("9111 4.1", "other fields do not matter", "Cache-Control: max-age=60 | Vary: Foo", 1, "hit",
        first="Foo: 1 | Bar: 1", request="Foo: 1 | Bar: 2"),
    may("9111 4.1", "two fields that are the same", "Cache-Control: max-age=60 | Vary: Foo, Bar", 1, "hit",
        first="Foo: 1 | Bar: a", request="Bar: a | Foo: 1"),
    must("9111 4.1", "two fields, the second differs", "Cache-Control: max-age=60 | Vary: Foo, Bar", 1,
         "fetch vary-miss",
         first="Foo: 1 | Bar: a", request="Foo: 1 | Bar: b"),
    must("9111 4.1", "two lines of Vary", "Cache-Control: max-age=60 | Vary: Foo | Vary: Bar", 1, "fetch vary-miss",
         first="Foo: 1 | Bar: a", request="Foo: 1 | Bar: b"),
    may("9111 4.1", "three fields, one missing both times", "Cache-Control: max-age=60 | Vary: Foo, Bar, Baz", 1, "hit",
        first="Foo: 1 | Baz: 7", request="Foo: 1 | Baz: 7"),
    *[
        must("9111 4.1", f"Vary: {text} fits nothing", f"Cache-Control: max-age=60 | {written}", 1, "not stored",
             first="Foo: 1", request="Foo: 1")
        for text, written in [
            ("*", "Vary: *"), ("*, *", "Vary: *, *"), ("* | *", "Vary: * | Vary: *"), (", *", "Vary: , *"),
            ("(empty) | *", "Vary: | Vary: *"), ("*, Foo", "Vary: *, Foo"), ("Foo, *", "Vary: Foo, *"),
        ]
    ],
    may("9111 4.1", "lines are combined", "Cache-Control: max-age=60 | Vary: Foo", 1, "hit", first="Foo: 1, 2",
        request="Foo: 1 | Foo: 2"),
    may("9111 4.1", "white space around commas goes", "Cache-Control: max-age=60 | Vary: Foo", 1, "hit",
        first="Foo: 1,2",
        request="Foo: 1,  2"),
    must("9111 4.1", "not in quotes", "Cache-Control: max-age=60 | Vary: Foo", 1, "fetch vary-miss", first='Foo: "1,2"',
         request='Foo: "1, 2"'),
    must("9111 4.1", "cookies are compared as they are", "Cache-Control: max-age=60 | Vary: Cookie", 1,
         "fetch vary-miss",
         first="Cookie: a=1,2", request="Cookie: a=1, 2"),
    must("9111 4.1", "the order of an unknown list may matter", "Cache-Control: max-age=60 | Vary: Foo", 1,
         "fetch vary-miss",
         first="Foo: 1, 2", request="Foo: 2, 1"),
    may("9111 4.1", "Accept-Language: order", "Cache-Control: max-age=60 | Vary: Accept-Language", 1, "hit",
        first="Accept-Language: en, de", request="Accept-Language: de, en"),
    may("9111 4.1", "Accept-Language: case", "Cache-Control: max-age=60 | Vary: Accept-Language", 1, "hit",
        first="Accept-Language: en, de", request="Accept-Language: eN, De"),
    may("9111 4.1", "Accept-Language: space", "Cache-Control: max-age=60 | Vary: Accept-Language", 1, "hit",
        first="Accept-Language: en, de", request="Accept-Language: en ,   de"),
    must("9111 4.1", "Accept-Language: weights matter", "Cache-Control: max-age=60 | Vary: Accept-Language", 1,
         "fetch vary-miss", first="Accept-Language: en, de;q=0.5", request="Accept-Language: en, de;q=0.6"),
    may("9111 4.1", "Accept-Encoding: spelling of weights", "Cache-Control: max-age=60 | Vary: Accept-Encoding", 1,
        "hit",
        first="Accept-Encoding: gzip;q=1.0, br;q=0.50", request="Accept-Encoding: br; q=0.5, GZIP"),
    may("9111 4.1", "Accept-Encoding: x-gzip is gzip", "Cache-Control: max-age=60 | Vary: Accept-Encoding", 1, "hit",
        first="Accept-Encoding: x-gzip", request="Accept-Encoding: gzip"),
    must("9111 4.1", "Accept-Encoding: refused is not missing", "Cache-Control: max-age=60 | Vary: Accept-Encoding", 1,
         "fetch vary-miss", first="Accept-Encoding: gzip, br;q=0", request="Accept-Encoding: gzip"),
    may("9111 4.1", "what is no weight is compared as it is", "Cache-Control: max-age=60 | Vary: Accept-Encoding", 1,
        "fetch vary-miss", first="Accept-Encoding: gzip;q=2, br", request="Accept-Encoding: br, gzip;q=2"),
    # ------ RFC 5861, RFC 8246
    may("5861 3", "stale-while-revalidate: served, validated beside",
        'Cache-Control: max-age=10, stale-while-revalidate=60',
        70, "serve_and_validate stale"),
    must("5861 3", "not longer", "Cache-Control: max-age=10, stale-while-revalidate=60", 71, "fetch stale"),
    may("5861 3", "also from the first moment", 'Cache-Control: max-age=0, stale-while-revalidate=60 | ETag: "a"', 0,
        "serve_and_validate stale"),
    may("5861 3", "an invalid one allows nothing", "Cache-Control: max-age=10, stale-while-revalidate=x", 11,
        "fetch stale"),
    must("9111 5.2.2.2", "must-revalidate forbids it",
         'Cache-Control: max-age=10, stale-while-revalidate=60, must-revalidate | ETag: "a"', 11, "validate stale"),
    must("9111 5.2.2.10", "so does s-maxage", 'Cache-Control: s-maxage=10, stale-while-revalidate=60 | ETag: "a"', 11,
         "validate stale"),
    must("5861 3", "the client may insist", "Cache-Control: max-age=10, stale-while-revalidate=60", 11, "fetch request",
         request="Cache-Control: no-cache"),
    may("5861 3", "only-if-cached is served, and nothing asked",
        "Cache-Control: max-age=10, stale-while-revalidate=60", 11,
        "serve stale", request="Cache-Control: only-if-cached"),
    may("8246 2", "immutable: a reload does not ask again", 'Cache-Control: max-age=60, immutable | ETag: "a"', 1,
        "hit",
        request="Cache-Control: max-age=0"),
    may("8246 2", "immutable: a forced one does", 'Cache-Control: max-age=60, immutable | ETag: "a"', 1,
        "validate request",
        request="Cache-Control: no-cache"),
    may("8246 2", "stale it is like any other", 'Cache-Control: max-age=60, immutable | ETag: "a"', 61,
        "validate request", request="Cache-Control: max-age=0, max-stale"),
    must("8246 2", "immutable is not longer fresh", 'Cache-Control: max-age=60, immutable | ETag: "a"', 61,
         "validate stale"),
    must("8246 2", "immutable alone is no lifetime", 'Cache-Control: immutable | ETag: "a"', 1, "validate stale"),
    must("8246 2", "with an argument it is not immutable", 'Cache-Control: max-age=60, immutable=1 | ETag: "a"', 1,
         "validate request", request="Cache-Control: max-age=0"),
    # ------ RFC 9213
    may("9213 2.2", "a targeted lifetime", "CDN-Cache-Control: max-age=60", 59, "hit", policy=GATEWAY),
    must("9213 2.2", "who is not meant does not listen", "CDN-Cache-Control: max-age=60", 1, "not stored"),
    may("9213 2.2", "long where Cache-Control is short", "Cache-Control: max-age=1 | CDN-Cache-Control: max-age=60",
        59, "hit",
        policy=GATEWAY),
    must("9213 2.2", "short where Cache-Control is long",
         'Cache-Control: max-age=60 | CDN-Cache-Control: max-age=1 | ETag: "a"', 30, "validate stale", policy=GATEWAY),
    must("9213 2.2", "Cache-Control's no-store is for others",
         "Cache-Control: no-store | CDN-Cache-Control: max-age=60", 59,
         "hit", policy=GATEWAY),
    must("9213 2.2", "its own no-store is for us",
         f"Cache-Control: max-age=60 | CDN-Cache-Control: no-store | Expires: {HOUR_LATER}",
         1, "not stored", policy=GATEWAY),
    must("9213 2.2", "private", f"Cache-Control: max-age=60 | CDN-Cache-Control: private | Expires: {HOUR_LATER}", 1,
         "not stored", policy=GATEWAY),
    must("9213 2.2", "no-cache",
         f'Cache-Control: max-age=60 | CDN-Cache-Control: no-cache | Expires: {HOUR_LATER} | ETag: "a"', 1,
         "validate stale",
         policy=GATEWAY),
    must("9213 2.2", "must-revalidate", 'CDN-Cache-Control: max-age=10, must-revalidate | ETag: "a"', 11,
         "validate stale",
         request="Cache-Control: max-stale", policy=GATEWAY),
    must("9213 2.2", "Expires does not count beside it", f'CDN-Cache-Control: foo | Expires: {HOUR_LATER} | ETag: "a"',
         1,
         "validate stale", policy=GATEWAY),
    must("9213 2.2", "a past Expires neither", f"CDN-Cache-Control: max-age=60 | Expires: {HOUR_AGO}", 59, "hit",
         policy=GATEWAY),
    must("9213 2.2", "max-age=0 with a future Expires",
         f'CDN-Cache-Control: max-age=0 | Expires: {HOUR_LATER} | ETag: "a"', 1,
         "validate stale", policy=GATEWAY),
    must("9213 2.2", "Age counts", 'CDN-Cache-Control: max-age=3600 | Age: 7200 | ETag: "a"', 1, "validate stale",
         policy=GATEWAY),
    may("9213 2.1", "unknown directives are ignored", "CDN-Cache-Control: foobar, max-age=60", 59, "hit",
        policy=GATEWAY),
    may("9213 2.1", "parameters are ignored", "CDN-Cache-Control: max-age=60;a=b", 59, "hit", policy=GATEWAY),
    may("9213 2.1", "2147483648 seconds", "CDN-Cache-Control: max-age=2147483648", 9e8, "hit", policy=GATEWAY),
    may("9213 2.1", "99999999999 seconds", "CDN-Cache-Control: max-age=99999999999", 9e8, "hit", policy=GATEWAY),
    must("9213 2.1", "empty: as if it was not there", "CDN-Cache-Control: | Cache-Control: max-age=60", 59, "hit",
         policy=GATEWAY),
    must("9213 2.1", "not a structured field: as if it was not there",
         "CDN-Cache-Control: max-age=60, &&&&& | Cache-Control: no-store", 1, "not stored", policy=GATEWAY),
    must("9213 2.1", "upper case is not a structured field's",
         "CDN-Cache-Control: MaX-aGe=60 | Cache-Control: no-store", 1,
         "not stored", policy=GATEWAY),
    must("9213 2.1", "nor is space before the equals sign",
         "CDN-Cache-Control: max-age =60 | Cache-Control: max-age=10", 11,
         "fetch stale", policy=GATEWAY),
    must("9213 2.1", "nor after it", "CDN-Cache-Control: max-age= 60 | Cache-Control: max-age=10", 11, "fetch stale",
         policy=GATEWAY),
    must("9213 2.1", "a comma at the end is an error", "CDN-Cache-Control: max-age=60, | Cache-Control: no-store", 1,
         "not stored",
         policy=GATEWAY),
    may("9213 2.1", "a string is no number", 'CDN-Cache-Control: max-age="60" | Cache-Control: no-store | ETag: "a"', 1,
        "validate stale", policy=GATEWAY),
    may("9213 2.1", "nor is a decimal", 'CDN-Cache-Control: max-age=60.0 | ETag: "a"', 1, "validate stale",
        policy=GATEWAY),
    may("9213 2.1", "nor a negative one", 'CDN-Cache-Control: max-age=-60 | ETag: "a"', 1, "validate stale",
        policy=GATEWAY),
    may("9213 2.1", "of two members the last counts", "CDN-Cache-Control: max-age=1, max-age=60", 59, "hit",
        policy=GATEWAY),
    may("edge 2.2", "Surrogate-Control speaks to a gateway",
        "Cache-Control: max-age=1 | Surrogate-Control: max-age=60", 59, "hit",
        policy=GATEWAY),
    may("edge 2.2", "whatever its case", "Surrogate-Control: MaX-aGe=60", 59, "hit", policy=GATEWAY),
    may("edge 2.2", "with something unknown before it", "Surrogate-Control: foobar, max-age=60", 59, "hit",
        policy=GATEWAY),
    may("edge 2.2", "its no-store", "Cache-Control: max-age=60 | Surrogate-Control: no-store", 1, "not stored",
        policy=GATEWAY),
    may("edge 2.2", "not when it is for another",
        'Cache-Control: max-age=10 | Surrogate-Control: max-age=60;other | ETag: "a"', 11,
        "validate stale", policy=GATEWAY),
    may("edge 2.2", "nor when it is about content only",
        'Cache-Control: max-age=60 | Surrogate-Control: content="ESI/1.0"', 59, "hit", policy=GATEWAY),
    may("edge 2.2", "with time to validate in", "Surrogate-Control: max-age=10+60", 69, "serve_and_validate stale",
        policy=GATEWAY),
    may("edge 2.2", "with space it is none", 'Cache-Control: max-age=1 | Surrogate-Control: max-age =60 | ETag: "a"',
        30,
        "validate stale", policy=GATEWAY),
    may("9213 2.2", "CDN-Cache-Control is nearer than Surrogate-Control",
        "Surrogate-Control: max-age=1 | CDN-Cache-Control: max-age=60", 59, "hit", policy=GATEWAY),
    # ------ conditions and ranges in requests, purges
    may("9111 4.3.2", "If-Match is for the origin", 'Cache-Control: max-age=60 | ETag: "a"', 1, "fetch request",
        request='If-Match: "a"'),
    may("9111 4.3.2", "so is If-Unmodified-Since", f"Cache-Control: max-age=60 | Last-Modified: {DAY_AGO}", 1,
        "fetch request",
        request=f"If-Unmodified-Since: {NOW}"),
    must("9111 4.3.2", "If-None-Match is answered from the store", 'Cache-Control: max-age=60 | ETag: "a"', 1, "hit",
         request='If-None-Match: "a"'),
    must("9111 4.3.2", "but not from what is stale", 'Cache-Control: max-age=60 | ETag: "a"', 61, "validate stale",
         request='If-None-Match: "a"'),
    may("9110 14.2", "a part of what is stored", "Cache-Control: max-age=60", 1, "hit", request="Range: bytes=0-1"),
    may("9111 3.3", "a part is kept where that is wanted", "Cache-Control: max-age=60 | Content-Range: bytes 4-8/10",
        1, "hit",
        status=206, first="Range: bytes=4-8", request="Range: bytes=5-8", policy=PARTS),
    must("9111 3.3", "and does not answer for the whole", "Cache-Control: max-age=60 | Content-Range: bytes 4-8/10", 1,
         "fetch partial", status=206, first="Range: bytes=4-8", policy=PARTS),
    must("9111 3.3", "nor for another part", "Cache-Control: max-age=60 | Content-Range: bytes 4-8/10", 1,
         "fetch partial",
         status=206, first="Range: bytes=4-8", request="Range: bytes=5-9", policy=PARTS),
    may("9111 3.3", "a suffix is found in it", "Cache-Control: max-age=60 | Content-Range: bytes 5-9/10", 1, "hit",
        status=206, first="Range: bytes=-5", request="Range: bytes=-1", policy=PARTS),
    must("9111 3.3", "a part that does not say which is none", "Cache-Control: max-age=60", 1, "not stored", status=206,
         policy=PARTS),
    may("9111 4.4", "purged softly: validated before use", 'Cache-Control: max-age=60 | ETag: "a"', 1, "validate stale",
        expired=True),
    may("9111 4.4", "or served meanwhile, when that is allowed",
        "Cache-Control: max-age=60, stale-while-revalidate=60", 1,
        "serve_and_validate stale", expired=True),
]  # fmt: skip


def title(told: Story) -> str:
    return f"{told.clause} {told.words}"


@pytest.mark.parametrize("told", STORIES, ids=title)
def test_a_stored_answer_is_reused_as_the_clause_demands(told: Story) -> None:
    assert outcome(told) == told.expected


def head_of(text: str, **more: Any) -> StoredHead:
    head = stored(text, **more)
    assert isinstance(head, StoredHead), head
    return head


def shown(found: Any) -> str:
    return " | ".join(f"{line.name.decode()}: {line.value.decode()}" for line in found)


# Serving stale where the origin failed: 9111, 4.2.4; 5861, 4. Answer, seconds later, request, policy, may it.
STAND_IN = [
    ("5861 4", "stale-if-error", "Cache-Control: max-age=10, stale-if-error=60", 70, "", SHARED, True),
    ("5861 4", "not longer", "Cache-Control: max-age=10, stale-if-error=60", 71, "", SHARED, False),
    ("5861 4", "without it, at the last moment", 'Cache-Control: max-age=10 | ETag: "a"', 10, "", SHARED, False),
    ("5861 4", "without it", 'Cache-Control: max-age=10 | ETag: "a"', 11, "", SHARED, False),
    ("5861 4", "an invalid one", 'Cache-Control: max-age=10, stale-if-error=x | ETag: "a"', 11, "", SHARED, False),
    ("5861 4", "the client allows it", "Cache-Control: max-age=10", 60, "Cache-Control: stale-if-error=60", SHARED,
    True),
    ("5861 4", "not longer", "Cache-Control: max-age=10", 71, "Cache-Control: stale-if-error=60", SHARED, False),
    ("5861 4", "nobody listens to it", "Cache-Control: max-age=10", 60, "Cache-Control: stale-if-error=60", DEAF,
    False),
    ("9111 4.2.4", "the operator allows it", "Cache-Control: max-age=10", 310, "", GRACE, True),
    ("9111 4.2.4", "not longer", "Cache-Control: max-age=10", 311, "", GRACE, False),
    ("9111 5.2.2.2", "must-revalidate", "Cache-Control: max-age=10, stale-if-error=60, must-revalidate", 11, "", GRACE,
    False),
    ("9111 5.2.2.8", "proxy-revalidate", "Cache-Control: max-age=10, stale-if-error=60, proxy-revalidate", 11, "",
    GRACE, False),
    ("9111 5.2.2.10", "s-maxage", "Cache-Control: s-maxage=10, stale-if-error=60", 11, "", GRACE, False),
    ("9111 5.2.2.4", "no-cache", 'Cache-Control: max-age=10, no-cache | ETag: "a"', 1, "", GRACE, False),
    ("9111 5.2.1.4", "the client insists", "Cache-Control: max-age=60", 1, "Cache-Control: no-cache", GRACE, False),
    ("9111 5.2.1.1", "the client wanted a younger one", "Cache-Control: max-age=60", 5, "Cache-Control: max-age=1",
    GRACE, False),
    ("5861 4", "but would take it", "Cache-Control: max-age=60", 5, "Cache-Control: max-age=1, stale-if-error=9",
    SHARED, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("clause", "words", "answer", "after", "request_fields", "policy", "expected"),
    STAND_IN,
    ids=lambda value: str(value)[:40],
)
def test_a_stale_answer_stands_in_for_an_error_where_it_may(
    clause: str, words: str, answer: str, after: float, request_fields: str, policy: Policy, expected: bool
) -> None:
    asked = read("GET", lines(request_fields), has_content=False)
    assert may_stand_in(asked, head_of(answer, policy=policy), T + after, policy) is expected, (clause, words)


# The same where the origin gave no answer at all, and where it answered with an error. Answer, seconds later, request,
# no answer, error.
DISCONNECTED = [
    ("a minute after it was fresh", "Cache-Control: max-age=10", 70, "", True, False),
    ("not longer", "Cache-Control: max-age=10", 71, "", False, False),
    ("as long as the origin allows", "Cache-Control: max-age=10, stale-if-error=90", 100, "", True, True),
    ("not with must-revalidate", "Cache-Control: max-age=10, must-revalidate", 11, "", False, False),
    ("not with proxy-revalidate", "Cache-Control: max-age=10, proxy-revalidate", 11, "", False, False),
    ("not with s-maxage", "Cache-Control: s-maxage=10", 11, "", False, False),
    ("not with no-cache", 'Cache-Control: max-age=10, no-cache | ETag: "a"', 11, "", False, False),
    ("a guess may stand in, too", f"Last-Modified: {DAY_AGO}", 1, "", True, False),
    ("the client reloads", "Cache-Control: max-age=10", 11, "Cache-Control: max-age=0", True, False),
    ("the client insists", "Cache-Control: max-age=10", 11, "Cache-Control: no-cache", False, False),
]


@pytest.mark.parametrize(("words", "answer", "after", "request_fields", "no_answer", "error"), DISCONNECTED)
def test_9111_4_2_4_a_cache_that_is_disconnected_may_serve_what_is_stale(
    words: str, answer: str, after: float, request_fields: str, no_answer: bool, error: bool
) -> None:
    asked, head = read("GET", lines(request_fields), has_content=False), head_of(answer, policy=LONELY)
    assert may_stand_in(asked, head, T + after, LONELY, is_unreachable=True) is no_answer, words
    assert may_stand_in(asked, head, T + after, LONELY) is error, words


def test_5861_4_the_errors_that_count() -> None:
    assert sorted(caching.FAILURES) == [500, 502, 503, 504]


# Which fields are stored: 9111, 3.1. Answer, what of it is stored.
STORED_FIELDS = [
    ("9111 3.1", "unknown fields as well", "Cache-Control: max-age=9 | Test: 1",
    f"Cache-Control: max-age=9 | Test: 1 | Date: {NOW}"),
    ("9111 3.1", "not Proxy-Authenticate", "Cache-Control: max-age=9 | Proxy-Authenticate: Basic",
    f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9111 3.1", "not Proxy-Authentication-Info", "Cache-Control: max-age=9 | Proxy-Authentication-Info: a",
    f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9111 3.1", "not Proxy-Authorization", "Cache-Control: max-age=9 | Proxy-Authorization: a",
    f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9111 3.1", "not Connection and the like",
    "Cache-Control: max-age=9 | Connection: a | Keep-Alive: b | TE: c | Upgrade: d | Transfer-Encoding: e"
     " | Proxy-Connection: f", f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9111 3.1", "WWW-Authenticate", "Cache-Control: max-age=9 | WWW-Authenticate: Basic",
    f"Cache-Control: max-age=9 | WWW-Authenticate: Basic | Date: {NOW}"),
    ("9111 5.2.2.4", "not what no-cache names", 'Cache-Control: no-cache="A, b", max-age=9 | a: 1 | B: 2 | c: 3',
    f'Cache-Control: no-cache="A, b", max-age=9 | c: 3 | Date: {NOW}'),
    ("9111 5.2.2.4", "lines of two names",
    'Cache-Control: no-cache="a" | Cache-Control: no-cache="b", max-age=9 | a: 1 | B: 2',
    f'Cache-Control: no-cache="a" | Cache-Control: no-cache="b", max-age=9 | Date: {NOW}'),
    ("9111 5.2.2.7", "not what private names", 'Cache-Control: private="x", max-age=9 | X: 1',
    f'Cache-Control: private="x", max-age=9 | Date: {NOW}'),
    ("9110 6.6.1", "a Date is added", "no-date | Cache-Control: max-age=9", f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9110 6.6.1", "a Date that is none is replaced", "Date: 0 | Cache-Control: max-age=9",
    f"Cache-Control: max-age=9 | Date: {NOW}"),
    ("9111 5.1", "Age is kept, to count from", "Cache-Control: max-age=9 | Age: 3",
    f"Cache-Control: max-age=9 | Age: 3 | Date: {NOW}"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "words", "answer", "expected"), STORED_FIELDS)
def test_fields_are_stored_as_the_clause_demands(clause: str, words: str, answer: str, expected: str) -> None:
    assert shown(head_of(answer).lines) == expected, (clause, words)


# A 304 updates: 9111, 3.2 and 4.3.4. Stored answer, fields of the 304 a minute later, what is stored then (None: it is
# about another representation).
LATER = "Fri, 20 Nov 2026 12:01:00 GMT"
UPDATES = [
    ("4.3.4", "what the 304 lacks stays", 'ETag: "a" | Test: 1', f'ETag: "a" | Date: {LATER}',
    f'Test: 1 | ETag: "a" | Date: {LATER}'),
    ("3.2", "what it has is replaced", 'ETag: "a" | Test: 1', f'ETag: "a" | Date: {LATER} | Test: 2',
    f'ETag: "a" | Date: {LATER} | Test: 2'),
    ("3.2", "all lines of a name", 'ETag: "a" | Test: 1 | Test: 2', f"Date: {LATER} | Test: 3",
    f'ETag: "a" | Date: {LATER} | Test: 3'),
    ("3.2", "Content-Type too", 'ETag: "a" | Content-Type: text/plain', f"Date: {LATER} | Content-Type: text/html",
    f'ETag: "a" | Date: {LATER} | Content-Type: text/html'),
    ("3.2", "Content-Location too", 'ETag: "a" | Content-Location: /a', f"Date: {LATER} | Content-Location: /b",
    f'ETag: "a" | Date: {LATER} | Content-Location: /b'),
    ("3.2", "Cache-Control too", 'ETag: "a" | Cache-Control: max-age=1', f"Date: {LATER} | Cache-Control: max-age=9",
    f'ETag: "a" | Date: {LATER} | Cache-Control: max-age=9'),
    ("3.2", "Expires too", f'ETag: "a" | Expires: {NOW}', f"Date: {LATER} | Expires: {HOUR_LATER}",
    f'ETag: "a" | Date: {LATER} | Expires: {HOUR_LATER}'),
    ("3.2", "fields with strange names too", 'ETag: "a" | Content-Foo: 1 | X-Content-Foo: 1',
    f"Date: {LATER} | Content-Foo: 2 | X-Content-Foo: 2",
    f'ETag: "a" | Date: {LATER} | Content-Foo: 2 | X-Content-Foo: 2'),
    ("3.2", "Content-Encoding describes the octets", 'ETag: "a" | Content-Encoding: gzip',
    f"Date: {LATER} | Content-Encoding: br", f'ETag: "a" | Content-Encoding: gzip | Date: {LATER}'),
    ("3.2", "so does Content-Range", 'ETag: "a" | Content-Range: x', f"Date: {LATER} | Content-Range: y",
    f'ETag: "a" | Content-Range: x | Date: {LATER}'),
    ("3.1", "not what belongs to one connection", 'ETag: "a"',
    f"Date: {LATER} | Connection: a | Proxy-Authenticate: b", f'ETag: "a" | Date: {LATER}'),
    ("5.1", "an old Age is gone", 'ETag: "a" | Age: 50', f"Date: {LATER}", f'ETag: "a" | Date: {LATER}'),
    ("5.1", "a new one counts", 'ETag: "a" | Age: 50', f"Date: {LATER} | Age: 3",
    f'ETag: "a" | Date: {LATER} | Age: 3'),
    ("6.6.1", "without a Date it is the time it came", 'ETag: "a"', "Test: 1", f'ETag: "a" | Test: 1 | Date: {LATER}'),
    ("7.3", "a cookie is for one client", 'ETag: "a"', f"Date: {LATER} | Set-Cookie: a=b",
    f'ETag: "a" | Date: {LATER}'),
    ("5.2.2.4", "what it says to withhold is withheld", 'ETag: "a" | Test: 1',
    f'Date: {LATER} | Cache-Control: no-cache="test"', f'ETag: "a" | Date: {LATER} | Cache-Control: no-cache="test"'),
    ("4.3.4", "the same strong validator", 'ETag: "a"', f'Date: {LATER} | ETag: "a"', f'Date: {LATER} | ETag: "a"'),
    ("4.3.4", "another strong validator", 'ETag: "a"', f'Date: {LATER} | ETag: "b"', None),
    ("4.3.4", "a strong one for a weak one", 'ETag: W/"a"', f'Date: {LATER} | ETag: "a"', None),
    ("4.3.4", "the same weak validator", 'ETag: W/"a"', f'Date: {LATER} | ETag: W/"a"', f'Date: {LATER} | ETag: W/"a"'),
    ("4.3.4", "another weak validator", 'ETag: W/"a"', f'Date: {LATER} | ETag: W/"b"', None),
    ("4.3.4", "a weak one for a strong one", 'ETag: "a"', f'Date: {LATER} | ETag: W/"a"',
    f'Date: {LATER} | ETag: W/"a"'),
    ("4.3.4", "the same Last-Modified", f"Last-Modified: {DAY_AGO}", f"Date: {LATER} | Last-Modified: {DAY_AGO}",
    f"Date: {LATER} | Last-Modified: {DAY_AGO}"),
    ("4.3.4", "another Last-Modified", f"Last-Modified: {DAY_AGO}", f"Date: {LATER} | Last-Modified: {HOUR_AGO}", None),
    ("4.3.4", "a tag where there was none", f"Last-Modified: {DAY_AGO}", f'Date: {LATER} | ETag: "a"', None),
    ("4.3.4", "Departs: no validator at all", f"Last-Modified: {DAY_AGO}", f"Date: {LATER}",
    f"Last-Modified: {DAY_AGO} | Date: {LATER}"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "words", "answer", "later", "expected"), UPDATES)
def test_a_304_updates_what_is_stored(clause: str, words: str, answer: str, later: str, expected: str | None) -> None:
    head = head_of(answer).replace(expired=True, length=5)
    updated = updating.freshened(head, lines(later), [], T + 60, T + 60, SHARED)
    assert (None if updated is None else shown(updated.lines)) == expected, (clause, words)
    if updated is not None:
        assert (updated.response_time, updated.expired, updated.length) == (T + 60, False, 5)


def test_4_3_4_a_304_makes_a_response_fresh_again() -> None:
    head = head_of('Cache-Control: max-age=10 | ETag: "a" | Age: 9')
    assert freshness_of(head, SHARED).left(T + 30) == -29
    updated = updating.freshened(head, lines(f"Date: {LATER}"), [], T + 59, T + 60, SHARED)
    assert updated is not None
    assert freshness_of(updated, SHARED).left(T + 65) == 4


def test_4_3_4_a_304_that_forbids_storing_takes_the_response_out() -> None:
    head = head_of('Cache-Control: max-age=10 | ETag: "a"')
    asked = read("GET", [], has_content=False)
    updated = updating.freshened(head, lines("Cache-Control: no-store"), [], T, T, SHARED)
    assert updated is not None
    assert storing.refusal(asked, head, SHARED) is None
    assert storing.refusal(asked, updated, SHARED) == "it says no-store"


# A 200 to HEAD: 9111, 4.3.5. Stored answer (5 octets), fields and length of the HEAD, what is stored then.
HEADS = [
    ("the same again", 'ETag: "a" | Test: 1', f'ETag: "a" | Date: {LATER} | Test: 2', 5,
    f'ETag: "a" | Date: {LATER} | Test: 2'),
    ("without a length", 'ETag: "a"', f'ETag: "a" | Date: {LATER}', None, f'ETag: "a" | Date: {LATER}'),
    ("without validators", "Cache-Control: max-age=9", f"Date: {LATER}", 5,
    f"Cache-Control: max-age=9 | Date: {LATER}"),
    ("another length", 'ETag: "a"', f'ETag: "a" | Date: {LATER}', 6, None),
    ("another tag", 'ETag: "a"', f'ETag: "b" | Date: {LATER}', 5, None),
    ("another weak tag", 'ETag: W/"a"', f'ETag: W/"b" | Date: {LATER}', 5, None),
    ("another Last-Modified", f"Last-Modified: {DAY_AGO}", f"Last-Modified: {HOUR_AGO}", 5, None),
]  # fmt: skip


@pytest.mark.parametrize(("words", "answer", "later", "length", "expected"), HEADS)
def test_4_3_5_head_updates_or_invalidates(
    words: str, answer: str, later: str, length: int | None, expected: str | None
) -> None:
    head = head_of(answer).replace(length=5)
    updated = updating.freshened_by_head(head, lines(later), length, [], T + 60, T + 60, SHARED)
    assert (None if updated is None else shown(updated.lines)) == expected, words


# What a cache answers to conditions: 9111, 4.3.2; 9110, 13. Validators, request, verdict of a cache, of an origin.
CONDITIONS = [
    ("13.1.2", "the same strong tag", 'ETag: "a"', 'If-None-Match: "a"', "not modified", "not modified"),
    ("13.1.2", "another tag", 'ETag: "a"', 'If-None-Match: "b"', "go on", "go on"),
    ("13.1.2", "tags have case", 'ETag: "a"', 'If-None-Match: "A"', "go on", "go on"),
    ("13.1.2", "the first of several", 'ETag: "a"', 'If-None-Match: "a", "b", "c"', "not modified", "not modified"),
    ("13.1.2", "the one between", 'ETag: "a"', 'If-None-Match: "b", "a", "c"', "not modified", "not modified"),
    ("13.1.2", "the last", 'ETag: "a"', 'If-None-Match: "b","c","a"', "not modified", "not modified"),
    ("13.1.2", "in another line", 'ETag: "a"', 'If-None-Match: "b" | If-None-Match: "a"', "not modified",
    "not modified"),
    ("8.8.3.2", "weak against weak", 'ETag: W/"a"', 'If-None-Match: W/"a"', "not modified", "not modified"),
    ("8.8.3.2", "weak against strong", 'ETag: W/"a"', 'If-None-Match: "a"', "not modified", "not modified"),
    ("8.8.3.2", "strong against weak", 'ETag: "a"', 'If-None-Match: W/"a"', "not modified", "not modified"),
    ("8.8.3", "the flag has case", 'ETag: "a"', 'If-None-Match: w/"a"', "go on", "go on"),
    ("8.8.3", "octets above ASCII", 'ETag: "\xfc"', 'If-None-Match: "\xfc"', "not modified", "not modified"),
    ("8.8.3", "a comma in a tag", 'ETag: "a,b"', 'If-None-Match: "a,b"', "not modified", "not modified"),
    ("8.8.3", "a space in quotes is no tag", 'ETag: "a b"', 'If-None-Match: "a b"', "go on", "go on"),
    ("8.8.3", "an empty tag is one", 'ETag: ""', 'If-None-Match: ""', "not modified", "not modified"),
    ("8.8.3", "without quotes: what was given", "ETag: abc", "If-None-Match: abc", "not modified", "not modified"),
    ("8.8.3", "without quotes is not with", 'ETag: "abc"', "If-None-Match: abc", "go on", "go on"),
    ("13.1.2", "*: there is one", "", "If-None-Match: *", "not modified", "not modified"),
    ("13.1.2", "there is no tag", "", 'If-None-Match: "a"', "go on", "go on"),
    ("13.1.2", "nothing in the list", 'ETag: "a"', "If-None-Match:", "go on", "go on"),
    ("13.2.2", "If-None-Match goes before If-Modified-Since", f'ETag: "a" | Last-Modified: {DAY_AGO}',
    f'If-None-Match: "b" | If-Modified-Since: {NOW}', "go on", "go on"),
    ("13.2.2", "also when it is true", f'ETag: "a" | Last-Modified: {NOW}',
    f'If-None-Match: "a" | If-Modified-Since: {DAY_AGO}', "not modified", "not modified"),
    ("13.1.3", "not changed since", f"Last-Modified: {DAY_AGO}", f"If-Modified-Since: {DAY_AGO}", "not modified",
    "not modified"),
    ("13.1.3", "changed before", f"Last-Modified: {DAY_AGO}", f"If-Modified-Since: {HOUR_AGO}", "not modified",
    "not modified"),
    ("13.1.3", "changed after", f"Last-Modified: {HOUR_AGO}", f"If-Modified-Since: {DAY_AGO}", "go on", "go on"),
    ("13.1.3", "the old spelling", f"Last-Modified: {DAY_AGO}", "If-Modified-Since: Thursday, 19-Nov-26 12:00:00 GMT",
    "not modified", "not modified"),
    ("13.1.3", "the older spelling", f"Last-Modified: {DAY_AGO}", "If-Modified-Since: Thu Nov 19 12:00:00 2026",
    "not modified", "not modified"),
    ("13.1.3", "no date", f"Last-Modified: {DAY_AGO}", "If-Modified-Since: yesterday", "go on", "go on"),
    ("4.3.2", "no Last-Modified: Date stands in, later", "", f"If-Modified-Since: {HOUR_AGO}", "go on", "go on"),
    ("4.3.2", "no Last-Modified: Date stands in, earlier", "", f"If-Modified-Since: {HOUR_LATER}", "not modified",
    "not modified"),
    ("13.1.1", "If-Match that holds", 'ETag: "a"', 'If-Match: "a"', "go on", "go on"),
    ("13.1.1", "If-Match that does not: the origin's to say", 'ETag: "a"', 'If-Match: "b"', "go on", "failed"),
    ("13.1.1", "If-Match compares strongly", 'ETag: W/"a"', 'If-Match: W/"a"', "go on", "failed"),
    ("13.1.1", "If-Match: *", "", "If-Match: *", "go on", "go on"),
    ("13.1.4", "If-Unmodified-Since that holds", f"Last-Modified: {DAY_AGO}", f"If-Unmodified-Since: {HOUR_AGO}",
    "go on", "go on"),
    ("13.1.4", "If-Unmodified-Since that does not", f"Last-Modified: {HOUR_AGO}", f"If-Unmodified-Since: {DAY_AGO}",
    "go on", "failed"),
    ("13.1.4", "If-Unmodified-Since that is no date", f"Last-Modified: {HOUR_AGO}", "If-Unmodified-Since: x", "go on",
    "go on"),
    ("13.2.2", "If-Match goes before If-Unmodified-Since", f'ETag: "a" | Last-Modified: {HOUR_AGO}',
    f'If-Match: "a" | If-Unmodified-Since: {DAY_AGO}', "go on", "go on"),
    ("13.2.2", "If-Match goes before If-None-Match", 'ETag: "a"', 'If-Match: "b" | If-None-Match: "a"', "not modified",
    "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "words", "has", "request_fields", "in_cache", "at_origin"), CONDITIONS)
def test_conditions_hold_as_the_clause_demands(
    clause: str, words: str, has: str, request_fields: str, in_cache: str, at_origin: str
) -> None:
    found = {line.key: line.value for line in lines(has)}
    validators = Validators(found.get(b"etag"), found.get(b"last-modified"), T)
    conditions = conditions_of(lines(request_fields))
    assert conditional.evaluate_in_cache("GET", conditions, validators, T).value == in_cache, (clause, words)
    assert conditional.evaluate("GET", conditions, validators, T).value == at_origin, (clause, words)


def test_13_1_2_if_none_match_of_an_unsafe_method_fails() -> None:
    conditions = conditions_of(lines('If-None-Match: "a"'))
    assert conditional.evaluate("PUT", conditions, Validators(b'"a"'), T) is conditional.Verdict.FAILED
    assert conditional.evaluate("PUT", conditions, Validators(b'"b"'), T) is conditional.Verdict.GO_ON
    assert conditional.evaluate_in_cache("PUT", conditions, Validators(b'"a"'), T) is conditional.Verdict.GO_ON


# If-Range: 9110, 13.1.5. Validators, field, whether Range counts.
IF_RANGES = [
    ("there is none", 'ETag: "a"', None, True),
    ("the same strong tag", 'ETag: "a"', b'"a"', True),
    ("another", 'ETag: "a"', b'"b"', False),
    ("a weak tag", 'ETag: W/"a"', b'W/"a"', False),
    ("a weak one for a strong one", 'ETag: "a"', b'W/"a"', False),
    ("no tag there", "", b'"a"', False),
    ("a list is no tag", 'ETag: "a"', b'"b", "a"', False),
    ("the same date", f"Last-Modified: {DAY_AGO}", DAY_AGO.encode(), True),
    ("a later date", f"Last-Modified: {DAY_AGO}", HOUR_AGO.encode(), False),
    ("a date that could have changed in its second", f"Last-Modified: {NOW}", NOW.encode(), False),
    ("no date there", "", DAY_AGO.encode(), False),
    ("neither", 'ETag: "a"', b"a", False),
]  # fmt: skip


@pytest.mark.parametrize(("words", "has", "if_range", "expected"), IF_RANGES)
def test_13_1_5_if_range_compares_strongly(words: str, has: str, if_range: bytes | None, expected: bool) -> None:
    found = {line.key: line.value for line in lines(has)}
    validators = Validators(found.get(b"etag"), found.get(b"last-modified"), T)
    assert conditional.range_applies(if_range, validators, T) is expected, words


# Ranges of ten octets: 9110, 14.1.1, 14.2; THREATS A31. None: the whole; []: 416.
RANGES: list[tuple[bytes, list[tuple[int, int]] | None]] = [
    (b"bytes=0-1", [(0, 1)]),
    (b"bytes=1-", [(1, 9)]),
    (b"bytes=-1", [(9, 9)]),
    (b"bytes=-5", [(5, 9)]),
    (b"bytes=0-9", [(0, 9)]),
    (b"bytes=0-99", [(0, 9)]),
    (b"bytes=-99", [(0, 9)]),
    (b"bytes=9-9", [(9, 9)]),
    (b"bytes=10-", []),
    (b"bytes=10-20", []),
    (b"bytes=-0", []),
    (b"bytes=5-4", None),
    (b"bytes=", None),
    (b"bytes=,", None),
    (b"bytes=-", None),
    (b"bytes=a-b", None),
    (b"bytes=1", None),
    (b"bytes=1-2-3", None),
    (b"bytes=+1-2", None),
    (b"bytes=1-2;x", None),
    (b"bytes 1-2", None),
    (b"octets=1-2", None),
    (b"BYTES=1-2", [(1, 2)]),
    (b"bytes = 1-2", [(1, 2)]),
    (b"bytes=0-0,-1", [(0, 0), (9, 9)]),
    (b"bytes=0-0, 4-5 ,-1", [(0, 0), (4, 5), (9, 9)]),
    (b"bytes=8-9,0-1", [(8, 9), (0, 1)]),
    (b"bytes=,0-1,,3-4,", [(0, 1), (3, 4)]),
    (b"bytes=0-1,20-30", [(0, 1)]),
    (b"bytes=20-30,-0", []),
    (b"bytes=0-5,3-8", [(0, 8)]),
    (b"bytes=0-3,4-5", [(0, 5)]),
    (b"bytes=6-7,0-1,1-2", [(6, 7), (0, 2)]),
    (b"bytes=0-,0-,0-,0-", [(0, 9)]),
    (b"bytes=0-0,2-2,4-4,6-6,8-8", [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8)]),
    (b"bytes=" + b",".join([b"0-0"] * 8), [(0, 0)]),
    (b"bytes=" + b",".join([b"0-0"] * 9), None),
    (b"bytes=" + b",".join([b"0-0"] * 1000), None),
    (b"bytes=0-" + b"9" * 40, [(0, 9)]),
    (b"bytes=" + b"9" * 40 + b"-", []),
    (b"bytes=-" + b"9" * 40, [(0, 9)]),
    (b"bytes=18446744073709551615-18446744073709551616", []),
    (b"bytes=00000000000000000000000001-2", [(1, 2)]),
    (b"bytes=0-1" + b" " * 600, None),
    ("bytes=\u0661-2".encode(), None),
    (b"bytes=1_0-2", None),
    (b"bytes=0x1-2", None),
    (b"", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), RANGES)
def test_a31_ranges_are_few_and_of_what_is_there(value: bytes, expected: list[tuple[int, int]] | None) -> None:
    assert ranges.wanted(value, 10) == expected
    assert ranges.wanted(value, 0) is None


def test_14_6_several_parts_are_framed() -> None:
    framed = ranges.multipart([(0, 1), (8, 9)], 10, b"text/plain", b"XX")
    content = b"0123456789"
    whole = framed.heads[0] + content[0:2] + framed.heads[1] + content[8:10] + framed.end
    assert framed.content_type == b"multipart/byteranges; boundary=XX"
    assert framed.length == len(whole)
    assert whole == (
        b"--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--XX--\r\n"
    )
    assert ranges.multipart([(0, 0)], 1, None, b"X").heads == (b"--X\r\nContent-Range: bytes 0-0/1\r\n\r\n",)
    assert ranges.unsatisfied_range(10) == b"bytes */10"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes 4-8/10", (4, 8, 10)),
        (b"BYTES 0-0/1", (0, 0, 1)),
        (b"bytes 4-8/*", (4, 8, None)),
        (b"bytes 8-4/10", None),
        (b"bytes 4-10/10", None),
        (b"bytes */10", None),
        (b"bytes=4-8/10", None),
        (b"bytes 4-8", None),
        (b"octets 4-8/10", None),
        (b"bytes 4-8/1" + b"0" * 30, None),
        (b"", None),
    ],
)
def test_14_4_a_content_range_says_which_part(value: bytes, expected: tuple[int, int, int | None] | None) -> None:
    assert ranges.part_of(value) == expected


# What an answer to an unsafe method makes wrong: 9111, 4.4.
INVALIDATIONS = [
    ("POST", 200, "", ["http://a/dir/x"]),
    ("PUT", 201, "", ["http://a/dir/x"]),
    ("DELETE", 204, "", ["http://a/dir/x"]),
    ("PATCH", 200, "", ["http://a/dir/x"]),
    ("M-SEARCH", 200, "", ["http://a/dir/x"]),
    ("POST", 303, "", ["http://a/dir/x"]),
    ("POST", 400, "", []),
    ("POST", 500, "", []),
    ("PUT", 404, "", []),
    ("GET", 200, "", []),
    ("HEAD", 200, "", []),
    ("OPTIONS", 200, "", []),
    ("TRACE", 200, "", []),
    ("PROPFIND", 207, "", []),
    ("POST", 201, "Location: /new", ["http://a/dir/x", "http://a/new"]),
    ("POST", 201, "Location: new?q=1", ["http://a/dir/x", "http://a/dir/new?q=1"]),
    ("POST", 201, "Location: http://a:80/new#f", ["http://a/dir/x", "http://a:80/new"]),
    ("POST", 200, "Content-Location: y", ["http://a/dir/x", "http://a/dir/y"]),
    ("POST", 201, "Location: y | Content-Location: z", ["http://a/dir/x", "http://a/dir/y", "http://a/dir/z"]),
    ("POST", 201, "Location: x", ["http://a/dir/x"]),
    ("POST", 201, "Location: http://b/new", ["http://a/dir/x"]),
    ("POST", 201, "Location: https://a/new", ["http://a/dir/x"]),
    ("POST", 201, "Location: //b/new", ["http://a/dir/x"]),
    ("POST", 201, "Location: mailto:a", ["http://a/dir/x"]),
    ("POST", 201, "Location: http://[", ["http://a/dir/x"]),
    ("POST", 201, "Location: /%zz", ["http://a/dir/x"]),
]  # fmt: skip


@pytest.mark.parametrize(("method", "status", "answer", "expected"), INVALIDATIONS)
def test_4_4_unsafe_methods_make_stored_answers_wrong(
    method: str, status: int, answer: str, expected: list[str]
) -> None:
    target = Target(Form.ORIGIN, "http", Authority("a"), "/dir/x")
    assert [str(found) for found in updating.invalidated(method, status, target, lines(answer))] == expected


# The primary key: 9111, 2; THREATS A14.
KEYS = [
    (("http", Authority("a"), "/", None), (), frozenset(), b"GET http://a/"),
    (("http", Authority("a", 80), "/", None), (), frozenset(), b"GET http://a/"),
    (("https", Authority("a", 80), "/", None), (), frozenset(), b"GET https://a:80/"),
    (("https", Authority("::1", 443), "/", None), (), frozenset(), b"GET https://[::1]/"),
    (("http", Authority("a"), "/p", ""), (), frozenset(), b"GET http://a/p?"),
    (("http", Authority("a"), "/p", "b=1&a=2"), (), frozenset(), b"GET http://a/p?b=1&a=2"),
    (("http", Authority("a"), "/p", "x=1&utm_a=2&y"), (), frozenset(("utm_*", "x")), b"GET http://a/p?y"),
    (("http", Authority("a"), "/p", "x=1"), (), frozenset(("x",)), b"GET http://a/p"),
    (("http", Authority("a"), "/p", "xx=1"), (), frozenset(("x",)), b"GET http://a/p?xx=1"),
    (("http", Authority("a"), "/", None), (("variant", "b"),), frozenset(), b"GET http://a/ variant=b"),
    (("http", Authority("a"), "/", None), (("c", 'a b%"\u00e9'),), frozenset(), b"GET http://a/ c=a%20b%25%22%C3%A9"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "additions", "ignored", "expected"), KEYS)
def test_a14_a_key_has_all_that_chooses_a_response(
    where: tuple[str, Authority, str, str | None],
    additions: tuple[tuple[str, str], ...],
    ignored: frozenset[str],
    expected: bytes,
) -> None:
    assert cache_key.key_of(Target(Form.ORIGIN, *where), additions, ignored) == expected


def test_one_cookie_of_several_can_be_in_the_key() -> None:
    request = lines("Cookie: a=1; b=2 | Cookie: c=3=4")
    assert [cache_key.cookie(request, name) for name in (b"a", b"b", b"c", b"d")] == [b"1", b"2", b"3=4", None]


# Cache-Status: 9211, 2.
STATUSES = [
    (cache_status.hit(b"interpose", 376), "interpose; hit; ttl=376"),
    (cache_status.hit(b"interpose", -5, b"GRACE"), "interpose; hit; ttl=-5; detail=GRACE"),
    (cache_status.forwarded(b"interpose", cache_status.URI_MISS), "interpose; fwd=uri-miss"),
    (cache_status.forwarded(b"interpose", cache_status.URI_MISS, collapsed=True), "interpose; fwd=uri-miss; collapsed"),
    (cache_status.forwarded(b"a", cache_status.STALE, status=304, stored=True, ttl=60),
    "a; fwd=stale; fwd-status=304; stored; ttl=60"),
    (cache_status.forwarded(b"a", cache_status.MISS, key=b'GET http://a/"\\'),
    'a; fwd=miss; key="GET http://a/\\"\\\\"'),
    (cache_status.forwarded(b"a", cache_status.MISS, key=b"\xc3"), "a; fwd=miss"),
    (cache_status.forwarded(b"a", cache_status.BYPASS, detail=b"rule"), "a; fwd=bypass; detail=rule"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), STATUSES)
def test_9211_2_cache_status_says_what_happened(line: FieldLine, expected: str) -> None:
    assert line == field_line("Cache-Status", expected)


def test_9111_4_a_hit_has_a_new_age_and_says_what_it_is() -> None:
    head = head_of("Cache-Control: max-age=60 | Age: 5 | Test: 1")
    known = freshness_of(head, SHARED)
    assert shown(cache_status.hit_lines(head, known, T + 10.7)) == (
        f"Cache-Control: max-age=60 | Test: 1 | Date: {NOW} | Age: 15 | Cache-Status: interpose; hit; ttl=44"
    )
    assert cache_status.hit_lines(head, known, T + 10.9) is cache_status.hit_lines(head, known, T + 10.1)
    assert shown(cache_status.hit_lines(head, known, T + 70)).endswith(
        "Age: 75 | Cache-Status: interpose; hit; ttl=-15"
    )


def test_4_3_1_both_validators_are_sent() -> None:
    head = head_of(f'ETag: W/"a" | Last-Modified: {DAY_AGO}')
    assert shown(caching.validation_lines(head)) == f'If-None-Match: W/"a" | If-Modified-Since: {DAY_AGO}'
    assert shown(caching.validation_lines(head_of('ETag: "a" | Last-Modified: x'))) == 'If-None-Match: "a"'


def test_4_the_most_recent_of_several_that_fit_is_used() -> None:
    older = Entry(head_of("Cache-Control: max-age=60 | A: 1").replace(response_time=T - 5))
    newer = Entry(head_of("Cache-Control: max-age=60 | A: 2"))
    other = Entry(head_of("Cache-Control: max-age=60 | Vary: Foo", first="Foo: 1").replace(response_time=T + 5))
    assert select([older, newer, other], []) is newer
    assert select([newer, older, other], []) is newer
    assert select([newer, older, other], lines("Foo: 1")) is other
    assert select([other], lines("Foo: 2")) is None


@pytest.mark.parametrize(
    ("answer", "after", "expected"),
    [
        ("Cache-Control: s-maxage=300", 40, "stored 40 s ago, fresh for 300 s because of s-maxage, 260 s left"),
        ("Cache-Control: max-age=300 | Age: 20", 40,
        "stored 40 s ago at the age of 20 s, fresh for 300 s because of max-age, 240 s left"),
        ('Cache-Control: max-age=30 | ETag: "a"', 40,
        "stored 40 s ago, was fresh for 30 s because of max-age, stale for 10 s"),
        ('Cache-Control: no-cache | ETag: "a"', 40, "stored 40 s ago, validated before each use because of no-cache"),
        ('Expires: 0 | ETag: "a"', 40, "stored 40 s ago, stale: an Expires that is no date"),
        ('ETag: "a"', 40, "stored 40 s ago, stale: it says nothing"),
    ],
)  # fmt: skip
def test_the_sum_in_words(answer: str, after: float, expected: str) -> None:
    assert freshness_of(head_of(answer), SHARED).in_words(T + after) == expected


def test_the_sum_in_words_after_a_soft_purge_and_by_other_reasons() -> None:
    head = head_of('Cache-Control: max-age=30 | ETag: "a"')
    assert (
        freshness_of(head.replace(expired=True), SHARED).in_words(T + 4) == "stored 4 s ago, stale since it was purged"
    )
    guessed = head_of(f"Last-Modified: {DAY_AGO}", policy=GUESSING)
    assert freshness_of(guessed, GUESSING).in_words(T) == (
        "stored 0 s ago, fresh for 8640 s because of a tenth of its age since Last-Modified, 8640 s left"
    )
    targeted = head_of("CDN-Cache-Control: max-age=30", policy=GATEWAY)
    assert "because of max-age in cdn-cache-control, 30 s left" in freshness_of(targeted, GATEWAY).in_words(T)


def test_tags_are_words_of_the_fields_that_are_named() -> None:
    answer = lines("Surrogate-Key: a b  c | Cache-Tag: d, e,f | Surrogate-Key: a")
    assert storing.tags_of(answer, (b"surrogate-key", b"cache-tag")) == (b"a", b"b", b"c", b"d", b"e", b"f")
    assert storing.tags_of(answer, ()) == ()
    many = [field_line("Cache-Tag", ",".join(f"t{n}" for n in range(500)) + "," + "x" * 300)]
    assert len(storing.tags_of(many, (b"cache-tag",))) == storing.MOST_TAGS


@pytest.mark.parametrize("status", [400, 413, 414, 500, 501, 502, 503, 504, 505, 599])
def test_a16_no_error_is_stored_that_its_origin_did_not_mean_to_be(status: int) -> None:
    for policy in (SHARED, GUESSING, GATEWAY, DEFAULT, BY_RULE, GRACE):
        assert isinstance(stored(f'Last-Modified: {DAY_AGO} | ETag: "a"', status=status, policy=policy), str)
        assert isinstance(stored("Cache-Control: max-age=60", status=status, policy=policy), StoredHead)


@pytest.mark.parametrize("answer", ["Set-Cookie: a=b", "Cache-Control: private", "Cache-Control: no-store"])
def test_a15_what_is_for_one_client_is_not_shared(answer: str) -> None:
    for policy in (SHARED, GUESSING, GATEWAY, DEFAULT, BY_RULE, GRACE):
        assert isinstance(stored(f"{answer} | Cache-Control: max-age=60 | ETag: x", policy=policy), str)
        assert isinstance(stored(f"{answer} | Expires: {HOUR_LATER} | Last-Modified: {DAY_AGO}", policy=policy), str)


def test_a_fresh_hit_makes_no_object() -> None:
    head = head_of("Cache-Control: max-age=60")
    asked = read("GET", lines("User-Agent: x | Accept: */* | Cookie: a=b"), has_content=False)
    assert asked is caching.PLAIN_GET
    assert decide(asked, head, True, T + 1, SHARED) is caching.HIT
    assert freshness_of(head, SHARED) is freshness_of(head, Policy())
    assert freshness_of(head, GUESSING) is not freshness_of(head, SHARED)


def test_there_are_enough_clauses() -> None:
    others = (STAND_IN, STORED_FIELDS, UPDATES, HEADS, CONDITIONS, IF_RANGES, RANGES, INVALIDATIONS, KEYS, STATUSES)
    assert len(STORIES) + sum(len(table) for table in others) >= 500
    assert {told.need for told in STORIES} == {"must", "may"}

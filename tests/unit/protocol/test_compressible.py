from __future__ import annotations

import pytest

from interpose.core.fields import FieldLine, Fields
from interpose.core.target import Authority, Form, Target
from interpose.protocol.compressible import (
    Asked,
    MediaTypes,
    asked_of,
    coded,
    not_modified,
    said_of,
    varying,
    weakened,
    why_not,
    why_personal,
)

HERE = Target(Form.ORIGIN, "https", Authority("shop.example", 8443), "/")
TYPES = MediaTypes(("text/*", "application/json", "*+json"))
HTML = ("Content-Type", "text/html")
COOKIE = ("Cookie", "session=1")


def lines(*pairs: tuple[str, str]) -> list[FieldLine]:
    return Fields(pairs).lines


def shown(changed: list[FieldLine]) -> list[tuple[str, str]]:
    return list(Fields.of(changed))


def asked(*pairs: tuple[str, str], is_tls: bool = False) -> Asked:
    return asked_of(lines(*pairs), HERE, ("zstd", "br", "gzip"), is_tls=is_tls)


# --- types and obstacles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        (b"text/html", True),
        (b"TEXT/HTML; charset=utf-8", True),
        (b"text/event-stream", True),
        (b"application/json ;charset=utf-8", True),
        (b"application/problem+json", True),
        (b"application/jsonp", False),
        (b"image/png", False),
        (b"x-text/html", False),
        (b"text", False),
        (b"+json/a", False),
        (b"", False),
    ],
)
def test_a_type_is_one_of_a_list_whatever_its_parameters(content_type: bytes, is_one: bool) -> None:
    assert TYPES.matches(content_type) is is_one


@pytest.mark.parametrize(
    ("status", "fields", "length", "why"),
    [
        (200, [HTML], 1024, ""),
        (200, [HTML], None, ""),
        (404, [HTML], 5000, ""),
        (200, [HTML, ("Cache-Control", "max-age=60"), ("Vary", "Cookie")], 5000, ""),
        (200, [HTML], 1023, "it is too short"),
        (200, [], 5000, "its type is none of those that are compressed"),
        (200, [("Content-Type", "image/png")], 5000, "its type is none of those that are compressed"),
        (200, [HTML, ("Content-Type", "text/plain")], 5000, "its type is none of those that are compressed"),
        (200, [HTML, ("Content-Encoding", "gzip")], 5000, "it has a coding already"),
        (200, [HTML, ("Content-Encoding", "aes128gcm")], 5000, "it has a coding already"),
        (200, [HTML, ("Cache-Control", "max-age=60, No-Transform")], 5000, "it says no-transform"),
        (200, [HTML, ("Cache-Control", 'x="a, no-transform')], 5000, "it says no-transform"),
        (200, [HTML, ("Content-Range", "bytes 0-9/100")], 5000, "it is a part"),
        (206, [HTML], 5000, "a 206 has no whole content"),
        (204, [HTML], None, "a 204 has no whole content"),
        (416, [HTML], 5000, "a 416 has no whole content"),
        (200, [HTML, ("Repr-Digest", "sha-256=:AA==:")], 5000, "a digest was made of it as it is"),
        (200, [HTML, ("Content-MD5", "AA==")], 5000, "a digest was made of it as it is"),
    ],
)
def test_what_stays_as_it_is_says_why(status: int, fields: list[tuple[str, str]], length: int | None, why: str) -> None:
    assert why_not(said_of(status, lines(*fields)), TYPES, length, 1024) == why


def test_nothing_at_all_is_too_short_for_any_bound() -> None:
    assert why_not(said_of(200, lines(HTML)), TYPES, 0, 0) == "it is too short"
    assert why_not(said_of(200, lines(HTML)), TYPES, 1, 0) == ""


# --- what a request says ----------------------------------------------------------------------------------------------


def test_a_request_is_read_once() -> None:
    found = asked(
        ("Accept-Encoding", "gzip;q=0.5, br"),
        ("Authorization", "Basic YTpi"),
        ("X-Forwarded-Proto", "https"),
        ("Range", "bytes=10-"),
        ("If-Range", "Tue, 14 Nov 2023 00:00:00 GMT"),
        ("If-None-Match", 'W/"a"'),
        ("If-None-Match", '"b"'),
        ("Cache-Control", "no-transform"),
    )
    assert found == Asked("br", True, True, False, False, True, True, (b'W/"a"', b'"b"'))
    assert asked() == Asked()
    assert asked(("Accept-Encoding", "br"), is_tls=True) == Asked("br", True)


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "cross-site"), ("Referer", "https://shop.example:8443/a")], False),
        ([("Referer", "https://SHOP.example:8443/a?b")], True),
        ([("Referer", "https://shop.example:8443")], True),
        ([("Referer", "https://shop.example/")], False),
        ([("Referer", "https://shop.example:8443.evil.example/")], False),
        ([("Referer", "https://evil.example/https://shop.example:8443/")], False),
        ([("Referer", "shop.example:8443")], False),
        ([], False),
    ],
)
def test_whether_another_site_may_have_made_the_browser_ask(fields: list[tuple[str, str]], is_same: bool) -> None:
    assert asked(COOKIE, *fields).is_of_same_site is is_same


# --- THREATS A42: twelve cases ----------------------------------------------------------------------------------------

SAME = ("Sec-Fetch-Site", "same-origin")
CROSS = ("Sec-Fetch-Site", "cross-site")
CREDENTIALS = ("Authorization", "Bearer x")


@pytest.mark.parametrize(
    ("request_fields", "response_fields", "why"),
    [
        ([], [], ""),
        ([], [("Set-Cookie", "session=1")], "it sets a cookie"),
        ([], [("Set-Cookie", "session=1"), ("Cache-Control", "public")], "it sets a cookie"),
        ([], [("Cache-Control", "private, max-age=60")], "it is private"),
        ([], [("Cache-Control", "no-store")], "it is private"),
        ([CREDENTIALS], [], "it is for a user who gave credentials"),
        ([CREDENTIALS], [("Cache-Control", "max-age=60")], "it is for a user who gave credentials"),
        ([CREDENTIALS], [("Cache-Control", "public, max-age=60")], ""),
        ([COOKIE, CROSS], [], "it is for a user with a cookie, and another site may have made the browser ask"),
        ([COOKIE], [], "it is for a user with a cookie, and another site may have made the browser ask"),
        ([COOKIE, SAME], [], ""),
        ([COOKIE, CROSS], [("Cache-Control", "max-age=600")], ""),
    ],
)
def test_a42_what_may_hold_a_secret_of_one_user_is_told(
    request_fields: list[tuple[str, str]], response_fields: list[tuple[str, str]], why: str
) -> None:
    said = said_of(200, lines(HTML, *response_fields))
    assert why_personal(asked(*request_fields, is_tls=True), said) == why


# --- the fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "weak"),
    [
        ('"a"', 'W/"a"'),
        ('W/"a"', 'W/"a"'),
        ('""', 'W/""'),
        ("unquoted", None),
        ('"two" "tags"', None),
    ],
)
def test_a_tag_becomes_weak_or_goes(etag: str, weak: str | None) -> None:
    [line] = lines(("ETag", etag))
    changed = weakened(line)
    assert (None if changed is None else changed.value.decode()) == weak


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["Accept-Encoding"]),
        (["Cookie"], ["Cookie, Accept-Encoding"]),
        (["accept-encoding"], ["accept-encoding"]),
        (["Cookie,Accept-Encoding , Accept"], ["Cookie,Accept-Encoding , Accept"]),
        (["*"], ["*"]),
        (["Cookie", "Accept-Encoding"], ["Cookie", "Accept-Encoding"]),
        (["Cookie", "Origin"], ["Cookie, Accept-Encoding", "Origin"]),
        (["X-Accept-Encoding"], ["X-Accept-Encoding, Accept-Encoding"]),
        ([""], ["Accept-Encoding"]),
    ],
)
def test_a42_vary_is_merged(before: list[str], after: list[str]) -> None:
    changed = varying(lines(*[("Vary", value) for value in before]))
    assert [line.value.decode() for line in changed] == after


def test_a42_the_fields_of_what_is_coded_tell_of_another_representation() -> None:
    before = lines(HTML, ("ETag", '"a"'), ("Accept-Ranges", "bytes"), ("Vary", "Cookie"), ("X-Other", "1"))
    assert shown(coded(before, "br")) == [
        HTML,
        ("ETag", 'W/"a"'),
        ("Vary", "Cookie, Accept-Encoding"),
        ("X-Other", "1"),
        ("Content-Encoding", "br"),
    ]


@pytest.mark.parametrize(
    ("if_none_match", "etag", "answered"),
    [
        ('W/"a"', '"a"', 'W/"a"'),
        ('W/"b", W/"a"', '"a"', 'W/"a"'),
        ('W/"a"', 'W/"a"', 'W/"a"'),
        ('"a"', '"a"', '"a"'),
        ('"a", W/"a"', '"a"', '"a"'),
        ('W/"b"', '"a"', '"a"'),
        ("*", '"a"', '"a"'),
    ],
)
def test_a42_a_304_has_the_tag_that_its_client_knows(if_none_match: str, etag: str, answered: str) -> None:
    changed = not_modified(asked(("If-None-Match", if_none_match)), lines(("ETag", etag)))
    assert dict(shown(changed))["ETag"] == answered
    assert ("Vary" in dict(shown(changed))) is (answered.startswith("W/"))


def test_a_304_without_a_tag_or_a_question_is_left_alone() -> None:
    before = lines(("Date", "x"))
    assert not_modified(asked(("If-None-Match", 'W/"a"')), before) is before
    assert not_modified(asked(), lines(("ETag", '"a"'))) == lines(("ETag", '"a"'))

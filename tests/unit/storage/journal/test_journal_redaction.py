"""Secrets are left out before anything is written."""

from __future__ import annotations

import pytest
from tests.support.journal_records import record

from interpose.core.record import Part, Try, encode_records
from interpose.storage.journal.redaction import Redaction

CASES = [
    (b"Authorization: Basic Zm9v\r\n", b"Authorization: [redacted]\r\n", ("authorization",)),
    (b"A: 1\r\nCOOKIE: a=b\r\nB: 2\r\n", b"A: 1\r\nCOOKIE: [redacted]\r\nB: 2\r\n", ("cookie",)),
    (
        b"cookie: a=b\r\ncookie: c=d\r\nauthorization: x\r\n",
        b"cookie: [redacted]\r\ncookie: [redacted]\r\nauthorization: [redacted]\r\n",
        ("authorization", "cookie"),
    ),
    (b"Cookie: \r\n", b"Cookie: [redacted]\r\n", ("cookie",)),
    (b"X-Cookie: keep\r\nCookies: keep\r\n", b"X-Cookie: keep\r\nCookies: keep\r\n", ()),
    (b"A: Cookie: keep\r\n", b"A: Cookie: keep\r\n", ()),
    (b"", b"", ()),
    (b"Cookie: unended", b"Cookie: [redacted]", ("cookie",)),
    (b"Set-Cookie: a=b; HttpOnly\r\n", b"Set-Cookie: [redacted]\r\n", ("set-cookie",)),
    (b"Proxy-Authorization: Basic eA==\r\n", b"Proxy-Authorization: [redacted]\r\n", ("proxy-authorization",)),
]


@pytest.mark.parametrize(("fields", "expected", "names"), CASES)
def test_values_of_secret_fields_become_a_marker(fields: bytes, expected: bytes, names: tuple[str, ...]) -> None:
    assert Redaction().section(fields) == (expected, names)


def test_a37_no_secret_is_left_anywhere_in_a_record() -> None:
    secret = b"Cookie: s3cret\r\nAuthorization: s3cret\r\n"
    one = record(
        1,
        request=Part(b"A: 1\r\n" + secret),
        response=Part(b"Set-Cookie: s3cret\r\n"),
        attempts=[Try("o", head=b"GET / HTTP/1.1\r\n" + secret), Try("o")],
    )
    assert Redaction().apply(one) == (("authorization", "cookie"), ("set-cookie",))
    assert b"s3cret" not in encode_records([one])


def test_other_names_can_be_secret_and_none() -> None:
    fields = b"X-Key: 1\r\nCookie: 2\r\n"
    assert Redaction(["X-KEY", "x-key"]).section(fields) == (b"X-Key: [redacted]\r\nCookie: 2\r\n", ("x-key",))
    one = record(1, request=Part(fields))
    assert Redaction(()).apply(one) == ((), ())
    assert one.request.fields == fields

"""Targets in their four forms, and the one spelling of each path."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from interpose.core.failure import Failure
from interpose.core.target import Authority, Form
from interpose.protocol.target import canonical_path, hazard, parse_authority, parse_target


@pytest.mark.parametrize(
    ("raw", "authority"),
    [
        (b"a.example", Authority("a.example")),
        (b"A.Example:8080", Authority("a.example", 8080)),
        (b"a.example.", Authority("a.example")),
        (b"a.example:", Authority("a.example")),
        (b"192.0.2.1:80", Authority("192.0.2.1", 80)),
        (b"[2001:DB8::1]:443", Authority("2001:db8::1", 443)),
        (b"[::1]", Authority("::1")),
        (b"a_b", Authority("a_b")),
        (b"a:065", Authority("a", 65)),
    ],
)
def test_an_authority_has_one_spelling(raw: bytes, authority: Authority) -> None:
    assert parse_authority(raw) == authority


@pytest.mark.parametrize(
    "raw",
    [
        b"", b":80", b"a:0", b"a:65536", b"a:+1", b"a:1_0", b"a:80:80", b"a b", b"a/b", b"a@b", b"a?b", b"a,b", b"[::1",
        b"::1", b"[]", b"[::1]x", b"[::1]:x", b"[1.2.3.4]", b"[fe80::1%25eth0]", b"[12345::1]", b"[:::1]", b"[::1::2]",
        b"a..b", b".a", b"a..", b".", b"..", b"\xc3\xa9", b"a\x00", b"%61", b"a%2e", b"a:\xd9\xa1", b"a" * 256,
        b"a:000080",
    ],
)  # fmt: skip
def test_what_is_no_authority_is_refused(raw: bytes) -> None:
    with pytest.raises(Failure) as raised:
        parse_authority(raw)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("method", "raw", "form", "written"),
    [
        ("GET", b"/", Form.ORIGIN, "/"),
        ("GET", b"/a?b=c", Form.ORIGIN, "/a?b=c"),
        ("GET", b"/a?", Form.ORIGIN, "/a?"),
        ("GET", b"/?/../x", Form.ORIGIN, "/?/../x"),
        ("GET", b"http://a/b", Form.ABSOLUTE, "http://a/b"),
        ("GET", b"HTTP://A", Form.ABSOLUTE, "http://a/"),
        ("GET", b"https://a?b", Form.ABSOLUTE, "https://a/?b"),
        ("GET", b"http://a:80/", Form.ABSOLUTE, "http://a:80/"),
        ("GET", b"http://a/../b", Form.ABSOLUTE, "http://a/b"),
        ("CONNECT", b"a:443", Form.AUTHORITY, "a:443"),
        ("CONNECT", b"[::1]:443", Form.AUTHORITY, "[::1]:443"),
        ("OPTIONS", b"*", Form.ASTERISK, "*"),
        ("OPTIONS", b"http://a", Form.ABSOLUTE, "http://a"),
        ("OPTIONS", b"http://a/", Form.ABSOLUTE, "http://a/"),
        ("OPTIONS", b"/", Form.ORIGIN, "/"),
    ],
)
def test_a_target_is_read_in_its_form(method: str, raw: bytes, form: Form, written: str) -> None:
    target = parse_target(method, raw, False)
    assert target.form is form
    assert (target.path_and_query if form is Form.ORIGIN else str(target)) == written


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("GET", b""), ("GET", b"*"), ("GET", b"a"), ("GET", b"a:80"), ("GET", b"/a b"), ("GET", b"/a#b"),
        ("GET", b"/\x00"), ("GET", b"/\xc3\xa9"), ("GET", b"/%"), ("GET", b"/%4"), ("GET", b"/%zz"),
        ("GET", b"/%u0041"),
        ("GET", b"ftp://a/"), ("GET", b"http:/a/"), ("GET", b"http://"), ("GET", b"http:///x"), ("GET", b"http://u@a/"),
        ("GET", b"javascript:x"), ("CONNECT", b"a"), ("CONNECT", b"/"), ("CONNECT", b"http://a:80/"),
        ("CONNECT", b"a:0"), ("CONNECT", b"*"), ("OPTIONS", b"**"), ("POST", b"*"),
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(method: str, raw: bytes) -> None:
    with pytest.raises(Failure) as raised:
        parse_target(method, raw, False)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("path", "canonical", "merged"),
    [
        ("/", "/", "/"),
        ("/a/b", "/a/b", "/a/b"),
        ("/%61%7E%2D", "/a~-", "/a~-"),
        ("/%2f%2F", "/%2F%2F", "/%2F%2F"),
        ("/a%20b%c3%a9", "/a%20b%C3%A9", "/a%20b%C3%A9"),
        ("/%25%32%66", "/%252f", "/%252f"),
        ("/a/./b/../c", "/a/c", "/a/c"),
        ("/..", "/", "/"),
        ("/../../a", "/a", "/a"),
        ("/a/..", "/", "/"),
        ("/a/.", "/a/", "/a/"),
        ("/a/b/..", "/a/", "/a/"),
        ("/%2e%2e/a", "/a", "/a"),
        ("/a/%2E", "/a/", "/a/"),
        ("/...", "/...", "/..."),
        ("/.a/..b", "/.a/..b", "/.a/..b"),
        ("//a", "//a", "/a"),
        ("/a//b", "/a//b", "/a/b"),
        ("/a//../b", "/a/b", "/b"),
        ("/a/..//b", "//b", "/b"),
        ("/a;b/..;c", "/a;b/..;c", "/a;b/..;c"),
        ('/a[]{}|^"<>`', '/a[]{}|^"<>`', '/a[]{}|^"<>`'),
    ],
)
def test_a13_a_path_has_one_spelling(path: str, canonical: str, merged: str) -> None:
    assert canonical_path(path, False) == canonical
    assert canonical_path(path, True) == merged


@given(st.from_regex(r"(?:/(?:\.|\.\.|%2[eEfF]|%[0-9A-Fa-f]{2}|[a-z;.\\]){0,4}){1,6}", fullmatch=True), st.booleans())
@examples(250, derandomize=True)
def test_a13_to_make_canonical_twice_changes_nothing(path: str, merge: bool) -> None:
    once = canonical_path(path, merge)
    assert canonical_path(once, merge) == once
    assert once.startswith("/")
    assert not re.search(r"/\.{1,2}(?:/|\Z)", once)
    assert not (merge and "//" in once)
    assert not re.search(r"%(?:[0-9A-F]?[a-f]|[a-f])", once)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a", None),
        ("/a;b", None),
        ("/a%20b", None),
        ("/%252F", None),
        ("/a%2Fb", "an encoded slash"),
        ("/a%5Cb", "an encoded backslash"),
        ("/a%00", "an encoded NUL"),
        ("/a\\b", "a backslash"),
        ("/a/..;/b", "a dot segment with a parameter"),
        ("/.;x/b", "a dot segment with a parameter"),
    ],
)
def test_a13_what_servers_read_differently_has_a_name(path: str, words: str | None) -> None:
    assert hazard(path) == words

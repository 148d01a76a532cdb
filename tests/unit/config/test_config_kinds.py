"""Texts with a meaning, and the one form in which the rest of the program sees them."""

from pathlib import Path

import pytest

from interpose.config.kinds import kinds


@pytest.mark.parametrize(
    ("kind", "text", "canonical"),
    [
        ("address", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("address", ":8080", "127.0.0.1:8080"),
        ("address", "LocalHost:0", "localhost:0"),
        ("address", "[::1]:8080", "[::1]:8080"),
        ("address", "unix:proxy.sock", "unix:/base/proxy.sock"),
        ("address", "unix:/run/proxy.sock", "unix:/run/proxy.sock"),
        ("server", "app:9000", "http://app:9000"),
        ("server", "[::1]:9000", "http://[::1]:9000"),
        ("server", "http://App.example", "http://app.example"),
        ("server", "https://app.example/", "https://app.example"),
        ("server", "https://[::1]", "https://[::1]"),
        ("server", "https://app.example:8443", "https://app.example:8443"),
        ("server", "unix:run/app.sock", "unix:/base/run/app.sock"),
        ("network", "10.0.0.0/8", "10.0.0.0/8"),
        ("network", "192.0.2.7", "192.0.2.7/32"),
        ("network", "FD00::/8", "fd00::/8"),
        ("dns", "192.0.2.1", "192.0.2.1:53"),
        ("dns", "::1", "[::1]:53"),
        ("dns", "127.0.0.1:5353", "127.0.0.1:5353"),
        ("dns", "[::1]:5353", "[::1]:5353"),
        ("host", "Example.COM.", "example.com"),
        ("host", "*.Example.com", "*.example.com"),
        ("host", "[::1]", "::1"),
        ("host", "192.0.2.1", "192.0.2.1"),
        ("path", "/a%20b", "/a%20b"),
        ("method", "PROPFIND", "PROPFIND"),
        ("webhook", "", ""),
        ("webhook", "https://chat.example/hooks/1?x", "https://chat.example/hooks/1?x"),
        ("log", "-", "-"),
        ("log", "off", "off"),
        ("folder", "", ""),
        ("folder", "state", "/base/state"),
        ("name", "", ""),
        ("name", "web-1.a_b", "web-1.a_b"),
    ],
)
def test_a_text_of_a_kind_is_brought_to_its_canonical_form(kind: str, text: str, canonical: str) -> None:
    assert kinds(Path("/base"))[kind](text) == canonical


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("address", ""),
        ("address", "unix:"),
        ("address", "unix:" + "x" * 200),
        ("address", "http://127.0.0.1:80"),
        ("address", "127.1:80"),
        ("address", "a\x00b:80"),
        ("server", ""),
        ("server", "http://"),
        ("server", "http://a b"),
        ("server", "a:80\r\nX: y"),
        ("server", "http://0x7f000001"),
        ("network", "10.0.0.0/8 "),
        ("network", "localhost"),
        ("dns", "[::1]"),
        ("dns", "192.0.2.1:x"),
        ("host", ""),
        ("host", "*"),
        ("host", "a.*.example"),
        ("host", "example.com:80"),
        ("path", ""),
        ("path", "/a b"),
        ("path", "/a?b"),
        ("path", "/é"),
        ("method", ""),
        ("method", "GET\n"),
        ("name", "../x"),
        ("name", ".hidden"),
        ("name", "x" * 65),
        ("name", "a\n"),
        ("label", "a\x1b[31m"),
        ("file", "a\x00b"),
        ("log", ""),
        ("webhook", "chat.example/hook"),
        ("webhook", "ftp://chat.example/"),
        ("webhook", "https://"),
        ("webhook", "https://a b/"),
    ],
)
def test_a_text_that_is_not_of_its_kind_is_refused_with_a_sentence(kind: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kinds(Path("/base"))[kind](text)
    assert len(str(caught.value)) > 10

"""URLs as people write them: pages and proxies."""

from __future__ import annotations

import pytest

from interpose.config.urls import host_of, page_of, proxy_of
from interpose.core.target import Authority


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("example.test", "http://example.test/", None),
        ("example.test:81/a?b#c", "http://example.test:81/a?b", None),
        ("localhost:8000", "http://localhost:8000/", None),
        ("HTTPS://Example.Test", "https://example.test/", None),
        ("http://u:p%40%3Aw@h/x@y", "http://h/x@y", b"u:p@:w"),
        ("[::1]:8080/x", "http://[::1]:8080/x", None),
        ("h/caf\u00e9 x?\u00fc", "http://h/caf%C3%A9%20x?%C3%BC", None),
        ("h?q=http://x/", "http://h/?q=http://x/", None),
        ("b\u00fccher.test:81/x", "http://xn--bcher-kva.test:81/x", None),
        ("h/a/../b/./c", "http://h/b/c", None),
    ],
)
def test_pages(text: str, url: str, login: bytes | None) -> None:
    page = page_of(text)
    assert (str(page.target), page.login) == (url, login)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty URL"),
        ("ftp://h", "scheme ftp"),
        ("http://", "names no host"),
        ("/path", "names no host"),
        ("u:p@/x", "names no host"),
        ("h:0", "not between 1 and 65535"),
        ("h:x", "is not a URL"),
        ("a b", "is not a URL"),
        ("h/%g1", "percent"),
        ("\u0001", "is not a URL"),
        ("\u00fc..\u00fc", "is not a URL"),
    ],
)
def test_what_is_no_page(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        page_of(text)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "login"),
    [
        ("http://h:1", "http", "h", 1, None),
        ("h:1", "http", "h", 1, None),
        ("http://h", "http", "h", 8080, None),
        ("https://h/", "https", "h", 443, None),
        ("socks5://u:p@h", "socks5", "h", 1080, b"u:p"),
        ("SOCKS5H://[::1]:9", "socks5", "::1", 9, None),
        ("http://a%20b:c%3A%40d@h:1", "http", "h", 1, b"a b:c:@d"),
    ],
)
def test_proxies(text: str, scheme: str, host: str, port: int, login: bytes | None) -> None:
    proxy = proxy_of(text)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.login) == (scheme, host, port, login)


@pytest.mark.parametrize(
    "text",
    ["ftp://h:1", "http://", "http://:1", "http://h:0", "http://h:x", "http://h:1/path", "socks6://h", "unix:/x"],
)
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError):
        proxy_of(text)


def test_no_message_repeats_a_password() -> None:
    for text in ("ftp://me:secret@h:1", "http://me:secret@h:0", "http://me:secret@:1", "http://me:secret@h:1/x"):
        with pytest.raises(ValueError) as caught:
            proxy_of(text)
        assert "secret" not in str(caught.value)


def test_the_proxy_says_its_password_to_nobody_by_accident() -> None:
    proxy = proxy_of("http://me:secret@h:1")
    assert str(proxy) == "http://h:1"
    assert proxy.authorization == b"Basic bWU6c2VjcmV0"


def test_host() -> None:
    assert host_of("Example.Test:81") == Authority("example.test", 81)
    for wrong in ("a b", "", "h:0", "u@h", "h/x"):
        with pytest.raises(ValueError, match="is not a host"):
            host_of(wrong)

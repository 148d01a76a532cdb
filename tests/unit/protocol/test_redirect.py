"""Redirects, decided."""

from __future__ import annotations

import pytest

from interpose.core.failure import Failure
from interpose.core.target import Target
from interpose.protocol.redirect import Redirect, redirect
from interpose.protocol.target import parse_target

HERE = parse_target("GET", b"http://a.test/dir/page?q=1", False)


def after(method: str, status: int, location: str | None, target: Target = HERE) -> Redirect | None:
    return redirect(method, target, status, location)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "http://a.test/x"),
        ("x", "http://a.test/dir/x"),
        ("../x", "http://a.test/x"),
        ("?r", "http://a.test/dir/page?r"),
        ("//b.test/x", "http://b.test/x"),
        ("https://b.test", "https://b.test/"),
        ("http://A.test:80/x#there", "http://a.test:80/x"),
        ("/caf\u00e9 au lait", "http://a.test/caf%C3%A9%20au%20lait"),
        ("/%2e%2e/x%2Fy", "http://a.test/x%2Fy"),
    ],
)
def test_where_a_location_leads(location: str, url: str) -> None:
    decided = after("GET", 302, location)
    assert decided is not None
    assert str(decided.target) == url


@pytest.mark.parametrize("location", ["gopher://x", "http://a b/", "http://h:99999/", "javascript:x"])
def test_a_location_that_leads_nowhere_is_a_failure(location: str) -> None:
    with pytest.raises(Failure) as caught:
        after("GET", 302, location)
    assert caught.value.kind == "http_protocol_error"


@pytest.mark.parametrize(
    ("method", "status", "next_method", "keeps_content"),
    [
        ("GET", 301, "GET", True),
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("PUT", 302, "PUT", True),
        ("POST", 303, "GET", False),
        ("PUT", 303, "GET", False),
        ("HEAD", 303, "HEAD", True),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
    ],
)
def test_what_becomes_of_method_and_content(method: str, status: int, next_method: str, keeps_content: bool) -> None:
    decided = after(method, status, "/x")
    assert decided is not None
    assert (decided.method, decided.keeps_content) == (next_method, keeps_content)


@pytest.mark.parametrize(("status", "location"), [(200, "/x"), (300, "/x"), (304, "/x"), (302, None)])
def test_what_is_no_redirect(status: int, location: str | None) -> None:
    assert after("GET", status, location) is None


@pytest.mark.parametrize(
    ("here", "location", "is_other", "loses_tls"),
    [
        (b"http://a.test/", "/x", False, False),
        (b"http://a.test/", "http://a.test:80/", False, False),
        (b"http://a.test/", "http://a.test:81/", True, False),
        (b"http://a.test/", "http://b.a.test/", True, False),
        (b"http://a.test/", "https://a.test/", True, False),
        (b"https://a.test/", "http://a.test/", True, True),
        (b"https://a.test/", "http://a.test:443/", True, True),
    ],
)
def test_which_redirects_lead_to_another_origin(here: bytes, location: str, is_other: bool, loses_tls: bool) -> None:
    decided = after("GET", 302, location, parse_target("GET", here, False))
    assert decided is not None
    assert (decided.is_other_origin, decided.loses_tls) == (is_other, loses_tls)

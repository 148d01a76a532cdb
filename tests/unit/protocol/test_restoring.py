"""Addresses of servers, spelled for clients again."""

from __future__ import annotations

import pytest

from interpose.protocol.restoring import Restoring

CLIENT = ("https", "shop.example:8443")
SERVER = "app.internal"


@pytest.mark.parametrize(
    ("outside", "inside", "path", "known"),
    [
        ("/shop", "", "/login", "/shop/login"),
        ("/shop", "", "/", "/shop/"),
        ("/shop", "", "/shop/login", "/shop/login"),
        ("/shop", "", "/shopping", "/shop/shopping"),
        ("/shop", "/v2", "/v2/login", "/shop/login"),
        ("/shop", "/v2", "/v2", "/shop/"),
        ("/shop", "/v2", "/login", "/login"),
        ("/shop", "/v2", "/v22/x", "/v22/x"),
        ("/a", "/a/b", "/a/b/c", "/a/c"),
        ("", "/v2", "/v2/login", "/login"),
        ("", "/v2", "/v2", "/"),
    ],
)
def test_a_path_is_known_to_clients_by_another_name(outside: str, inside: str, path: str, known: str) -> None:
    assert Restoring(outside, inside).path(path) == known


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("/login?a=/b#c", "/shop/login?a=/b#c"),
        ("http://app.internal/login", "https://shop.example:8443/shop/login"),
        ("http://APP.internal", "https://shop.example:8443/shop/"),
        ("http://app.internal?x", "https://shop.example:8443/shop/?x"),
        ("http://shop.example:8443/x", "http://shop.example:8443/shop/x"),
        ("https://shop.example/x", "https://shop.example/x"),
        ("http://app.internal:81/x", "http://app.internal:81/x"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("//elsewhere.example/x", "//elsewhere.example/x"),
        ("/\\elsewhere.example", "/\\elsewhere.example"),
        ("http://user@app.internal/", "http://user@app.internal/"),
        ("login", "login"),
        ("../x", "../x"),
        ("?page=2", "?page=2"),
        ("#top", "#top"),
        ("", ""),
        ("mailto:a@b", "mailto:a@b"),
    ],
)
def test_a_location_leads_where_the_server_meant_it_to(value: str, location: str) -> None:
    assert Restoring("/shop", "").location(value, SERVER, CLIENT) == location


def test_a_path_that_was_made_anew_has_no_way_back_but_its_host_has() -> None:
    restoring = Restoring("", "", keeps_path=True)
    assert restoring.location("http://app.internal/x", SERVER, CLIENT) == "https://shop.example:8443/x"
    assert restoring.location("/x", SERVER, CLIENT) == "/x"


@pytest.mark.parametrize(
    ("value", "cookie"),
    [
        ("a=b; Path=/; Secure", "a=b; Path=/shop; Secure"),
        ("a=b;path=/x", "a=b;path=/shop/x"),
        ("a=b;path=/x/", "a=b;path=/shop/x/"),
        ("a=b; Path=/shop/x ; HttpOnly", "a=b; Path=/shop/x; HttpOnly"),
        ("a=b; Path=relative", "a=b; Path=relative"),
        ("path=/x; Secure", "path=/x; Secure"),
        ("a=b", "a=b"),
    ],
)
def test_a_cookie_comes_back_to_where_it_was_set(value: str, cookie: str) -> None:
    assert Restoring("/shop", "").cookie(value) == cookie

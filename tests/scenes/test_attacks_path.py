"""A13: what a route decides about a path is what the origin would have decided.

A route keeps everybody out of `/admin`. Each variant of that path must either be kept out or be no way in: whatever the
origin is sent, no common way of reading it leads there. And nothing else is kept out.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from urllib.parse import unquote

import pytest
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import Config
from interpose.config.load import config_of

ADMIN = [
    "admin", "%61dmin", "%61%64%6d%69%6e", "%61%64%6D%69%6E", "admi%6E", "admin;", "admin;x", "admin;x=y",
    "admin;a;b=c", "admin%3bx", "admin%3Bx=y",
]  # fmt: skip
BEFORE = [
    "/", "//", "///", "/./", "/.//", "/././", "/x/../", "/x/..//", "/x/./../", "/x/y/../../", "/../", "/../../",
    "/%2e/", "/%2E/", "/.%2e/", "/%2e%2e/", "/x/%2e%2e/", "/x/.%2E/", "/x/%2e./", "/x//../", "//x/../", "/;x/", "/;/",
    "/x;y/../", "/x/..;/", "/x/..;y/", "/.;/", "/%2f", "/x/..%2f", "/x/..%2F", "/x%2f../", "/%5c", "/\\", "/x/..\\",
    "/x/..%5c", "/%252e%252e/", "/x/%252e%252e/",
]  # fmt: skip
AFTER = [
    "", "/", "//", "/.", "/./", "/x/..", "/secret", "/secret;x", "?x", "?/../x", "/?", "%00", "%00.html", "%2f", "%2fx",
    "\\", "%5c", ";/x", "/..;/admin", "%20", "%0a", ".", "/..", "/../other", "x", "s",
]  # fmt: skip
OTHER = [
    "/", "/adminx", "/x", "/administrator", "/x/admin", "/adm", "/admin/../x", "/admin/%2e%2e/x", "/Admin", "/x;/admin",
    "/a;b/c", "/%2561dmin", "/x?y=/admin", "/?/admin",
]  # fmt: skip
VARIANTS = sorted(
    {f"{before}{admin}" for before, admin in itertools.product(BEFORE, ADMIN[:6])}
    | {f"/{admin}{after}" for admin, after in itertools.product(ADMIN, AFTER)}
    | {f"{before}admin{after}" for before, after in itertools.product(BEFORE[:20], AFTER[:8])}
)


def gateway(origin: str) -> Config:
    return config_of(
        {
            "listener": [{"name": "main", "role": "gateway", "address": "127.0.0.1:0", "upstream": "up"}],
            "upstream": [{"name": "up", "servers": [origin]}],
            "route": [{"path": "/admin", "answer": {"status": 403, "text": "kept out"}}],
        }
    )


def is_admin(path: str) -> bool:
    return path == "/admin" or path.startswith("/admin/")


def views(target: str) -> dict[str, str]:
    """The paths that origins of several makes see in a target."""
    path = re.sub(r"\A[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE).partition("?")[0] or "/"
    merged = re.sub(r"/+", "/", path)
    without_parameters = re.sub(r";[^/]*", "", path)
    return {
        "as it is": path,
        "merging slashes": merged,
        "unquote, normpath": re.sub(r"\A//", "/", posixpath.normpath(unquote(path))),
        "normpath, unquote": unquote(posixpath.normpath(merged)),
        "parameters off, unquote, normpath": re.sub(r"\A//", "/", posixpath.normpath(unquote(without_parameters))),
        "backslashes are slashes": posixpath.normpath(unquote(merged).replace("\\", "/")),
        "ends at NUL": posixpath.normpath(unquote(merged).partition("\0")[0] or "/"),
    }


async def decisions(targets: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    """The status of each target, and what of it arrived at the origin."""
    statuses: dict[str, int] = {}
    arrived: dict[str, str] = {}
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        for target in targets:
            before = len(origin.received)
            async with RawClient(running.address()) as client:
                client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                [answer] = await client.answers("GET")
            statuses[target] = answer.status
            if (new := origin.received[before:]) and len(origin.connections) == 1:
                arrived[target] = new.split(b" ")[1].decode()
        assert len(origin.requests()) == len(arrived)
    return statuses, arrived


async def test_a13_no_variant_of_a_path_leads_round_a_route() -> None:
    assert len(VARIANTS) > 400
    statuses, arrived = await decisions(VARIANTS)
    assert set(statuses.values()) <= {200, 400, 403}
    for target, status in statuses.items():
        assert (status == 200) == (target in arrived), target
        if status == 403:
            assert any(map(is_admin, views(target).values())), f"{target} was kept out of nothing"
    ways_in = [
        f"{target} -> {path} ({view})"
        for target, path in arrived.items()
        for view, seen in views(path).items()
        if is_admin(seen)
    ]
    assert ways_in == []
    assert sum(status == 403 for status in statuses.values()) > 100
    assert sum(status == 200 for status in statuses.values()) > 10


async def test_a13_nothing_else_is_kept_out() -> None:
    statuses, _ = await decisions(OTHER)
    assert {target: status for target, status in statuses.items() if status != 200} == {}


@pytest.mark.parametrize(
    ("prefix", "status"), [("http://a", 403), ("HTTP://A", 403), ("http://other:81", 403), ("https://a", 421)]
)
async def test_a13_the_absolute_form_is_no_way_round_either(prefix: str, status: int) -> None:
    targets = [f"{prefix}{path}" for path in ("/admin", "//admin", "/x/../admin", "/%61dmin", "/x/%2e%2e/admin?x")]
    statuses, arrived = await decisions(targets)
    assert set(statuses.values()) == {status}
    assert arrived == {}


async def test_a13_rule_and_origin_see_the_same_spelling() -> None:
    """What arrives is canonical: to write it down again changes nothing."""
    statuses, arrived = await decisions(sorted({target.replace("admin", "other") for target in VARIANTS}))
    assert len(arrived) > 100
    again, arrived_again = await decisions(sorted(set(arrived.values())))
    assert {path: there for path, there in arrived_again.items() if path != there} == {}
    assert set(again.values()) == {200}
    assert set(statuses.values()) <= {200, 400, 403}

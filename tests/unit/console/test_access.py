"""Who gets in, and from where."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from tests.support.asgi import Asgi
from tests.support.console import HOST, TOKEN, Console, ToldInstance, console_in, page_of

from interpose.console.access import Access
from interpose.console.application import application
from interpose.console.resource import Role
from interpose.console.services import Services
from interpose.console.sessions import MOST_ADDRESSES, Sessions, Tries

HOSTS = {"own": HOST, "rebound": "evil.example:8081"}
ORIGINS = {"own": f"http://{HOST}", "foreign": "http://evil.example", "opaque": "null", "absent": None}
SITES = {"same-origin": "same-origin", "cross-site": "cross-site", "absent": None}
LETTERS = ("cookie", "nothing")
TOKENS = ("right", "wrong")
MATRIX = [
    (host, origin, site, who, token)
    for host, origin, site, who, token in itertools.product(HOSTS, ORIGINS, SITES, LETTERS, TOKENS)
]


def may(host: str, origin: str, site: str, who: str, token: str) -> bool:
    """Said again, in other words: one cell of the matrix changes something, and its two twins whose browsers send only
    one of the two fields that say where a request comes from."""
    comes_from_us = (origin, site) in (("own", "same-origin"), ("own", "absent"), ("absent", "same-origin"))
    return (host, who, token) == ("own", "cookie", "right") and comes_from_us


@pytest.mark.parametrize(("host", "origin", "site", "who", "token"), MATRIX)
async def test_a34_only_the_right_cell_changes_something(
    host: str, origin: str, site: str, who: str, token: str
) -> None:
    instance, access = ToldInstance(), Access(TOKEN, port=8081)
    page = await page_of(application(Services(instance=instance), access), access)
    right = page.fields["Interpose-Token"]
    answer = await page.post(
        "/drain",
        fields={
            "Host": HOSTS[host],
            "Origin": ORIGINS[origin],
            "Sec-Fetch-Site": SITES[site],
            "Cookie": page.fields["Cookie"] if who == "cookie" else None,
            "Interpose-Token": right if token == "right" else right[::-1],
        },
    )
    allowed = may(host, origin, site, who, token)
    assert instance.ended == allowed, answer
    assert answer.status == (202 if allowed else answer.status)
    if not allowed:
        assert answer.status in (401, 403, 421)
        assert answer.json["errors"]


def test_a34_the_matrix_has_its_forty_cells_and_three_of_them_are_right() -> None:
    assert len(MATRIX) >= 40
    assert sum(may(*cell) for cell in MATRIX) == 3


@pytest.mark.parametrize(
    "host", [HOST, "127.0.0.1", "localhost:9", "[::1]:8081", "console.example", "CONSOLE.EXAMPLE.:1"]
)
async def test_a34_the_console_is_known_by_addresses_and_its_own_names(console: Console, host: str) -> None:
    page = await console.page()
    assert (await page.get("/session", {"Host": host, "Origin": None})).status == 200


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0x7f000001", "2130706433", "::1"],
)
async def test_a34_names_that_others_can_point_here_are_not_known(console: Console, host: str | None) -> None:
    page = await console.page()
    for path in ("/api/v1/session", "/", "/main.js", f"/?token={TOKEN}", "/nothing"):
        page.prefix = ""
        answer = await page.get(path, {"Host": host, "Origin": None})
        assert (answer.status, "set-cookie" in answer.fields) == (421, False), path


async def test_a34_reading_from_another_site_is_refused_too(console: Console) -> None:
    page = await console.page()
    for fields in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/flows", "/events", "/overview"):
            assert (await page.get(path, fields)).status == 403, (path, fields)


async def test_a34_every_answer_says_what_a_browser_must_not_do_with_it(console: Console) -> None:
    page = await console.page()
    page.prefix = ""
    for path in ("/", "/main.js", "/api/v1/flows", "/api/v1/nothing", "/nothing", "/api/v1/drain"):
        for fields in ({}, {"Cookie": None}, {"Host": "evil.example"}):
            said = (await page.get(path, fields)).fields
            policy = said["content-security-policy"]
            assert "frame-ancestors 'none'" in policy, path
            assert "unsafe" not in policy
            assert said["x-content-type-options"] == "nosniff"
            assert said["referrer-policy"] == "no-referrer"
            assert said["x-frame-options"] == "DENY"
            assert "cache-control" in said
            assert not any(name.startswith("access-control-") for name in said)


async def test_a34_the_cookie_is_for_this_site_and_for_no_script(console: Console) -> None:
    browser = Asgi(console.application, fields={"Host": HOST})
    answer = await browser.get(f"/?token={TOKEN}")
    assert (answer.status, answer.fields["location"]) == (303, "/")
    cookie = answer.fields["set-cookie"]
    assert re.match(r"interpose-8081=[A-Za-z0-9_.-]+; ", cookie)
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert TOKEN not in cookie


async def test_a_program_brings_the_token_itself(console: Console) -> None:
    program = Asgi(console.application, "/api/v1", {"Host": HOST, "Authorization": f"Bearer {TOKEN}"})
    assert (await program.get("/session")).json["reviewer"] == "api"
    assert (await program.get("/session", {"Interpose-Reviewer": "Ann%20B."})).json["reviewer"] == "Ann B."
    assert (await program.post("/drain")).status == 202
    for fields in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await program.post("/drain", fields=fields)).status == 403
    assert console.instance.ended == 1
    assert (await program.get("/session", {"Authorization": "Basic YTpi"})).status == 401


async def test_a37_wrong_tokens_are_slowed_by_address_and_cookies_go_on(tmp_path: Path) -> None:
    now = [1000.0]
    async with console_in(tmp_path) as console:
        console.access._tries = Tries(lambda: now[0])
        page = await console.page()
        stranger = Asgi(console.application, fields={"Host": HOST})
        for guess in range(5):
            assert (await stranger.get(f"/?token=guess-{guess}")).status == 401
        for path, fields in ((f"/?token={TOKEN}", {}), ("/api/v1/flows", {"Authorization": f"Bearer {TOKEN}"})):
            answer = await stranger.get(path, fields)
            assert (answer.status, answer.fields["retry-after"]) == (429, "61")
        assert (await page.get("/flows")).status == 200
        stranger.client = ("127.0.0.2", 1)
        assert (await stranger.get(f"/?token={TOKEN}")).status == 303
        stranger.client = ("127.0.0.1", 1)
        now[0] += 60.1
        assert (await stranger.get(f"/?token={TOKEN}")).status == 303


async def test_a37_links_on_other_pages_lock_nobody_out(tmp_path: Path) -> None:
    async with console_in(tmp_path) as console:
        browser = Asgi(console.application, fields={"Host": HOST})
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        for guess in range(5):
            assert (await browser.get(f"/?token=guess-{guess}", elsewhere)).status == 401
        assert (await browser.get(f"/?token={TOKEN}", elsewhere)).status == 429
        assert (await browser.get(f"/?token={TOKEN}")).status == 303


def test_a37_however_many_addresses_try_little_is_kept_of_them() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for number in range(3 * MOST_ADDRESSES):
        for _ in range(7):
            tries.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(tries._wrong) == MOST_ADDRESSES
    assert max(len(times) for times in tries._wrong.values()) == 5


ROLES = {
    "GET /flows": Role.VIEWER,
    "GET /desk": Role.VIEWER,
    "GET /overview": Role.VIEWER,
    "GET /openapi.json": Role.VIEWER,
    "GET /firewall": Role.VIEWER,
    "POST /session": Role.VIEWER,
    "POST /flows/1/mark": Role.EDITOR,
    "POST /flows/1/replay": Role.EDITOR,
    "POST /firewall/try": Role.EDITOR,
    "POST /flows/import": Role.EDITOR,
    "PUT /desk/x": Role.EDITOR,
    "POST /desk/x/release": Role.EDITOR,
    "POST /desk/x/review": Role.EDITOR,
    "DELETE /desk/rules/1": Role.EDITOR,
    "PUT /spool/x/content": Role.EDITOR,
    "POST /spool/x/drop": Role.EDITOR,
    "GET /config": Role.ADMIN,
    "GET /console": Role.ADMIN,
    "POST /reload": Role.ADMIN,
    "POST /drain": Role.ADMIN,
}


@pytest.mark.parametrize("role", list(Role))
async def test_a37_each_role_may_do_what_it_is_for(console: Console, role: Role) -> None:
    page = await console.page(role.name.lower())
    assert (await page.get("/session")).json["role"] == role.name.lower()
    for asked, needed in ROLES.items():
        method, path = asked.split(" ")
        answer = await page.ask(method, path, b"{}" if method != "GET" else b"")
        refused = answer.status == 403
        assert refused == (role < needed), (asked, answer)
    assert console.instance.ended == (role is Role.ADMIN)


async def test_a_reviewer_is_known_by_the_name_given(console: Console) -> None:
    page = await console.page()
    answer = await page.post("/session", {"reviewer": "  Ann \u202e\n B.  "})
    assert answer.json["reviewer"] == "Ann B."
    page.fields["Cookie"] = answer.fields["set-cookie"].partition(";")[0]
    assert (await page.get("/session")).json["reviewer"] == "Ann B."
    assert (await page.post("/session", {"reviewer": " \n"})).status == 422
    assert (await page.post("/session", {"reviewer": "x" * 1000})).json["reviewer"] == "x" * 64


def test_a_session_is_believed_only_as_it_was_made() -> None:
    ours, others = Sessions(TOKEN), Sessions(TOKEN[::-1])
    session = ours.begin(Role.VIEWER, "ann")
    cookie = ours.cookie(session)
    assert ours.session_of(cookie) == session
    assert others.session_of(cookie) is None
    data, _, seal = cookie.partition(".")
    admin = ours.cookie(ours.begin(Role.ADMIN)).partition(".")[0]
    for forged in (
        "",
        ".",
        data,
        f"{data}.",
        f".{seal}",
        f"{admin}.{seal}",
        f"{data}.{seal[:-2]}",
        "\u00e9.\u00e9",
        "x" * 5000,
    ):
        assert ours.session_of(forged) is None, forged
    assert ours.request_token(session) != ours.request_token(ours.begin(Role.VIEWER, "ann"))
    assert len({*ours.tokens.values(), *others.tokens.values()}) == 6
    for role, token in ours.tokens.items():
        assert ours.role_of(token) is role
        assert others.role_of(token) is None


def test_a_token_that_could_be_guessed_is_not_taken() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Access("secret", port=1)


async def test_a_stale_cookie_asks_for_the_link_and_is_no_wrong_token(console: Console) -> None:
    browser = Asgi(console.application, "/api/v1", {"Host": HOST, "Cookie": "interpose-8081=abc.def; other=1"})
    for _ in range(7):
        answer = await browser.get("/flows")
        assert (answer.status, answer.json["errors"][0][:13]) == (401, "Open the link")

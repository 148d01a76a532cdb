"""What servers are told of who asks."""

from __future__ import annotations

import time
from typing import Any

import pytest

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.privacy.fields import general_user_agent, site_of
from interpose.filters.privacy.filter import Privacy
from interpose.filters.privacy.options import PrivacyRule
from interpose.protocol import forwarding

FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux aarch64; rv:140.0) Gecko/20100101 Firefox/140.2"
BROWSER = [
    ("User-Agent", FIREFOX),
    ("Accept", "text/html,*/*"),
    ("Accept-Language", "de-CH,de;q=0.9,en;q=0.5"),
    ("Referer", "https://news.example/politics/article?id=7"),
    ("Cookie", "id=7"),
    ("Authorization", "Bearer x"),
    ("If-None-Match", '"7"'),
    ("Sec-CH-UA-Platform", '"Linux"'),
    ("Device-Memory", "8"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("Via", "1.1 laptop, 1.1 interpose"),
    ("From", "alice@example.com"),
    ("traceparent", "00-1-1-01"),
    ("DNT", "0"),
]
TO_A_PAGE = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
EMBEDDED = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")]
OF_THE_SITE = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", "image")]


def exchange(client: str = "10.0.0.7", user: str | None = None) -> Exchange:
    made = Exchange(1, 0, "web", Address(client, 4711), 0.0)
    made.user = user
    return made


def request(*fields: tuple[str, str], host: str = "shop.example", method: str = "GET") -> Request:
    return Request(method, Target(Form.ABSOLUTE, "https", Authority(host), "/"), Fields(fields))


class Server:
    def __init__(self, *fields: tuple[str, str], at_once: bool = False) -> None:
        self.seen: list[tuple[str, str]] = []
        self._fields = fields
        self._at_once = at_once

    def __call__(self, exchange: Exchange, request: Request) -> Any:
        self.seen = list(request.fields)
        answered = Answered(Response(200, Fields(self._fields)))
        return answered if self._at_once else self._later(answered)

    async def _later(self, answered: Answered) -> Response:
        return answered.response


async def seen(
    rules: list[PrivacyRule], asked: Request, on: Exchange | None = None, trusted: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    server = Server()
    await Privacy(rules, trusted)(on or exchange(), asked, server)
    return server.seen


async def test_a_server_learns_little_from_who_goes_to_its_page() -> None:
    assert await seen([PrivacyRule()], request(*BROWSER, *TO_A_PAGE)) == [
        ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("Accept", "text/html,*/*"),
        ("Accept-Language", "de"),
        ("Referer", "https://news.example/"),
        ("Cookie", "id=7"),
        ("Authorization", "Bearer x"),
        ("If-None-Match", '"7"'),
        *TO_A_PAGE,
        ("DNT", "1"),
        ("Sec-GPC", "1"),
    ]


async def test_what_another_site_embeds_gets_no_cookies_and_no_tags() -> None:
    names = [name for name, _ in await seen([PrivacyRule()], request(*BROWSER, *EMBEDDED))]
    assert "Cookie" not in names
    assert "If-None-Match" not in names
    assert "Authorization" in names
    names = [name for name, _ in await seen([PrivacyRule()], request(*BROWSER, *OF_THE_SITE))]
    assert "Cookie" in names
    assert "If-None-Match" in names


@pytest.mark.parametrize(
    ("fields", "keeps"),
    [
        ([("Referer", "http://other.example/x"), ("Accept", "image/png")], False),
        ([("Origin", "http://other.example"), ("Accept", "*/*")], False),
        ([("Referer", "http://other.example/x"), ("Accept", "text/html,*/*")], True),
        ([("Referer", "http://www.shop.example/x"), ("Accept", "image/png")], True),
        ([("Accept", "image/png")], True),
        ([("Origin", "null"), ("Accept", "*/*")], True),
    ],
)
async def test_where_browsers_do_not_say_it_other_fields_tell_a_third_party(
    fields: list[tuple[str, str]], keeps: bool
) -> None:
    told = await seen([PrivacyRule()], request(*fields, ("Cookie", "id=7")))
    assert (("Cookie", "id=7") in told) == keeps


async def test_answers_bring_no_cookies_tags_and_wishes_either() -> None:
    answer = [
        ("Set-Cookie", "id=7"),
        ("ETag", '"7"'),
        ("Last-Modified", "Fri, 01 Aug 2025 08:00:00 GMT"),
        ("Accept-CH", "Device-Memory"),
        ("Cache-Control", "max-age=60"),
    ]
    for at_once in (False, True):
        response = await Privacy([PrivacyRule()])(exchange(), request(*EMBEDDED), Server(*answer, at_once=at_once))
        assert list(response.fields) == [("Cache-Control", "max-age=60")]
        response = await Privacy([PrivacyRule()])(exchange(), request(*TO_A_PAGE), Server(*answer, at_once=at_once))
        assert [name for name, _ in response.fields] == ["Set-Cookie", "ETag", "Last-Modified", "Cache-Control"]


KEYS = [
    ("referer", "remove", ("Referer", None)),
    ("referer", "same-site", ("Referer", None)),
    ("referer", "keep", ("Referer", "https://news.example/politics/article?id=7")),
    ("user_agent", "remove", ("User-Agent", None)),
    ("user_agent", "keep", ("User-Agent", FIREFOX)),
    ("languages", "remove", ("Accept-Language", None)),
    ("languages", "keep", ("Accept-Language", "de-CH,de;q=0.9,en;q=0.5")),
    ("client_hints", "keep", ("Device-Memory", "8")),
    ("cookies", "remove", ("Cookie", None)),
    ("validators", "remove", ("If-None-Match", None)),
    ("identifiers", "keep", ("traceparent", "00-1-1-01")),
    ("signals", "keep", ("DNT", "0")),
    ("trail", "keep", ("X-Forwarded-For", "192.0.2.1")),
]


@pytest.mark.parametrize(("key", "value", "expected"), KEYS)
async def test_each_key_says_otherwise_for_itself(key: str, value: str, expected: tuple[str, str | None]) -> None:
    name, shown = expected
    told = dict(await seen([PrivacyRule(**{key: value})], request(*BROWSER, *TO_A_PAGE)))
    assert told.get(name) == shown
    anonymous = dict(await seen([PrivacyRule()], request(*BROWSER, *TO_A_PAGE)))
    assert anonymous.get(name) != shown, "the profile says something else"


async def test_the_first_rule_that_means_a_request_decides() -> None:
    rules = [
        PrivacyRule(name="bank", when="host:bank.example", profile="keep"),
        PrivacyRule(name="partner", when="host:*.partner.example", profile="identify"),
        PrivacyRule(),
    ]
    on = exchange()
    assert await seen(rules, request(*BROWSER, host="bank.example"), on) == BROWSER
    assert "privacy" not in on.notes
    on = exchange(user="alice")
    told = await seen(rules, request(*BROWSER, host="a.partner.example"), on)
    assert ("X-Real-IP", "10.0.0.7") in told
    assert on.notes["privacy"] == "partner"
    on = exchange()
    await seen(rules, request(*BROWSER), on)
    assert on.notes["privacy"] == "anonymous"


IDENTIFY = [PrivacyRule(when="host:shop.example", profile="identify")]


@pytest.mark.parametrize("user", ["alice", 'al"ice\r\nX: y', "Jörg", None])
async def test_a10_a11_a_trusted_server_is_told_who_asks_and_nobody_else_can_say_so(user: str | None) -> None:
    """(THREATS A10, A11)"""
    forged = [(name.decode(), "192.0.2.66") for name in sorted(forwarding.IDENTITY)]
    told = dict(await seen(IDENTIFY, request(*forged), exchange(user=user)))
    assert not any("192.0.2.66" in value for value in told.values())
    said = {"alice": "alice", 'al"ice\r\nX: y': "al%22ice%0D%0AX%3A%20y", "Jörg": "J%C3%B6rg"}
    suffix = "" if user is None else f';user="{said[user]}"'
    assert told == {
        "X-Forwarded-For": "10.0.0.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Real-IP": "10.0.0.7",
        "Forwarded": f"for=10.0.0.7;host=shop.example;proto=https{suffix}",
        **({} if user is None else {"X-Forwarded-User": said[user]}),
    }


async def test_a11_a_trusted_proxy_before_this_one_is_believed_and_added_to() -> None:
    """(THREATS A11)"""
    claimed = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")]
    told = dict(await seen(IDENTIFY, request(*claimed), trusted=("10.0.0.0/8",)))
    assert told["X-Forwarded-For"] == "192.0.2.1, 10.0.0.7"
    assert told["Forwarded"].startswith("for=192.0.2.1, for=10.0.0.7;")


async def test_a11_no_field_that_claims_somebody_passes_an_anonymous_profile() -> None:
    """(THREATS A11)"""
    forged = [(name.decode(), "192.0.2.66") for name in sorted(forwarding.IDENTITY | {b"via"})]
    told = await seen([PrivacyRule()], request(*forged))
    assert told == [("DNT", "1"), ("Sec-GPC", "1")]


async def test_a_part_whose_tag_went_is_asked_for_whole() -> None:
    rules = [PrivacyRule(profile="keep", validators="remove")]
    assert await seen(rules, request(("Range", "bytes=5-"), ("If-Range", '"7"'))) == []
    assert await seen(rules, request(("Range", "bytes=5-"))) == [("Range", "bytes=5-")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("curl/8.14.1", "curl"),
        ("python-requests/2.32 (alice@example.com)", "python-requests"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.7390.54 "
         "Mobile Safari/537.36",
         "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
         "Safari/537.36"),
        ("Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.1.2 Safari/537.36 Edg/141.7",
         "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
         "Safari/537.36 Edg/141.0.0.0"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/18.6 Mobile/15E148 Safari/604.1",
         "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
         "Safari/605.1.15"),
        ("(odd)", "Mozilla/5.0"),
        ("Mozilla/5.0 (Unknown; of 2031) Browser/7", "Mozilla/5.0"),
    ],
)  # fmt: skip
def test_a_browser_looks_like_many_others(value: str, shown: str) -> None:
    assert general_user_agent(value.encode()) == shown


def test_no_field_makes_this_slow() -> None:
    for value in (b"Version/1" * 900, b"Version/" + b"1" * 8000, b"Firefox/" * 1000, b"a" * 8000):
        began = time.process_time()
        general_user_agent(value)
        assert time.process_time() - began < 0.05


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("www.example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_names_of_one_site(host: str, site: str) -> None:
    assert site_of(host) == site


async def test_a_tunnel_and_what_no_rule_means_pass_as_they_are() -> None:
    server = Server(at_once=True)
    fields = [("User-Agent", FIREFOX)]
    privacy = Privacy([PrivacyRule(when="host:other.example")])
    assert type(privacy(exchange(), request(*fields), server)) is Answered
    assert server.seen == fields
    everything = Privacy([PrivacyRule()])
    await everything(exchange(), request(*fields, method="CONNECT"), server)
    assert server.seen == fields

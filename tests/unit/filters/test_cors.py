"""Which other sites' scripts may read answers."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.cors import Cors, CorsOptions

APP = "https://app.example"
SITES = (APP, "https://*.partner.example", "http://localhost:3000")


class Server:
    def __init__(self, *fields: tuple[str, str]) -> None:
        self.times = 0
        self._fields = fields

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.times += 1
        return Response(200, Fields(self._fields))


def exchange() -> Exchange:
    return Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)


def request(method: str, *fields: tuple[str, str]) -> Request:
    return Request(method, Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields(fields))


def preflight(origin: str, method: str, names: str = "") -> Request:
    asked = [("Origin", origin), ("Access-Control-Request-Method", method)]
    return request("OPTIONS", *asked, *([("Access-Control-Request-Headers", names)] if names else []))


def of_cors(response: Response) -> dict[str, str]:
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in response.fields
        if name.startswith("Access-Control-")
    }


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (APP, True),
        ("HTTPS://APP.example", True),
        ("https://x.partner.example", True),
        ("https://x.y.partner.example", True),
        ("https://partner.example", False),
        ("https://evil.example/.partner.example", False),
        ("https://evil.example:1@x.partner.example", False),
        ("https://.partner.example", False),
        ("https://x..partner.example", False),
        ("http://app.example", False),
        ("https://app.example:444", False),
        ("https://app.example.evil", False),
        ("http://localhost:3000", True),
        ("null", False),
        ("*", False),
    ],
)
async def test_a_site_is_told_that_it_may_read_and_no_other_one_is(origin: str, allowed: bool) -> None:
    server = Server(("Access-Control-Allow-Origin", "*"), ("Vary", "Accept"))
    cors = Cors(CorsOptions(origins=SITES, credentials=True, expose=("X-Total",)))
    response = await cors(exchange(), request("GET", ("Origin", origin)), server)
    assert of_cors(response) == (
        {"Allow-Origin": origin, "Allow-Credentials": "true", "Expose-Headers": "X-Total"} if allowed else {}
    )
    assert response.fields["Vary"] == "Accept, Origin"
    refused = await cors(exchange(), preflight(origin, "GET"), server)
    assert (refused.status == 204) is allowed


async def test_without_an_origin_caches_are_told_that_it_matters() -> None:
    response = await Cors(CorsOptions(origins=SITES))(exchange(), request("GET"), Server(("Vary", "x, ORIGIN")))
    assert list(response.fields) == [("Vary", "x, ORIGIN")]
    response = await Cors(CorsOptions(origins=SITES))(exchange(), request("GET"), Server())
    assert list(response.fields) == [("Vary", "Origin")]


async def test_for_all_sites_the_answer_is_the_same_for_each() -> None:
    for asked in (request("GET"), request("GET", ("Origin", "https://any.example"))):
        response = await Cors(CorsOptions(origins=("*",)))(exchange(), asked, Server())
        assert list(response.fields) == [("Access-Control-Allow-Origin", "*")]


async def test_a_preflight_is_answered_without_asking_the_server() -> None:
    server = Server()
    cors = Cors(CorsOptions(origins=SITES, fields=("X-Token", "Content-Type"), max_age_s=60), methods=("PUT",))
    answering = cors(exchange(), preflight(APP, "PUT", "content-type, x-token"), server)
    assert isinstance(answering, Answered)
    response = answering.response
    assert (response.status, server.times) == (204, 0)
    assert of_cors(response) == {
        "Allow-Origin": APP,
        "Allow-Methods": "PUT",
        "Allow-Headers": "X-Token, Content-Type",
        "Max-Age": "60",
    }
    assert response.fields["Vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@pytest.mark.parametrize(
    ("method", "names", "rule"),
    [("DELETE", "", "methods"), ("GET", "X-Other", "fields"), ("GET", "a\t b", "fields"), ("get", "", "methods")],
)
async def test_a_preflight_for_more_than_is_allowed_is_refused_with_a_note(method: str, names: str, rule: str) -> None:
    told = exchange()
    server = Server()
    response = await Cors(CorsOptions(origins=SITES), methods=("GET",))(told, preflight(APP, method, names), server)
    assert (response.status, server.times, of_cors(response)) == (403, 0, {})
    assert (told.notes["filter"], told.notes["rule"]) == ("cors", rule)


async def test_any_field_is_granted_by_name() -> None:
    cors = Cors(CorsOptions(origins=SITES, fields=("*",)))
    response = await cors(exchange(), preflight(APP, "POST", "X-A, X-B"), Server())
    assert of_cors(response)["Allow-Headers"] == "X-A, X-B"
    assert of_cors(response)["Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"


async def test_options_that_is_no_preflight_goes_on() -> None:
    server = Server()
    await Cors(CorsOptions(origins=SITES))(exchange(), request("OPTIONS", ("Origin", APP)), server)
    await Cors(CorsOptions(origins=SITES))(exchange(), request("OPTIONS"), server)
    assert server.times == 2

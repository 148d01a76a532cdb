"""What a service is told of a request, and what follows from its answer."""

from typing import Any

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.authentication.claimed_fields import ClaimedFields
from interpose.filters.authentication.filter import Authentication
from interpose.filters.authentication.forward import Answer, Forward
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.verdict import Authenticator

YES = (200, Fields([("Remote-User", "anna"), ("Remote-Groups", "staff, admins,,"), ("X-Auth-Tenant", "7")]), b"ok")
NO = (401, Fields([("WWW-Authenticate", 'Basic realm="sso"'), ("X-Why", "because")]), b"log in")
LOGIN = (302, Fields([("Location", "https://sso.example/login"), ("Set-Cookie", "state=1")]), b"")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A filter over a service: what it was asked, what it says, what reached the origin."""

    def __init__(
        self, *, proxy: bool = False, behind: bool = True, others: tuple[Authenticator, ...] = (), **given: Any
    ) -> None:
        keys = {"response_fields": ("X-Auth-Tenant",), "user_field": "remote-user", "groups_field": "Remote-Groups"}
        table = AuthenticationOptions(name="sso", kind="forward", url="http://sso/verify", **{**keys, **given})
        self.clock = Clock()
        forward = Forward(table, self.ask_service, believes_fields=behind, clock=self.clock)
        self.filter = Authentication([*others, forward], proxy=proxy, owned=table.response_fields)
        self.field = "Proxy-Authorization" if proxy else "Authorization"
        self.says: Answer | Failure = YES
        self.asked: list[Fields] = []
        self.seen: list[Request] = []

    async def ask_service(self, fields: Fields) -> Answer:
        self.asked.append(fields)
        if isinstance(self.says, Failure):
            raise self.says
        status, answered, content = self.says
        return status, answered.copy(), content

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        return Response(200)

    async def ask(
        self, *fields: tuple[str, str], method: str = "GET", target: Target | None = None, host: str = "192.0.2.1"
    ) -> Response:
        self.exchange = Exchange(1, 0, "main", Address(host, 50000), 0.0, "https")
        target = target or Target(Form.ORIGIN, "https", Authority("shop.example", 8443), "/a", "b=c")
        return await self.filter(self.exchange, Request(method, target, Fields(fields)), self.origin)


async def test_the_service_is_told_of_the_request_and_no_more() -> None:
    place = Place(request_fields=("Authorization", "Cookie", "X-Device"))
    await place.ask(
        ("Authorization", "Bearer x"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
        ("X-Secret", "y"),
        ("X-Forwarded-For", "198.51.100.9, 192.0.2.1"),
        ("X-Forwarded-Proto", "http"),
        method="DELETE",
    )
    assert list(place.asked[0]) == [
        ("X-Forwarded-Method", "DELETE"),
        ("X-Forwarded-Uri", "/a?b=c"),
        ("X-Forwarded-Host", "shop.example:8443"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-For", "198.51.100.9, 192.0.2.1"),
        ("Authorization", "Bearer x"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
    ]


async def test_a11_before_the_fields_are_seen_to_only_the_connection_is_believed() -> None:
    place = Place(proxy=True, behind=False)
    tunnel = Target(Form.AUTHORITY, "", Authority("shop.example", 443), "")
    fields = (("X-Forwarded-For", "127.0.0.1"), ("Authorization", "for the origin"))
    await place.ask(*fields, ("Proxy-Authorization", "Basic eDp5"), method="CONNECT", target=tunnel)
    assert list(place.asked[0]) == [
        ("X-Forwarded-Method", "CONNECT"),
        ("X-Forwarded-Uri", "shop.example:443"),
        ("X-Forwarded-Host", "shop.example:443"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Authorization", "Basic eDp5"),
    ]
    assert list(place.seen[0].fields) == [*fields, ("X-Auth-Tenant", "7")]


async def test_a11_what_the_service_says_goes_on_and_nobody_else_says_it() -> None:
    place = Place()
    spoofed = [("X-Auth-Tenant", "1"), ("x-auth_tenant", "2"), ("X_Auth_Tenant", "3"), ("X_AUTH-TENANT", "4")]
    await place.ask(*spoofed, ("Accept", "*/*"))
    assert list(place.seen[0].fields) == [("Accept", "*/*"), ("X-Auth-Tenant", "7")]
    assert (place.exchange.user, place.exchange.groups) == ("anna", ("staff", "admins"))
    place.says = (204, Fields(), b"")
    await place.ask(*spoofed)
    assert (list(place.seen[1].fields), place.exchange.user, place.exchange.groups) == ([], None, None)


async def test_a11_claimed_fields_go_on_every_route_but_credentials_stay() -> None:
    seen: list[Request] = []

    async def origin(exchange: Exchange, request: Request) -> Response:
        seen.append(request)
        return Response(200)

    fields = Fields([("X_Auth-Tenant", "1"), ("Authorization", "x"), ("x-auth-tenant", "2"), ("X-Auth", "3")])
    target = Target(Form.ORIGIN, "http", Authority("a"), "/")
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 1), 0.0)
    await ClaimedFields(["X-Auth-Tenant", "Authorization"])(exchange, Request("GET", target, fields), origin)
    assert list(seen[0].fields) == [("Authorization", "x"), ("X-Auth", "3")]


async def test_the_service_may_exchange_credentials() -> None:
    place = Place(response_fields=("Authorization",))
    place.says = (200, Fields([("Authorization", "Bearer inner")]), b"")
    await place.ask(("Authorization", "Basic outer"))
    assert list(place.seen[0].fields) == [("Authorization", "Bearer inner")]


@pytest.mark.parametrize("answer", [NO, LOGIN, (403, Fields([("X-Why", "no")]), b"no")])
async def test_any_other_answer_goes_to_the_client(answer: Answer) -> None:
    place = Place()
    place.says = answer
    response = await place.ask()
    assert (response.status, list(response.fields), response.body.arrived) == (answer[0], list(answer[1]), answer[2])
    assert place.exchange.notes == {
        "filter": "auth",
        "rule": "service sso",
        "why": "The service that is asked did not let it in.",
    }
    assert place.seen == []


async def test_a_proxy_asks_in_its_own_name() -> None:
    place = Place(proxy=True, behind=False)
    place.says = NO
    response = await place.ask()
    assert (response.status, list(response.fields)) == (
        407,
        [("X-Why", "because"), ("Proxy-Authenticate", 'Basic realm="sso"')],
    )


class Other:
    """Somebody who recognises one value."""

    rule, missing, unknown = "other", "missing", "unknown"
    challenge = rejected = 'Custom realm="x"'

    async def judge(self, exchange: Exchange, request: Request, credentials: bytes | None) -> Any:
        from interpose.filters.authentication.verdict import Pass

        return Pass() if credentials == b"Custom 1" else None


async def test_several_are_asked_in_order_and_each_has_its_challenge() -> None:
    place = Place(others=(Other(),))
    place.says = NO
    response = await place.ask()
    assert response.fields.get_all("WWW-Authenticate") == ['Basic realm="sso"', 'Custom realm="x"']
    assert (await place.ask(("Authorization", "Custom 2"))).status == 401
    assert len(place.asked) == 2
    spoofed = ("X-Auth-Tenant", "1")
    assert (await place.ask(("Authorization", "Custom 1"), spoofed)).status == 200
    assert (len(place.asked), list(place.seen[0].fields)) == (2, [("Authorization", "Custom 1")])


@pytest.mark.parametrize(
    "says", [Failure("http_response_timeout", Side.UPSTREAM, "no answer"), (500, Fields(), b""), (503, Fields(), b"")]
)
async def test_when_it_fails_nobody_comes_in_unless_that_is_wanted(
    says: Answer | Failure, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place()
    place.says = says
    for _ in range(2):
        with pytest.raises(Failure) as refused:
            await place.ask()
    assert (refused.value.status, place.exchange.notes["filter"], place.seen) == (503, "auth", [])
    assert len(caplog.messages) == 1
    place = Place(on_failure="allow")
    place.says = says
    assert (await place.ask(("X-Auth-Tenant", "1"))).status == 200
    assert (place.exchange.user, list(place.seen[0].fields)) == (None, [])
    assert place.exchange.notes == {"unauthenticated": "service sso did not answer"}


async def test_an_answer_holds_for_what_is_the_same() -> None:
    place = Place(cache_s=10.0)
    other = Target(Form.ORIGIN, "https", Authority("shop.example", 8443), "/other")
    for later, asked in ((0, 1), (9, 1), (10, 2)):
        place.clock.now = 1000.0 + later
        assert (await place.ask(("Cookie", "a"))).status == 200
        assert (place.exchange.user, len(place.asked)) == ("anna", asked)
    differing: list[dict[str, Any]] = [{"method": "PUT"}, {"target": other}, {"host": "192.0.2.2"}]
    for number, what in enumerate(differing):
        await place.ask(("Cookie", "a"), **what)
        assert len(place.asked) == 3 + number
    await place.ask(("Cookie", "b"))
    assert len(place.asked) == 6
    await place.ask(("Cookie", "a"), ("X-Secret", "any"))
    assert len(place.asked) == 6
    await place.ask(("Cookie", "a"), ("X-Forwarded-Proto", "http"))  # the service may want TLS for it
    assert len(place.asked) == 7


async def test_an_answer_may_hold_for_whoever_has_the_cookie() -> None:
    place = Place(cache_s=10.0, cache_by=())
    await place.ask(("Cookie", "a"), method="GET")
    await place.ask(("Cookie", "a"), method="PUT", host="192.0.2.7")
    await place.ask(("Cookie", "a=b"), ("Cookie", "c"))
    await place.ask(("Cookie", "a=b; c"))
    assert len(place.asked) == 3


async def test_only_yes_is_kept() -> None:
    place = Place(cache_s=10.0)
    for says in (LOGIN, (403, Fields(), b""), YES, YES):
        place.says = says
        await place.ask(("Cookie", "a"))
    assert len(place.asked) == 3


async def test_a37_after_five_wrong_credentials_a_client_waits() -> None:
    place = Place()
    place.says = NO
    for number in (1, 1, 2, 3, 4, 5):
        assert (await place.ask(("Authorization", f"Basic {number}"))).status == 401
    assert (await place.ask(("Authorization", "Basic 6"))).status == 429
    assert place.exchange.notes["rule"] == "tries_per_minute = 5"
    assert len(place.asked) == 6
    place.says = YES
    assert (await place.ask(("Cookie", "session=good"))).status == 200
    assert (await place.ask(("Authorization", "Basic 6"), host="192.0.2.2")).status == 200
    place.clock.now += 61
    assert (await place.ask(("Authorization", "Basic 6"))).status == 200


async def test_a37_no_credentials_are_kept_as_they_came() -> None:
    place = Place(cache_s=10.0)
    await place.ask(("Authorization", "Bearer canary-1"), ("Cookie", "canary-2"))
    place.says = NO
    await place.ask(("Authorization", "Bearer canary-3"))
    forward = place.filter._authenticators[0]
    assert isinstance(forward, Forward)
    kept = repr(forward._remembered._known) + repr([t.wrong for t in forward._brake._tries.values()])
    assert "anna" in kept
    assert "canary" not in kept

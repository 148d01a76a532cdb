import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.allow import Allow, AllowOptions

REQUEST = Request("GET", Target(Form.ORIGIN, "http", Authority("example.org"), "/"), Fields())


async def answer(exchange: Exchange, request: Request) -> Response:
    return Response(200)


async def ask(allow: Allow, host: str, port: int = 50000) -> Exchange:
    exchange = Exchange(1, 0, "main", Address(host, port), 0.0)
    response = await allow(exchange, REQUEST, forward=answer)
    assert response.status == 200
    return exchange


NETWORKS = ("127.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fe80::/10")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.255.255.255", "192.0.2.7", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:c000:207", "fe80::1%eth0"],
)
async def test_a19_a_client_in_a_network_is_served(host: str) -> None:
    allow = Allow(AllowOptions(allow_from=NETWORKS))
    await ask(allow, host)
    await ask(allow, host)


@pytest.mark.parametrize(
    "host", ["128.0.0.1", "192.0.2.8", "::1", "2001:db9::1", "::ffff:128.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "", "x"]
)
async def test_a19_any_other_client_is_refused_and_told_by_whom(host: str) -> None:
    allow = Allow(AllowOptions(allow_from=NETWORKS))
    for _ in range(2):
        exchange = Exchange(1, 0, "main", Address(host, 50000), 0.0)
        with pytest.raises(Failure) as refusal:
            await allow(exchange, REQUEST, forward=answer)
        assert (refusal.value.kind, refusal.value.status) == ("http_request_denied", 403)
        assert exchange.notes == {
            "filter": "allow",
            "rule": "allow_from = ['127.0.0.0/8', '192.0.2.7', '2001:db8::/32', 'fe80::/10']",
            "why": f"{host} is in none of the networks that this listener serves.",
        }


async def test_the_permissions_of_a_unix_socket_decide_for_it() -> None:
    await ask(Allow(AllowOptions(allow_from=NETWORKS)), "", 0)

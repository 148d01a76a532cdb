"""Where the clients of a proxy may go."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.destination import Destination, DestinationOptions


async def end(exchange: Exchange, request: Request) -> Response:
    return Response(200)


def asked(form: Form, port: int | None) -> tuple[Exchange, Request]:
    target = Target(form, "http", Authority("origin.example", port), "" if form is Form.AUTHORITY else "/")
    exchange = Exchange(1, 0, "proxy", Address("127.0.0.1", 4711), 0.0)
    return exchange, Request("CONNECT" if form is Form.AUTHORITY else "GET", target, Fields())


@pytest.mark.parametrize(
    ("form", "port", "ports"),
    [
        (Form.AUTHORITY, 443, None),
        (Form.AUTHORITY, 8443, None),
        (Form.AUTHORITY, 443, (443,)),
        (Form.AUTHORITY, 25, (25,)),
        (Form.ABSOLUTE, None, None),
        (Form.ABSOLUTE, 8080, (443,)),
        (Form.ABSOLUTE, 6379, (443, 6379)),
    ],
)
async def test_a21_what_is_allowed_goes_on(form: Form, port: int | None, ports: tuple[int, ...] | None) -> None:
    response = await Destination(DestinationOptions(connect_ports=ports))(*asked(form, port), end)
    assert response.status == 200


@pytest.mark.parametrize(
    ("form", "port", "ports"),
    [
        (Form.AUTHORITY, 25, None),
        (Form.AUTHORITY, 6379, None),
        (Form.AUTHORITY, 8443, (443,)),
        (Form.ABSOLUTE, 25, None),
        (Form.ABSOLUTE, 22, (443,)),
        (Form.ABSOLUTE, 6379, None),
    ],
)
async def test_a21_what_is_not_is_refused_with_its_rule(form: Form, port: int, ports: tuple[int, ...] | None) -> None:
    exchange, request = asked(form, port)
    with pytest.raises(Failure) as refused:
        await Destination(DestinationOptions(connect_ports=ports))(exchange, request, end)
    assert refused.value.status == 403
    assert exchange.notes["rule"] == "connect_ports"


@pytest.mark.parametrize(
    ("ports", "port", "allowed"),
    [(None, 22, False), (None, 80, True), ((443,), 443, True), ((443,), 80, False), ((22,), 22, True)],
)
def test_a_port_is_judged_below_http_as_in_connect(ports: tuple[int, ...] | None, port: int, allowed: bool) -> None:
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    destination = Destination(DestinationOptions(connect_ports=ports))
    if allowed:
        destination.demand(exchange, port)
        return
    with pytest.raises(Failure, match=f"port {port} "):
        destination.demand(exchange, port)
    assert exchange.notes["rule"] == "connect_ports"

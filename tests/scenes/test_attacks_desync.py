"""A4, A5, A6: bodies that nobody reads, bytes for a protocol that never comes, versions that are none.

Each client tries to have a request read where there is none; the origin's bytes and the log say whether it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.scenes import judge
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, saying, silent

from interpose import Config, gateway_config, proxy_config
from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
REAL = b"GET /real HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"


def early(origin: str, **listener: Any) -> Config:
    """A gateway that answers `/early` itself, without a look at the body, and sends everything else to `origin`."""
    return config_of(
        {
            "listener": [{"name": "main", "role": "gateway", "address": LOCAL[0], "upstream": "up", **listener}],
            "upstream": [{"name": "up", "servers": [origin]}],
            "route": [{"path": "/early", "answer": {"status": 200, "text": "early"}}],
        }
    )


def logged(running: Product) -> list[tuple[str, int]]:
    return [(line["target"].removeprefix("http://a"), line["status"]) for line in running.log]


def targets(origin: RawOrigin) -> list[str]:
    return [request.target for request in origin.requests()]


# --- A4 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a4_a_body_behind_an_early_answer_is_never_read_as_a_request(is_chunked: bool, at_once: bool) -> None:
    framing, body = b"Content-Length: %d" % len(SMUGGLED), SMUGGLED
    if is_chunked:
        framing, body = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    head = b"POST /early HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n"
    async with (
        RawOrigin(answering(OK)) as origin,
        product(early(origin.address)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(head + body + REAL if at_once else head)
        [first] = await client.answers("POST")
        if not at_once:
            client.send(body + REAL)
        if first.closes:
            assert await client.rest() == b""
        else:
            [second] = await client.answers("GET")
            assert second.body == b"ok"
    assert first.body == b"early"
    assert first.closes == (is_chunked and not at_once)  # its end is not in sight
    real = [] if first.closes else ["/real"]
    assert targets(origin) == real
    assert logged(running) == [("/early", 200), *[(target, 200) for target in real]]


@pytest.mark.parametrize("status", [401, 403, 413])
async def test_a4_a_body_behind_a_refusal_is_never_read_as_a_request(status: int, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(b"anna:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    listener: dict[str, Any] = {
        401: {"auth": str(users)},
        403: {"allow_from": ["192.0.2.0/24"]},
        413: {"limits": {"max_body_bytes": 20}},
    }[status]
    async with (
        RawOrigin(answering(OK)) as origin,
        product(early(origin.address, **listener)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
        [first] = await client.answers("POST")
        if first.closes:
            assert await client.rest() == b""
    assert first.status == status
    assert origin.connections == []
    assert logged(running) == [("/x", status)]


async def test_a4_a_body_that_is_too_large_to_drain_costs_the_connection() -> None:
    async with RawOrigin(answering(OK)) as origin, product(early(origin.address)) as running:
        async with RawClient(running.address()) as client:
            client.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            client.send(b"x" * 70000 + SMUGGLED * 100)
            [answer] = await client.answers("POST")
            client.send(REAL)
            assert await client.rest() == b""
        assert (await ask(running.address(), REAL)).body == b"ok"
    assert (answer.body, answer.closes) == (b"early", True)
    assert targets(origin) == ["/real"]


async def test_a4_a_body_that_never_comes_is_not_waited_for() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(early(origin.address)) as running,
        RawClient(running.address(), deadline_s=3) as client,
    ):
        client.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        [answer] = await client.answers("POST")
        assert await client.rest() == b""
    assert answer.body == b"early"
    assert logged(running) == [("/early", 200)]
    assert origin.connections == []


@pytest.mark.parametrize("sends_it_anyway", [True, False])
async def test_a4_who_expects_continue_and_gets_an_answer_starts_anew(sends_it_anyway: bool) -> None:
    head = b"POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    async with (
        RawOrigin(answering(OK)) as origin,
        product(early(origin.address)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(head)
        [answer] = await client.answers("POST")
        if sends_it_anyway:
            client.send(SMUGGLED + REAL)
        assert await client.rest() == b""
    assert (answer.body, answer.interim, answer.closes) == (b"early", [], True)
    assert origin.connections == []
    assert logged(running) == [("/early", 200)]


async def test_a4_any_other_expectation_is_417() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(
            running.address(), b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc"
        )
    assert (answer.status, answer.closes) == (417, True)
    assert origin.connections == []


async def test_a4_an_origin_that_answers_before_it_has_the_body_gets_no_other_request_behind_it() -> None:
    """(0.CL) What such an origin reads next on that connection would be the rest of a body."""

    async def hasty(connection: Connection) -> None:
        if connection.number == 0:
            await connection.until(b"\r\n\r\n")
            await connection.send(OK)
            await connection.gone()
        else:
            await answering(OK)(connection)

    async with RawOrigin(hasty) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nG" % len(SMUGGLED))
            [first] = await client.answers("POST")
            client.send(SMUGGLED[1:])
            if first.closes:
                await client.rest()
        assert (await ask(running.address(), REAL)).body == b"ok"
    assert b"/real" not in origin.connections[0].received
    assert [request.target for request in judge.read_requests(origin.connections[1].received)] == ["/real"]


# --- A5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin_says", "status"),
    [
        (OK, 200),
        (b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno", 426),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 400),
        (SWITCH % b"h2c", 502),
        (SWITCH % b"websocket, h2c", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", 502),
        (b"HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
        (b"", 504),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a5_bytes_after_upgrade_never_become_a_request(origin_says: bytes, status: int, at_once: bool) -> None:
    script = saying(origin_says) if origin_says else silent
    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"answer_timeout_s": 0.3})
        async with product(config) as running, RawClient(running.address()) as client:
            client.send(UPGRADE + SMUGGLED if at_once else UPGRADE)
            await origin.connected()
            if not at_once:
                await origin.connections[0].until(b"\r\n\r\n")
                client.send(SMUGGLED)
            [answer] = await client.answers("GET")
            if at_once:
                assert await client.rest() == b""
    assert answer.status == status
    seen = b"".join(connection.received for connection in origin.connections)
    assert at_once is False or b"/smuggled" not in seen
    assert b"101" not in client.received
    if at_once:
        assert [line["status"] for line in running.log] == [status]


async def test_a5_bytes_after_upgrade_wait_for_the_switch_and_then_belong_to_the_tunnel() -> None:
    order: list[bytes] = []

    async def switching(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        order.append(connection.received)
        await connection.send(SWITCH % b"websocket" + b"hello")
        await connection.until(SMUGGLED)
        await connection.send(b"bye")
        await connection.gone()

    async with (
        RawOrigin(switching) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(UPGRADE + SMUGGLED)
        await client.until(b"hellobye")
    assert b"/smuggled" not in order[0]
    assert origin.connections[0].received.endswith(b"\r\n\r\n" + SMUGGLED)
    assert [line["status"] for line in running.log] == [101]


async def test_a5_a_switch_that_nobody_asked_for_is_no_tunnel() -> None:
    async with (
        RawOrigin(saying(SWITCH % b"websocket")) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(REAL + SMUGGLED)
        answers = await client.answers("GET", "GET")
    assert [answer.status for answer in answers] == [502, 502]
    assert [judge.read_requests(connection.received)[0].target for connection in origin.connections] == [
        "/real",
        "/smuggled",
    ]


@pytest.mark.parametrize("protocol", [b"h2c", b"h2c, websocket", b"TLS/1.0", b"", b"websocket/13"])
async def test_a5_other_upgrades_are_not_passed_on_and_what_follows_is_an_ordinary_request(protocol: bytes) -> None:
    asks = (
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: %b\r\n\r\n"
    ) % protocol
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(asks + REAL)
        await client.answers("GET", "GET")
    assert targets(origin) == ["/a", "/real"]
    for request in origin.requests():
        assert request.values("upgrade") == request.values("http2-settings") == request.values("connection") == []


async def test_a5_an_upgrade_with_a_body_is_an_ordinary_request() -> None:
    with_body = UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)) + SMUGGLED
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(with_body + REAL)
        await client.answers("GET", "GET")
    assert [(request.target, request.body) for request in origin.requests()] == [("/ws", SMUGGLED), ("/real", b"")]
    assert origin.requests()[0].values("upgrade") == []


@pytest.mark.parametrize("port", ["25", "closed"])
async def test_a5_bytes_after_a_refused_connect_are_no_request(port: str) -> None:
    async with RawOrigin(answering(OK)) as origin:
        closed = RawOrigin(answering(OK))
        async with closed:
            pass
        target = "127.0.0.1:" + (port if port == "25" else str(closed.port))
        smuggled = f"GET http://{origin.address}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        async with product(proxy_config(LOCAL)) as running, RawClient(running.address()) as client:
            client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + smuggled)
            [answer] = await client.answers("CONNECT")
            assert await client.rest() == b""
    assert answer.status == (403 if port == "25" else 502)
    assert origin.connections == []
    assert len(running.log) == 1


async def test_a5_bytes_after_connect_go_through_the_tunnel_as_they_are() -> None:
    async with (
        RawOrigin(saying(b"hello")) as origin,
        product(proxy_config(LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode() + SMUGGLED)
        await client.until(b"hello")
    assert origin.connections[0].received == SMUGGLED
    assert [line["status"] for line in running.log] == [200]


async def test_a5_a_gateway_has_no_tunnels() -> None:
    async with RawOrigin(answering(OK)) as origin, product(early(origin.address)) as running:
        for target in (origin.address, "early:443"):
            async with RawClient(running.address()) as client:
                client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + SMUGGLED)
                [answer] = await client.answers("CONNECT")
                assert (answer.status, answer.closes) == (501, True)
                assert await client.rest() == b""
    assert origin.connections == []


# --- A6 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"GET /\r\n", None),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 400),
    ],
)
async def test_a6_what_is_no_version_of_ours_is_refused_and_closed(wire: bytes, status: int | None) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(wire)
        if status is None:
            client.end()
        else:
            [answer] = await client.answers("GET")
            assert (answer.status, answer.closes) == (status, True)
        assert await client.rest() == b""
    assert origin.connections == []


@pytest.mark.parametrize("version", [b"1.0", b"1.1", b"1.2", b"1.9"])
async def test_a6_minor_versions_go_on_as_1_1(version: bytes) -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n")
    [request] = origin.requests()
    assert (request.version, request.values("via")) == ("1.1", [f"1.{'0' if version == b'1.0' else '1'} interpose"])
    assert (answer.status, answer.version, answer.closes) == (200, "1.1", version == b"1.0")

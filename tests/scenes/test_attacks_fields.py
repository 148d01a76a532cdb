"""A9, A11, A12: fields that claim who a client is, fields that make others vanish, and lists without end."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import Config
from interpose.config.load import config_of

FIELDS = [
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP",
    "Forwarded", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-Originating-IP",
    "X-Remote-IP", "X-Remote-Addr", "X-Forwarded", "X-Forwarded-By", "X-Forwarded-Scheme", "X-Forwarded-Ssl",
    "X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded-Client-Cert", "CF-Connecting-IP", "Fastly-Client-IP",
    "X-Original-URL", "X-Rewrite-URL",
]  # fmt: skip
OURS = {
    "x-forwarded-for": ["127.0.0.1"],
    "x-forwarded-proto": ["http"],
    "x-forwarded-host": ["a"],
    "x-real-ip": ["127.0.0.1"],
    "forwarded": ["for=127.0.0.1;host=a;proto=http"],
}
CLAIM = "203.0.113.66"


def gateway(origin: str, **listener: Any) -> Config:
    return config_of(
        {
            "listener": [
                {"name": "main", "role": "gateway", "address": "127.0.0.1:0", "upstream": "up", **listener},
            ],
            "upstream": [{"name": "up", "servers": [origin]}],
        }
    )


def spelled(name: str) -> list[str]:
    """The ways in which a name is written, which origins cannot all tell apart."""
    return [name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "_").upper()]


# --- A9 ------------------------------------------------------------------------------------------------------------


async def test_a9_connection_takes_off_what_it_names_and_nothing_of_ours() -> None:
    names = [*FIELDS, "Via", "Host", "Content-Length", "Transfer-Encoding", "TE", "Authorization", "Cookie", "Expect",
             "X-Custom", "Date", "Accept-Encoding", "close", "keep-alive", "Upgrade", "Keep-Alive"]  # fmt: skip
    allowed = {"x-custom", "date", "accept-encoding", "te", "close", "keep-alive", "upgrade"}
    passed = set()
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        for name in names:
            for value in (name, f"close, {name.lower()}", f"x,\t{name.upper()} ,"):
                answer = await ask(
                    running.address(),
                    f"POST /{name} HTTP/1.1\r\nHost: a\r\nX-Custom: 1\r\nAuthorization: Basic YTpi\r\n"
                    f"Connection: {value}\r\nContent-Length: 2\r\n\r\nab".encode(),
                    "POST",
                )
                assert answer.status in (200, 400), (name, answer)
                if answer.status == 200:
                    passed.add(name.lower())
    arrived = origin.requests()
    assert {request.target[1:].lower() for request in arrived} == passed
    for request in arrived:
        assert (request.authority, request.body) == ("a", b"ab")
        assert {name: request.values(name) for name in OURS} == OURS
        assert request.values("via") == ["1.1 interpose"]
        assert request.values("authorization") == ["Basic YTpi"]
        assert request.values("connection") == []
        assert bool(request.values("x-custom")) == (request.target != "/X-Custom")
    assert allowed <= passed
    assert not passed & {"x-forwarded-for", "forwarded", "via", "host", "content-length", "transfer-encoding",
                         "authorization", "cookie", "x-real-ip"}  # fmt: skip


async def test_a9_fields_of_one_connection_end_at_this_hop_in_both_directions() -> None:
    hop = (
        b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n"
        b"TE: gzip\r\nUpgrade: foo/2\r\n"
    )
    answer = b"HTTP/1.1 200 OK\r\n" + hop.replace(b"TE: gzip\r\n", b"") + b"X-End: 1\r\nContent-Length: 2\r\n\r\nok"
    async with RawOrigin(answering(answer)) as origin, product(gateway(origin.address)) as running:
        got = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n" + hop + b"X-End: 1\r\n\r\n")
    [request] = origin.requests()
    for message in (request, got):
        assert message.values("x-end") == ["1"]
        for name in ("x-hop", "keep-alive", "proxy-connection", "connection", "te", "upgrade"):
            assert message.values(name) == [], name


# --- A11 -----------------------------------------------------------------------------------------------------------


async def test_a11_what_an_untrusted_client_claims_about_itself_never_arrives() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        for name in FIELDS:
            for spelling in spelled(name):
                claims = f"{spelling}: {CLAIM}\r\n{spelling}: for={CLAIM}\r\n"
                answer = await ask(running.address(), f"GET /{spelling} HTTP/1.1\r\nHost: a\r\n{claims}\r\n".encode())
                assert answer.status == (400 if "_" in spelling else 200), spelling
    assert CLAIM.encode() not in origin.received
    for request in origin.requests():
        assert {name: request.values(name) for name in OURS} == OURS


async def test_a11_what_a_trusted_peer_says_is_kept_and_ours_appended() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, trusted=["127.0.0.0/8"])) as running,
    ):
        await ask(
            running.address(),
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.66\r\nX-Forwarded-Proto: https\r\n"
            b"X-Forwarded-Host: shop.example\r\nForwarded: for=203.0.113.66;proto=https\r\n"
            b"X-Real-IP: 203.0.113.66\r\n\r\n",
        )
    [request] = origin.requests()
    assert request.values("x-forwarded-for") == ["203.0.113.66, 127.0.0.1"]
    assert request.values("forwarded") == ["for=203.0.113.66;proto=https, for=127.0.0.1;host=a;proto=http"]
    assert request.values("x-forwarded-proto") == ["https"]
    assert request.values("x-forwarded-host") == ["shop.example"]
    assert request.values("x-real-ip") == ["203.0.113.66"]


@pytest.mark.parametrize(("source", "is_trusted"), [("127.0.0.2", True), ("127.0.0.1", False)])
async def test_a11_trust_is_given_to_addresses(source: str, is_trusted: bool) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, trusted=["127.0.0.2/32"])) as running,
    ):
        request = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {CLAIM}\r\n\r\n".encode()
        await ask(running.address(), request, source=source)
    [arrived] = origin.requests()
    assert arrived.values("x-forwarded-for") == [f"{CLAIM}, {source}" if is_trusted else source]


@pytest.mark.parametrize(
    "opening",
    [
        b"PROXY TCP4 203.0.113.66 127.0.0.1 1234 80\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x42\x7f\x00\x00\x01\x04\xd2\x00\x50",
    ],
)
async def test_a11_a_proxy_protocol_line_from_a_client_is_no_request(opening: bytes) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(opening + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        [answer] = await client.answers("GET")
        assert await client.rest() == b""
    assert (answer.status, answer.closes) == (400, True)
    assert origin.connections == []


async def test_a11_a_proxy_tells_origins_nothing_of_its_clients() -> None:
    config = config_of({"listener": [{"name": "main", "role": "proxy", "address": "127.0.0.1:0"}]})
    async with RawOrigin(answering(OK)) as origin, product(config) as running:
        await ask(running.address(), f"GET http://{origin.address}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    [request] = origin.requests()
    assert {name: request.values(name) for name in OURS} == {name: [] for name in OURS}
    assert b"127.0.0.1" not in origin.received.replace(origin.address.encode(), b"")


# --- A12 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via", "X-Whatever", "Connection", "Accept"])
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a12_a_megabyte_of_list_is_refused_for_next_to_nothing(name: str, is_trusted: bool) -> None:
    trusted = ["127.0.0.0/8"] if is_trusted else []
    bomb = b"1.1.1.1," * (1 << 17)
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, trusted=trusted)) as running,
        RawClient(running.address()) as client,
    ):
        await client_says_hello(client)
        before = resource.getrusage(resource.RUSAGE_SELF)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + name.encode() + b": " + bomb + b"\r\n\r\n")
        [answer] = await client.answers("GET")
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert answer.status == 431
    assert used < 0.05  # client and origin included: they are in this process
    assert len(origin.connections) == 1


async def client_says_hello(client: RawClient) -> None:
    """What happens the first time only (imports, tables) is not what a bomb costs."""
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await client.answers("GET")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n")
    await client.answers("GET")


@pytest.mark.parametrize(
    ("entries", "status"), [(b"1.1.1.1", 200), (b"1.1.1.1," * 63 + b"1", 200), (b"1.1.1.1," * 64 + b"1", 431)]
)
@pytest.mark.parametrize("lines", [1, 8])
async def test_a12_sixty_four_hops_are_enough(entries: bytes, status: int, lines: int) -> None:
    every = entries.split(b",")
    parts = [b",".join(every[n::lines]) for n in range(lines) if every[n::lines]]
    fields = b"".join(b"X-Forwarded-For: " + part + b"\r\n" for part in parts)
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, trusted=["127.0.0.0/8"])) as running,
    ):
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert answer.status == status
    assert len(origin.requests()) == (status == 200)


async def test_a12_one_hundred_lines_of_lists_of_an_untrusted_client_are_just_left_out() -> None:
    fields = b"".join(b"X-Forwarded-For: " + b"1.1.1.1," * 38 + b"\r\n" for _ in range(90))
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert answer.status == 200
    [request] = judge.read_requests(origin.received)
    assert request.values("x-forwarded-for") == ["127.0.0.1"]

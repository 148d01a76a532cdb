"""A24 and A1 inside tunnels: interception makes no connection weaker, and its inner requests are read as strictly."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests import corpus
from tests.scenes import judge
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.intercepting import Intercepting, served_with
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.config.load import config_of

HOST = "127.0.0.1"


def weakly(pair: Pair) -> ssl.SSLContext:
    """A server that speaks with keys and versions that nobody should accept any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(*pair)
    return context


def outdated(pair: Pair) -> ssl.SSLContext:
    context = weakly(pair)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


Farm = dict[str, tuple[Callable[[Intercepting, CertificateAuthority], ssl.SSLContext], str, str]]

FARM: Farm = {
    "expired": (lambda world, other: served_with(world.origins.expired(HOST)), "tls_certificate_error", "expired"),
    "not yet valid": (
        lambda world, other: served_with(world.origins.issue(HOST, starts=timedelta(hours=1))),
        "tls_certificate_error",
        "not yet valid",
    ),
    "another name": (
        lambda world, other: served_with(world.origins.issue("localhost")),
        "tls_certificate_error",
        "IP address mismatch",
    ),
    "another address": (
        lambda world, other: served_with(world.origins.issue("192.0.2.1")),
        "tls_certificate_error",
        "IP address mismatch",
    ),
    "signed by itself": (
        lambda world, other: served_with(world.origins.issue(HOST, self_signed=True)),
        "tls_certificate_error",
        "self-signed",
    ),
    "an unknown authority": (
        lambda world, other: served_with(other.issue(HOST)),
        "tls_certificate_error",
        "unable to get local issuer",
    ),
    "a weak key": (
        lambda world, other: weakly(world.origins.issue(HOST, weak=True)),
        "tls_certificate_error",
        "EE certificate key too weak",
    ),
    "an old version": (lambda world, other: outdated(world.origins.issue(HOST)), "connection_terminated", "handshake"),
}


@pytest.mark.parametrize("kind", [*FARM, "revoked"])
async def test_a24_a_bad_origin_is_shown_as_what_it_is_and_never_behind_a_good_certificate(
    kind: str, tmp_path: Path
) -> None:
    world = Intercepting(tmp_path)
    options = {}
    if kind == "revoked":
        pair = world.origins.issue(HOST)
        options = {"crl_file": world.origins.revoked(pair)}
        tls, error, words = served_with(pair), "tls_certificate_error", "revoked"
    else:
        make, error, words = FARM[kind]
        tls = make(world, CertificateAuthority(tmp_path, "Others"))
    async with (
        RawOrigin(answering(OK), tls=tls) as origin,
        product(world.config(**options)) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(f"GET / HTTP/1.1\r\nHost: {origin.address}\r\nAccept: text/html\r\n\r\n".encode())
        [answer] = await client.answers("GET")
        assert answer.status == 502
        assert [value.split(";")[1] for value in answer.values("proxy-status")] == [f" error={error}"]
        assert words.encode() in answer.body.replace(b"&#x27;", b"'"), answer.body
        assert answer.values("content-security-policy")
        assert await client.rest() == b""  # the next tunnel is verified anew
    assert origin.received == b""


async def test_a24_a_good_origin_beside_a_list_of_others_that_were_revoked_is_let_through(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    revoked = world.origins.revoked(world.origins.issue(HOST))
    async with (
        RawOrigin(answering(OK), tls=world.origin(HOST)) as origin,
        product(world.config(crl_file=revoked)) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(f"GET / HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        assert (await client.answers("GET"))[0].status == 200


async def test_a24_a_connection_that_is_made_later_is_verified_as_the_first_was(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    context = world.origin(HOST)
    async with (
        RawOrigin(answering(closing), tls=context) as origin,
        product(world.config()) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(f"GET /1 HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        assert (await client.answers("GET"))[0].status == 200
        context.load_cert_chain(*world.origins.expired(HOST))
        client.send(f"GET /2 HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        [answer] = await client.answers("GET")
        assert (answer.status, b"expired" in answer.body) == (502, True)
    assert [request.target for request in origin.requests()] == ["/1"]


async def test_a24_an_origin_behind_another_proxy_is_verified_by_the_same_authorities(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    tables = {"connections": {"max_idle": 0}}
    parent_config = config_of(
        {"process": {"pseudonym": "theirs"}, **tables, "listener": [{"address": "127.0.0.1:0", "role": "proxy"}]}
    )
    async with (
        RawOrigin(answering(OK), tls=world.origin(HOST)) as good,
        RawOrigin(answering(OK), tls=served_with(world.origins.expired(HOST))) as bad,
        product(parent_config) as parent,
    ):
        theirs = {"name": "theirs", "servers": [f"http://{parent.address()}"]}
        config = world.config(tables={**tables, "upstream_proxy": [theirs]}, listener={"through": "theirs"})
        async with product(config) as running:
            found = []
            for origin in (good, bad):
                async with RawClient(running.address()) as client:
                    await client.tunnel(origin.address, world.client())
                    client.send(f"GET / HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
                    [answer] = await client.answers("GET")
                    found.append((answer.status, b"expired" in answer.body))
    assert found == [(200, False), (502, True)]
    assert {line["method"] for line in parent.log} == {"CONNECT"}
    assert bad.received == b""


def inside(wire: bytes, origin: str) -> bytes:
    """The same with the origin as its host, so that it is not turned away for that."""
    return wire.replace(b"Host: a\r\n", b"Host: %b\r\n" % origin.encode()).replace(
        b"Host: example.com\r\n", b"Host: %b\r\n" % origin.encode()
    )


async def test_a1_no_request_of_the_corpus_gets_through_a_tunnel_that_was_not_sent(tmp_path: Path) -> None:
    """A sample of every kind of refused message: the parser is the one that the whole corpus is said to elsewhere."""
    world = Intercepting(tmp_path)
    refused = [one for one in corpus.load() if one.kind == "request" and one.verdict == "reject" and not one.incomplete]
    sample = refused[:: max(1, len(refused) // 100)]
    wrong = []
    async with RawOrigin(answering(OK), tls=world.origin(HOST)) as origin, product(world.config()) as running:
        for message in sample:
            before = origin.received
            async with RawClient(running.address()) as client:
                await client.tunnel(origin.address, world.client())
                client.send(inside(message.wire, origin.address))
                received = await client.rest()
            expected = [one for one in message.messages if isinstance(one, corpus.ExpectedRequest)]
            answers = []
            while received:
                method = expected[len(answers)].method if len(answers) < len(expected) else "GET"
                [answer], received = judge.split_responses(received, [method])
                answers.append(answer.status)
            arrived = judge.read_requests(origin.received[len(before) :])
            by_origin = answers.count(200)
            if not answers or answers[-1] < 400 or len(arrived) != by_origin or len(arrived) > len(expected):
                wrong.append((message.name, answers, [request.target for request in arrived]))
    assert len(sample) >= 60
    assert not wrong, wrong

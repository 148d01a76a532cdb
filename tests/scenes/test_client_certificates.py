"""Certificates of clients, from the handshake to what servers are told."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.event_loops import LOOPS, Scene, run_scene
from tests.support.product import product
from tests.support.raw_origin import RawOrigin, answering
from tests.support.tls_client import Refused, anybody, ask, connected

from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.filters.client_certificate import ClientCertificateOptions, known_of

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
FIELDS = ("Client-Cert", "X-Client-Cert-Subject", "X-Client-Cert-Names", "X-Client-Cert-Fingerprint")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def clients(tmp_path: Path) -> CertificateAuthority:
    return another_authority(tmp_path / "clients")


def another_authority(directory: Path) -> CertificateAuthority:
    directory.mkdir()
    return CertificateAuthority(directory, directory.name)


def two_hosts(authority: CertificateAuthority, clients: CertificateAuthority, **closed: Any) -> Config:
    """open.test asks nobody, closed.test demands a certificate."""
    pairs = {name: authority.issue(name) for name in ("open.test", "closed.test")}
    tables: list[dict[str, Any]] = [dict(zip(("certificate", "key"), pair, strict=True)) for pair in pairs.values()]
    tables[1] |= {"client_certificate": "require", "client_ca": clients.file, **closed}
    return config_of(
        {
            "listener": [{"address": "127.0.0.1:0", "role": "gateway", "tls": {"certificates": tables}}],
            "route": [
                {"hosts": ["open.test"], "answer": {"text": "open"}},
                {"hosts": ["closed.test"], "answer": {"text": "secret"}},
            ],
        }
    )


def one_host(authority: CertificateAuthority, origin: str, **tls: Any) -> Config:
    certificate, key = authority.issue("one.test")
    listener = {
        "address": "127.0.0.1:0",
        "role": "gateway",
        "upstream": "origin",
        "trusted": ["127.0.0.1"],
        "tls": {"certificate": certificate, "key": key, **tls},
    }
    return config_of({"listener": [listener], "upstream": [{"name": "origin", "servers": [f"http://{origin}"]}]})


def context_of(pair: Pair | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = anybody(minimum_version=version, maximum_version=version)
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


def der_of(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text())


async def is_refused(address: str, context: ssl.SSLContext, session: Any = None) -> bool:
    """Whether nothing is answered for closed.test."""
    try:
        await ask(address, context, "closed.test", session=session)
    except Refused:
        return True
    return False


def test_a25_a_client_without_a_certificate_is_never_served_where_one_is_required(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority, clients: CertificateAuthority, tmp_path: Path
) -> None:
    known = clients.issue("client.test", client=True)
    revoked = clients.issue("client.test", client=True)
    elsewhere = another_authority(tmp_path / "elsewhere")
    refused: dict[str, Pair | None] = {
        "nothing": None,
        "of another authority": elsewhere.issue("client.test", client=True),
        "made by itself": clients.issue("client.test", client=True, self_signed=True),
        "expired": clients.issue("client.test", client=True, ends=timedelta(hours=-1)),
        "of a server": clients.issue("client.test"),
        "revoked": revoked,
    }

    async def scene() -> None:
        async with product(two_hosts(authority, clients, client_crl=clients.revoked(revoked))) as running:
            address = running.address()
            for version in VERSIONS:
                for what, pair in refused.items():
                    assert await is_refused(address, context_of(pair, version)), what
                context = context_of(None, version)
                opened = await ask(address, context, "open.test")
                assert opened.content == b"open"
                assert (await ask(address, context, "open.test", session=opened.session)).resumed
                with pytest.raises(Refused):  # a session that was begun where nobody is asked
                    await ask(address, context, "closed.test", session=opened.session)
                misdirected = await ask(address, context, "open.test", "closed.test")
                assert (misdirected.status, b"secret" in misdirected.content) == (421, False)
                assert (await ask(address, context, None, "closed.test")).status == 421

                good = context_of(known, version)
                entered = await ask(address, good, "closed.test")
                assert entered.content == b"secret"
                again = await ask(address, good, "closed.test", session=entered.session)
                assert (again.content, again.resumed) == (b"secret", True)
            assert running.counters["failed_handshakes_total"] >= (len(refused) + 1) * len(VERSIONS)
        # Of those turned away in the handshake nobody came as far as a request.
        assert [line["status"] for line in running.log if line["status"] not in (200, 421)] == []
        assert len(running.log) == 6 * len(VERSIONS)

    on_loop(scene)


async def test_f16_what_is_required_meanwhile_holds_on_connections_that_are_open(
    authority: CertificateAuthority, clients: CertificateAuthority
) -> None:
    before = two_hosts(authority, clients, client_certificate="ask")
    known = clients.issue("client.test", client=True)
    async with product(before) as running:
        address = running.address()

        def talk(context: ssl.SSLContext) -> Any:
            client = connected(address, context, "closed.test")
            opened = client.__enter__()
            assert opened.ask("closed.test").content == b"secret"
            return client, opened

        stranger, asked_stranger = await asyncio.to_thread(talk, context_of())
        friend, asked_friend = await asyncio.to_thread(talk, context_of(known))
        raw = before.listeners[0].tls
        assert raw is not None
        changed = two_hosts(authority, clients)  # the same, but required
        await running.running.reload(changed)
        for client in (asked_stranger, asked_friend):  # both were asked by the rules of yesterday
            assert (await asyncio.to_thread(client.ask, "closed.test")).status == 421
            assert await asyncio.to_thread(client.is_closed)
        stranger.__exit__(None, None, None)
        friend.__exit__(None, None, None)
        assert (await ask(address, context_of(known), "closed.test")).content == b"secret"


async def test_f19_a_list_of_revoked_certificates_is_read_again(
    authority: CertificateAuthority, clients: CertificateAuthority, tmp_path: Path
) -> None:
    known = clients.issue("client.test", client=True)
    in_use = tmp_path / "in-use.crl"
    shutil.copy(clients.revoked(), in_use)
    async with product(two_hosts(authority, clients, client_crl=str(in_use)), tick_s=0.05) as running:
        address, context = running.address(), context_of(known)
        entered = await ask(address, context, "closed.test")
        assert entered.content == b"secret"

        def hold() -> Any:
            client = connected(address, context, "closed.test")
            return client, client.__enter__()

        held, talking = await asyncio.to_thread(hold)
        assert (await asyncio.to_thread(talking.ask, "closed.test")).content == b"secret"
        shutil.move(clients.revoked(known), in_use)

        async with asyncio.timeout(5):
            while not await is_refused(address, context, entered.session):
                pass
        assert (await asyncio.to_thread(talking.ask, "closed.test")).fields[b"connection"] == b"close"
        held.__exit__(None, None, None)


async def test_a11_servers_are_told_who_a_client_is_and_by_nobody_else(
    authority: CertificateAuthority, clients: CertificateAuthority
) -> None:
    claimed = [
        f"{name}: forged"
        for name in (
            *FIELDS,
            "Client-Cert-Chain",
            "X-SSL-Client-Verify",
            "SSL-Client-Verify",
            "X-Forwarded-Client-Cert",
        )
    ]
    pair = clients.issue(
        "ann@client.test", "client.test", "urn://ann", "192.0.2.7", client=True, subject="Ann\r\nX-Evil: 1, ü%"
    )
    der = der_of(pair)
    asks = {"client_certificate": "ask", "client_ca": clients.file, "client_user": "email"}
    fields = ["certificate", "subject", "names", "fingerprint"]
    async with (
        RawOrigin(answering(OK)) as origin,
        product(one_host(authority, origin.address, **asks, client_fields=fields)) as running,
    ):
        for context in (context_of(pair), context_of()):
            assert (await ask(running.address(), context, "one.test", None, *claimed)).status == 200
        known, unknown = origin.requests()
        assert known.values("client-cert") == [f":{base64.b64encode(der).decode()}:"]
        assert known.values("x-client-cert-subject") == ["CN=Ann%0D%0AX-Evil: 1\\, %C3%BC%25"]
        assert known.values("x-client-cert-names") == [
            "email:ann@client.test, dns:client.test, uri:urn://ann, ip:192.0.2.7"
        ]
        [fingerprint] = known.values("x-client-cert-fingerprint")
        assert len(fingerprint) == 64
        assert b"forged" not in origin.received
        assert [name for name, _ in unknown.fields if "cert" in name.lower()] == []
        lines = await running.logged(2)
        assert [line.get("user") for line in lines] == ["ann@client.test", None]


@pytest.mark.parametrize(
    ("what", "user"),
    [
        ("subject", "CN=ann"),
        ("common_name", "ann"),
        ("email", "ann@client.test"),
        ("dns", "client.test"),
        ("uri", "spiffe://client.test/ann"),
        ("off", None),
    ],
)
def test_a_certificate_names_a_user(clients: CertificateAuthority, what: str, user: str | None) -> None:
    pair = clients.issue("client.test", "ann@client.test", "spiffe://client.test/ann", client=True, subject="ann")
    assert known_of(der_of(pair), ClientCertificateOptions(("fingerprint",), what)).user == user

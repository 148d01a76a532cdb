"""Several hosts on one TLS listener, what leads clients to it, and a certificate for development."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.product import product
from tests.support.program import Program, interpose
from tests.support.raw_client import ask as ask_plainly
from tests.support.raw_origin import RawOrigin, answering
from tests.support.tls_client import Refused, anybody, ask

from interpose.config.development import development_pair
from interpose.config.load import config_of
from interpose.config.model import Config

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nStrict-Transport-Security: max-age=1\r\n\r\nok"


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def hosts(authority: CertificateAuthority, *names: str, more: Any = (), **tls: Any) -> Config:
    """A gateway with a certificate for each of `names`, all of which answer with the host that was asked for."""
    tables = [dict(zip(("certificate", "key"), authority.issue(name), strict=True)) for name in names]
    return config_of(
        {
            "listener": [
                {"address": "127.0.0.1:0", "role": "gateway", "tls": {"certificates": [*tables, *more], **tls}}
            ],
            "route": [{"answer": {"text": "default"}}]
            + [{"hosts": [name], "answer": {"text": name}} for name in names if "*" not in name],
        }
    )


@pytest.mark.parametrize(
    ("sni", "host", "status", "strict"),
    [
        ("one.test", "one.test", 200, 200),
        ("one.test", "two.test", 421, 421),
        ("two.test", "one.test", 421, 421),
        (None, "one.test", 200, 200),
        (None, "two.test", 421, 421),
        ("one.test", "unknown.test", 200, 421),
        ("two.test", "unknown.test", 421, 421),
        ("a.wild.test", "b.wild.test", 200, 200),
        ("a.wild.test", "a.b.wild.test", 421, 421),
    ],
)
async def test_a25_a_request_for_a_host_of_another_certificate_is_misdirected(
    authority: CertificateAuthority, sni: str | None, host: str, status: int, strict: int
) -> None:
    for is_strict, wanted in ((False, status), (True, strict)):
        config = hosts(authority, "one.test", "two.test", "*.wild.test", strict_sni=is_strict)
        async with product(config) as running:
            answer = await ask(running.address(), anybody(), sni, host)
        assert answer.status == wanted
        [line] = running.log
        if wanted == 421:
            assert answer.fields[b"connection"] == b"close"
            assert line["notes"]["filter"] == "misdirected", line


async def test_a_host_that_nobody_answers_for_is_turned_away_where_that_is_asked_for(
    authority: CertificateAuthority,
) -> None:
    async with product(hosts(authority, "one.test", strict_sni=True)) as running:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = anybody(minimum_version=version, maximum_version=version)
            with pytest.raises(Refused, match="UNRECOGNIZED_NAME"):
                await ask(running.address(), context, "unknown.test")
            assert (await ask(running.address(), context, "one.test")).status == 200
            assert (await ask(running.address(), context, None, "one.test")).status == 200


async def test_f19_a_broken_certificate_turns_its_own_clients_away_and_no_others(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    good, other = authority.issue("late.test"), authority.issue("mismatched.test")
    late = {"certificate": str(tmp_path / "late.crt"), "key": str(tmp_path / "late.key"), "hosts": ["late.test"]}
    mismatched = {"certificate": other.certificate, "key": good.key}
    async with product(hosts(authority, "one.test", more=[late, mismatched]), tick_s=0.05) as running:
        address = running.address()
        for broken in ("late.test", "mismatched.test"):
            with pytest.raises(Refused, match="INTERNAL_ERROR"):
                await ask(address, anybody(), broken)
        assert (await ask(address, authority.client(), "one.test")).content == b"one.test"
        assert running.counters["certificates_broken"] == 2
        shutil.copy(good.key, late["key"])
        shutil.copy(good.certificate, late["certificate"])
        await running.when(lambda: running.counters["certificates_broken"] == 1)
        assert (await ask(address, authority.client(), "late.test")).status == 200
        warned = [record.getMessage() for record in running.records]
        assert any(f"{other.certificate}." in line and "does not belong" in line for line in warned)


async def test_f19_an_operator_hears_of_the_end_at_thirty_seven_and_one_day(authority: CertificateAuthority) -> None:
    from interpose.net.certificate import Identities, Identity

    identities = Identities([Identity(*authority.issue("one.test", ends=timedelta(days=60)))])
    ends, said = datetime.now(UTC) + timedelta(days=60), []
    for hours in range(24 * 62):
        now = ends - timedelta(days=61) + timedelta(hours=hours)
        said += [
            (round((ends - now) / timedelta(days=1)), "expired" in warning) for warning in identities.new_warnings(now)
        ]
    assert said == [(30, False), (7, False), (1, False), (0, True)]


async def test_f16_a_certificate_changes_under_load_without_a_failure(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    """Connections that are open and connections that are made, while the files are replaced again and again."""
    config = hosts(authority, "one.test", "two.test")
    tls = config.listeners[0].tls
    assert tls is not None
    files = tls.certificates[0]
    async with product(config, tick_s=0.02) as running:
        serials = set()
        ended = asyncio.Event()

        async def keep_asking() -> int:
            count = 0
            while not ended.is_set():
                answer = await ask(running.address(), authority.client(), "one.test")
                assert answer.status == 200
                serials.add(answer.serial)
                count += 1
            return count

        clients = [asyncio.create_task(keep_asking()) for _ in range(3)]
        await running.when(lambda: len(serials) == 1)
        for _ in range(4):
            before = len(serials)
            renewed = authority.issue("one.test")
            shutil.move(renewed.key, files.key)
            shutil.move(renewed.certificate, files.certificate)
            await running.when(lambda before=before: len(serials) > before)
        ended.set()
        assert all(await asyncio.gather(*clients))
        assert len(serials) == 5


@pytest.mark.parametrize(
    ("wire", "status", "location"),
    [
        ("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n", 308, "https://one.test:8443/"),
        ("GET /a%20b?c=d HTTP/1.1\r\nHost: one.test:8080\r\n\r\n", 308, "https://one.test:8443/a%20b?c=d"),
        ("GET http://two.test/x HTTP/1.1\r\nHost: two.test\r\n\r\n", 308, "https://two.test:8443/x"),
        ("POST /form HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1\r\n\r\nx", 308, "https://[::1]:8443/form"),
        ("GET / HTTP/1.0\r\n\r\n", 400, None),
        ("OPTIONS * HTTP/1.1\r\nHost: one.test\r\n\r\n", 400, None),
        ("GET //evil.test/ HTTP/1.1\r\nHost: one.test\r\n\r\n", 308, "https://one.test:8443/evil.test/"),
    ],
)
async def test_a_plain_listener_leads_to_https(wire: str, status: int, location: str | None) -> None:
    listener = {"address": "127.0.0.1:0", "role": "gateway", "redirect_to_https": "308", "https_port": 8443}
    async with product(config_of({"listener": [listener]})) as running:
        answer = await ask_plainly(running.address(), wire.encode())
        assert answer.status == status
        assert answer.values("location") == ([location] if location else [])


async def test_browsers_are_told_to_come_back_with_tls_only(authority: CertificateAuthority) -> None:
    certificate, key = authority.issue("one.test")
    tls = {"certificate": certificate, "key": key, "hsts_max_age_s": 31536000, "hsts_subdomains": True}
    async with RawOrigin(answering(OK)) as origin:
        config = config_of(
            {
                "listener": [{"address": "127.0.0.1:0", "role": "gateway", "upstream": "o", "tls": tls}],
                "upstream": [{"name": "o", "servers": [f"http://{origin.address}"]}],
            }
        )
        async with product(config) as running:
            answer = await ask(running.address(), authority.client(), "one.test")
            assert answer.fields[b"strict-transport-security"] == b"max-age=31536000; includeSubDomains"


def test_one_command_speaks_tls_on_localhost(tmp_path: Path) -> None:
    with Program(tmp_path, "gateway", "--tls", "127.0.0.1:9") as program:
        kept = program.state / "development"
        modes = {path.name: stat.S_IMODE(os.stat(path).st_mode) for path in [kept, *kept.iterdir()]}
        assert modes == {"development": 0o700} | dict.fromkeys(
            ("authority.key", "authority.pem", "localhost.key", "localhost.pem"), 0o600
        )
        assert program.url.startswith("https://127.0.0.1:")
        for host in ("localhost", "127.0.0.1"):
            url = f"https://{host}:{program.port}/"
            curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", str(kept / "authority.pem"), url]
            said = subprocess.run(curl, capture_output=True, text=True, timeout=20, check=True).stdout
            assert said == "502", host
        assert "authority.pem" in program.said


def test_a_development_certificate_is_made_once_and_anew_before_it_ends(tmp_path: Path) -> None:
    config = config_of(
        {
            "process": {"state_dir": str(tmp_path)},
            "listener": [{"address": "127.0.0.1:0", "role": "echo", "tls": {"development": True}}],
        }
    )
    now = datetime.now(UTC)
    files = development_pair(config, now)
    first, authority = Path(files.certificate).read_bytes(), Path(files.authority).read_bytes()
    assert development_pair(config, now + timedelta(days=59)) == files
    assert Path(files.certificate).read_bytes() == first
    development_pair(config, now + timedelta(days=61))
    assert Path(files.certificate).read_bytes() != first
    assert Path(files.authority).read_bytes() == authority
    Path(files.key).write_text("")
    development_pair(config, now + timedelta(days=61))
    ssl.create_default_context().load_cert_chain(files.certificate, files.key)


def test_what_is_asked_of_tls_can_be_looked_at_beforehand(authority: CertificateAuthority, tmp_path: Path) -> None:
    pair = authority.issue("one.test")
    file = tmp_path / "interpose.toml"
    file.write_text(
        f"""
        [[listener]]
        address = "127.0.0.1:0"
        role = "gateway"
        [listener.tls]
        certificate = "{pair.certificate}"
        key = "{pair.key}"
        client_certificate = "require"
        client_ca = "{authority.file}"
        hsts_max_age_s = 60
        [[route]]
        answer = {{}}
        """
    )
    said = interpose("check", str(file), env={**os.environ, "COLUMNS": "250"}).stdout
    for words in ("client certificates: require", "client fields", "certificate, subject, fingerprint", "max-age=60"):
        assert words in said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, "listener[1].tls: has no certificate; give certificate and key, or acme = true to have one ordered"),
        ({"client_certificate": "require"}, "listener[1].tls.client_certificate"),
        ({"client_ca": "PEM"}, "listener[1].tls.client_ca"),
        ({"client_certificate": "ask", "client_ca": "KEY"}, "The authorities of clients in "),
        ({"client_certificate": "ask", "client_ca": "PEM", "client_crl": "PEM"}, "holds no list of revoked"),
        ({"hsts_preload": True}, "listener[1].tls.hsts_preload"),
        ({"strict_sni": "yes"}, "listener[1].tls.strict_sni"),
    ],
)
def test_f15_what_cannot_work_is_refused(
    authority: CertificateAuthority, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    certificate, key = authority.issue("one.test")
    paths = {"PEM": certificate, "KEY": key}
    tls = {name: paths.get(value, value) if isinstance(value, str) else value for name, value in change.items()}
    own = {"certificate": certificate, "key": key} if change else {}
    with pytest.raises(ValueError) as caught:
        config_of({"listener": [{"address": "127.0.0.1:0", "role": "gateway", "tls": {**own, **tls}}]})
    assert problem in str(caught.value)

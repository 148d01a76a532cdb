"""Certificates that are ordered: an authority looks for its tokens, the certificate is served, nothing goes down."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.acme_authority import PERSPECTIVES, AcmeAuthority
from tests.support.certificates import CertificateAuthority
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_origin import RawOrigin, answering
from tests.support.tls_client import Refused, anybody, ask

from interpose import serve
from interpose.config.load import config_of
from interpose.config.office import Office

TWO_WORKERS = """
[process]
workers = 2
[[listener]]
name = "plain"
address = "127.0.0.1:0"
role = "gateway"
redirect_to_https = "308"
[[listener]]
name = "secure"
address = "127.0.0.1:0"
role = "gateway"
[listener.tls]
acme = true
[[route]]
hosts = ["one.test"]
answer = {{ text = "served" }}
[acme]
directory = "{directory}"
agree_terms = true
"""


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def tables(directory: str, state: Path, *hosts: str, role: str = "gateway") -> dict[str, Any]:
    return {
        "process": {"name": "acme", "state_dir": str(state)},
        "log": {"access": "off"},
        "listener": [
            {"name": "plain", "address": "127.0.0.1:0", "role": role, "redirect_to_https": "308"},
            {
                "name": "secure",
                "address": "127.0.0.1:0",
                "role": role,
                "tls": {"acme": True, "acme_hosts": list(hosts)},
            },
        ],
        "route": [{"listeners": ["secure"], "answer": {"text": "served"}}],
        "acme": {"directory": directory, "email": "ops@one.test", "agree_terms": True},
    }


async def served(address: str, context: Any, host: str) -> str:
    """The content that `host` answers with, as soon as it has a certificate."""
    async with asyncio.timeout(15):
        while True:
            try:
                return (await ask(address, context, host)).content.decode()
            except Refused as refused:
                assert "INTERNAL_ERROR" in refused.alert, refused.alert  # noqa: PT017


async def test_a_certificate_is_ordered_and_served(certificates: CertificateAuthority, tmp_path: Path) -> None:
    plain = ""
    with AcmeAuthority(certificates, lambda: plain) as authority:
        config = config_of(tables(authority.directory, tmp_path / "state", "one.test", "two.test"))
        authority.spoil_nonces = 1
        async with serve(config, office=Office(config)) as running:
            plain = running.addresses["plain"]
            for host in ("one.test", "two.test"):
                assert await served(running.addresses["secure"], certificates.client(), host) == "served"
        assert authority.issued == [["one.test"], ["two.test"]]
        assert {(host, status) for host, _, status in authority.fetched} == {("one.test", 200), ("two.test", 200)}
        assert authority.refused == ["badNonce"]
        assert len(authority.accounts) == 1
        kept = tmp_path / "state" / "acme" / "acme"
        assert list((kept / "challenges").iterdir()) == []  # nothing is left there for others to find
        account = json.loads((kept / "account.json").read_bytes())
        assert account["uri"] in authority.accounts

        # The next instance takes what is kept: it orders nothing.
        async with serve(config, office=Office(config)) as running:
            plain = running.addresses["plain"]
            assert await served(running.addresses["secure"], certificates.client(), "one.test") == "served"
        assert len(authority.issued) == 2


async def test_f19_a_validation_that_fails_takes_nothing_down(
    certificates: CertificateAuthority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    pair = certificates.issue("own.test")
    async with RawOrigin(answering(nothing)) as elsewhere:
        with AcmeAuthority(certificates, lambda: elsewhere.address) as authority:
            raw = tables(authority.directory, tmp_path / "state", "one.test")
            raw["listener"][1]["tls"] |= {"certificate": pair.certificate, "key": pair.key}
            config = config_of(raw)
            office = Office(config)
            async with serve(config, office=office) as running:
                service: Any = office.services["acme"]
                async with asyncio.timeout(15):
                    while not any(one.failures for one in service.told()):  # noqa: ASYNC110 - a thread sets it
                        await asyncio.sleep(0.01)
                [told] = service.told()
                assert told.problem == "No certificate for one.test: Found status 404 at one.test.\\n\\x1b[2J."
                with pytest.raises(Refused, match="INTERNAL_ERROR"):
                    await ask(running.addresses["secure"], anybody(), "one.test")
                assert (await ask(running.addresses["secure"], certificates.client(), "own.test")).status == 200
            assert authority.issued == []
    assert "tried again in" in caplog.text
    assert "\x1b" not in caplog.text


def certificate_of(program: Program) -> dict[str, Any]:
    """What the program tells of its only certificate."""
    [row] = json.loads(interpose("status", "--json", "--state", str(program.state)).stdout)["certificates"]
    return dict(row)


def test_every_worker_answers_the_authority(certificates: CertificateAuthority, tmp_path: Path) -> None:
    """The program itself, with two workers, which both have the token before the authority is told."""
    address = ""
    with AcmeAuthority(certificates, lambda: address) as authority:
        file = tmp_path / "two-workers.toml"
        file.write_text(TWO_WORKERS.format(directory=authority.directory))
        with Program(tmp_path, "run", str(file), listeners=2) as program:
            listening = {line["name"]: line["address"] for line in program.ready}
            address = listening["plain"]
            assert asyncio.run(served(listening["secure"], certificates.client(), "one.test")) == "served"
            wait_until(lambda: not certificate_of(program)["problem"], "both workers have it")
            row = certificate_of(program)
            assert (row["listener"], row["names"]) == ("secure", ["one.test"])
            assert datetime.fromisoformat(row["expires"]) > datetime.now(UTC)
            assert datetime.fromisoformat(row["ordered_next"]) > datetime.now(UTC)
        assert len(authority.fetched) == PERSPECTIVES

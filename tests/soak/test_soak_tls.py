"""What scanners have to say about a TLS listener as it comes: sslscan and testssl.sh, both Debian's."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.program import Program

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

ABOUT_THE_AUTHORITY = {"cert_chain_of_trust", "cert_revocation", "DNS_CAArecord"}
"""What is found wrong with any certificate of an authority that nobody knows."""


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def address(place: Path) -> Iterator[str]:
    with Program(place, "gateway", "--tls", "127.0.0.1:9") as program:
        yield f"127.0.0.1:{program.port}"


def test_a24_sslscan_finds_nothing_old_and_nothing_weak(address: str) -> None:
    command = ["sslscan", "--no-colour", "--xml=-", address]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    [found] = ElementTree.fromstring(said).iter("ssltest")
    spoken = {f"{one.get('type')}{one.get('version')}" for one in found.iter("protocol") if one.get("enabled") == "1"}
    assert spoken == {"tls1.2", "tls1.3"}
    ciphers = [cipher.attrib for cipher in found.iter("cipher")]
    assert {int(cipher["bits"]) >= 128 for cipher in ciphers} == {True}
    assert {cipher["strength"] for cipher in ciphers} <= {"strong", "acceptable"}
    older = [cipher["cipher"] for cipher in ciphers if cipher["sslversion"] == "TLSv1.2"]
    assert older
    assert [name for name in older if not name.startswith("ECDHE-") or "CBC" in name or "SHA1" in name] == []
    [renegotiation] = found.iter("renegotiation")
    assert renegotiation.get("supported") == "0"
    assert {one.get("vulnerable") for one in found.iter("heartbleed")} == {"0"}


def test_a24_testssl_finds_no_weakness(address: str, place: Path) -> None:
    file = place / "found.json"
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", str(file)]
    subprocess.run([*command, "-p", "-s", "-f", "-U", "-S", address], capture_output=True, timeout=400, check=False)
    found = json.loads(file.read_text())
    assert len(found) > 50
    wrong = [f"{one['id']}: {one['finding']}" for one in found if one["severity"] not in ("OK", "INFO")]
    assert [line for line in wrong if line.partition(":")[0] not in ABOUT_THE_AUTHORITY] == []

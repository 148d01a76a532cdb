"""The authority of an installation: what it signs is what clients accept, and its key is nobody else's."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from interpose.net.authority import CertificateAuthority
from interpose.net.leaves import LIVES, RENEWED_BEFORE, Leaves

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ca"


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def shown(leaves: Leaves, host: str, client: ssl.SSLContext) -> x509.Certificate:
    """The certificate that a client gets which asks for `host`; it must accept it."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = leaves.context(host).wrap_bio(to_server, to_client, server_side=True)
    waiting = {ours, theirs}
    for _ in range(4):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.discard(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    der = ours.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_a24_the_key_is_its_owners_alone_and_a_key_that_others_can_read_is_not_used(directory: Path) -> None:
    CertificateAuthority.create(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "ca.key").stat().st_mode) == 0o600
    for path, mode in ((directory / "ca.key", 0o640), (directory / "ca.key", 0o604), (directory, 0o750)):
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        with pytest.raises(ValueError, match=r"is open to others"):
            CertificateAuthority.load(directory)
        path.chmod(before)
    assert CertificateAuthority.load(directory).permits("anything.example")


def test_a_directory_of_somebody_elses_use_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ValueError, match="is open to others"):
        CertificateAuthority.create(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert not list(tmp_path.iterdir())


def test_an_authority_is_replaced_only_when_that_is_asked_for(directory: Path) -> None:
    first = CertificateAuthority.create(directory)
    with pytest.raises(ValueError, match="already"):
        CertificateAuthority.create(directory)
    second = CertificateAuthority.create(directory, replace=True)
    assert first.fingerprint != second.fingerprint == CertificateAuthority.load(directory).fingerprint
    assert first.name != second.name
    assert sorted(path.name for path in directory.iterdir()) == ["ca.key", "ca.pem"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: (path / "ca.key").unlink(), "`interpose ca init` makes one"),
        (lambda path: (path / "ca.pem").write_text("nonsense"), "damaged"),
        (lambda path: (path / "ca.key").write_text("nonsense"), "damaged"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_a_sentence(directory: Path, damage: object, words: str) -> None:
    CertificateAuthority.create(directory)
    damage(directory)  # type: ignore[operator]
    with pytest.raises(ValueError, match=words):
        CertificateAuthority.load(directory)


def test_the_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    CertificateAuthority.create(tmp_path / "a")
    CertificateAuthority.create(tmp_path / "b")
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    with pytest.raises(ValueError, match="does not belong"):
        CertificateAuthority.load(tmp_path / "a")


@pytest.mark.parametrize("host", ["example.com", "a_b.example", "127.0.0.1", "::1", "xn--bcher-kva.example"])
def test_a24_what_is_minted_is_short_lived_names_one_host_and_satisfies_a_strict_client(
    directory: Path, host: str
) -> None:
    authority = CertificateAuthority.create(directory)
    leaf = shown(Leaves(authority), host, trusting(authority))
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=7)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [host]
    assert not list(leaf.subject)
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


def test_certificates_of_two_hosts_share_neither_context_nor_serial_number(directory: Path) -> None:
    authority = CertificateAuthority.create(directory)
    leaves = Leaves(authority)
    assert leaves.context("a.example") is leaves.context("a.example")
    assert leaves.context("a.example") is not leaves.context("b.example")
    one, other = (shown(leaves, host, trusting(authority)) for host in ("a.example", "b.example"))
    assert one.serial_number != other.serial_number
    assert leaves.minted == 2


def test_f19_a_certificate_is_made_anew_a_day_before_it_ends(directory: Path) -> None:
    clock = Clock(NOW)
    leaves = Leaves(CertificateAuthority.create(directory), clock=clock)
    first = leaves.context("a.example")
    clock.now = NOW + LIVES - RENEWED_BEFORE - timedelta(seconds=1)
    assert leaves.context("a.example") is first
    clock.now += timedelta(seconds=1)
    assert leaves.context("a.example") is not first


def test_f19_no_certificate_outlives_the_authority_and_its_last_day_needs_no_new_ones(directory: Path) -> None:
    authority = CertificateAuthority.create(directory, days=2)
    clock = Clock(NOW)
    leaves = Leaves(authority, clock=clock)
    context = leaves.context("a.example")
    assert shown(leaves, "a.example", trusting(authority)).not_valid_after_utc == authority.expires
    clock.now = authority.expires - timedelta(seconds=1)
    assert leaves.context("a.example") is context
    assert authority.warning(clock.now) is not None
    assert "expired" in (authority.warning(authority.expires) or "")


def test_the_table_of_certificates_is_bounded_and_forgets_what_was_asked_for_longest_ago(directory: Path) -> None:
    leaves = Leaves(CertificateAuthority.create(directory), most=3)
    kept = [leaves.context(f"{name}.example") for name in "abc"]
    leaves.context("a.example")
    leaves.context("d.example")
    assert len(leaves) == 3
    assert leaves.context("a.example") is kept[0]
    assert leaves.context("b.example") is not kept[1]


@pytest.mark.parametrize(
    ("permit", "host", "is_permitted"),
    [
        (("example.com",), "example.com", True),
        (("*.example.com",), "deep.a.example.com", True),
        (("example.com",), "badexample.com", False),
        (("example.com",), "192.0.2.7", False),
        (("192.0.2.0/24",), "192.0.2.7", True),
        (("192.0.2.0/24",), "example.com", False),
        (("192.0.2.0/24",), "2001:db8::1", False),
        (("example.com", "2001:db8::/32"), "2001:db8::1", True),
    ],
)
def test_what_an_authority_is_bound_to_is_what_a_verifier_accepts(
    directory: Path, permit: tuple[str, ...], host: str, is_permitted: bool
) -> None:
    authority = CertificateAuthority.create(directory, permit=permit)
    assert CertificateAuthority.load(directory).permits(host) is is_permitted
    if is_permitted:
        shown(Leaves(authority), host, trusting(authority))
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted|excluded"):
            shown(Leaves(authority), host, trusting(authority))


def test_what_is_no_host_and_no_network_cannot_be_permitted(directory: Path) -> None:
    for wrong in ("https://example.com", "", "a..b", "ex ample"):
        with pytest.raises(ValueError, match="neither a host nor a network"):
            CertificateAuthority.create(directory, permit=[wrong])
    assert not directory.exists()


def test_another_verifier_agrees(directory: Path) -> None:
    authority = CertificateAuthority.create(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = authority.issue("a.example", key.public_key(), NOW, LIVES)
    store = Store([x509.load_pem_x509_certificate(authority.pem)])
    PolicyBuilder().store(store).build_server_verifier(x509.DNSName("a.example")).verify(leaf, [])
    with pytest.raises(VerificationError):
        PolicyBuilder().store(store).build_server_verifier(x509.DNSName("b.example")).verify(leaf, [])

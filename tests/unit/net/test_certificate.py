"""F19: certificates that are read, chosen, and complained about in one sentence."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority, Pair, lock

from interpose.net.certificate import Identities, Identity
from interpose.net.tls import ClientContexts, ClientTrust, client_context, server_context


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def complaint(certificate: str, key: str) -> str:
    with pytest.raises(ValueError) as caught:
        Identity(certificate, key)
    return str(caught.value)


def test_f19_files_that_cannot_be_used_get_one_sentence(authority: CertificateAuthority, tmp_path: Path) -> None:
    good, other = authority.issue("one.test"), authority.issue("one.test")
    missing = str(tmp_path / "missing.pem")
    text = tmp_path / "text.pem"
    text.write_text("hello")
    broken = tmp_path / "broken.pem"
    broken.write_text(Path(good.certificate).read_text().replace("MII", "MIX"))
    locked = authority.issue("one.test")
    lock(locked.key, b"secret")
    weak = authority.issue("one.test", weak=True)
    rsa = Pair(weak.certificate, good.key)
    cases = {
        (missing, good.key): f"The certificate {missing} cannot be read: no such file or directory.",
        (good.certificate, missing): f"The key {missing} cannot be read: no such file or directory.",
        (str(tmp_path), good.key): f"The certificate {tmp_path} cannot be read: is a directory.",
        (good.certificate, other.key): f"The key {other.key} does not belong to the certificate {good.certificate}.",
        (good.certificate, locked.key): f"The key {locked.key} has a passphrase; give one without.",
        (locked.certificate, locked.key): f"The key {locked.key} has a passphrase; give one without.",
        (good.certificate, str(text)): f"The key {text} holds no private key in PEM.",
        (good.certificate, good.certificate): f"The key {good.certificate} holds no private key in PEM.",
        (str(text), good.key): f"The certificate {text} holds no certificate in PEM.",
        (str(broken), good.key): f"The certificate {broken} and the key {good.key} cannot be used: a part is damaged.",
        weak: f"The certificate {weak.certificate} is too weak (ee key too small); clients would refuse it.",
        rsa: f"The certificate {weak.certificate} is too weak (ee key too small); clients would refuse it.",
    }
    assert {case: complaint(*case) for case in cases} == cases


def test_f19_dates_are_warned_about(authority: CertificateAuthority) -> None:
    identities = Identities([Identity(*authority.issue("one.test", ends=timedelta(days=40)))])
    now = datetime.now(UTC)
    date = f"{now + timedelta(days=40):%Y-%m-%d}"
    assert identities.warnings(now) == []
    assert identities.warnings(now + timedelta(days=9)) == []
    [soon] = identities.warnings(now + timedelta(days=11))
    assert soon.startswith("The certificate /")
    assert f".crt expires on {date} " in soon
    assert soon.endswith(" UTC.")
    [late] = identities.warnings(now + timedelta(days=41))
    assert f".crt expired on {date} " in late
    assert late.endswith(" UTC; clients will refuse it.")
    [expired] = Identities([Identity(*authority.expired("one.test"))]).warnings()  # served all the same
    assert "expired on" in expired


def test_the_name_decides_exact_before_wildcard_before_first(authority: CertificateAuthority) -> None:
    first, wild, exact = (
        Identity(*authority.issue(*names)) for names in (["first.test"], ["*.wild.test", "other.test"], ["a.wild.test"])
    )
    identities = Identities([first, wild, exact])
    cases = {
        None: first,
        "first.test": first,
        "unknown.test": first,
        "a.wild.test": exact,
        "b.wild.test": wild,
        "other.test": wild,
        "wild.test": first,
        "a.b.wild.test": first,
        "test": first,
    }
    assert {name: identities.of(name) for name in cases} == cases
    assert {name: identities.choose(name).context for name in cases} == {n: who.context for n, who in cases.items()}


def test_a_file_that_changes_without_sense_is_complained_about_once_per_change(
    authority: CertificateAuthority,
) -> None:
    pair = authority.issue("one.test")
    identity = Identity(*pair)
    context = identity.context
    Path(pair.key).write_text("one")
    assert "holds no private key" in (identity.refresh() or "")
    assert identity.refresh() is None
    Path(pair.key).write_text("another")
    assert "holds no private key" in (identity.refresh() or "")
    assert identity.context is context


def test_a24_contexts_take_nothing_old(authority: CertificateAuthority) -> None:
    server = server_context(*authority.issue("one.test"))
    for context in (server, client_context(), client_context(authority.file)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert server.options & ssl.OP_NO_RENEGOTIATION
    weak = ("RC4", "3DES", "NULL", "EXP", "MD5", "-CBC", "AES128-SHA", "AES256-SHA", "AES128-GCM", "AES256-GCM", "ADH")
    names = [str(cipher["name"]) for cipher in server.get_ciphers()]
    assert [name for name in names if name.startswith(weak) or ("ECDHE" not in name and "TLS_" not in name)] == []
    assert client_context().verify_mode is ssl.CERT_REQUIRED
    assert client_context().check_hostname
    assert client_context(verify=False).verify_mode is ssl.CERT_NONE


def test_contexts_for_origins_are_shared_where_the_settings_are_the_same(authority: CertificateAuthority) -> None:
    contexts = ClientContexts()
    assert contexts(authority.file, True) is contexts(authority.file, True)
    assert contexts(authority.file, True) is not contexts(authority.file, False)
    assert contexts(None, True) is not contexts(authority.file, True)


def test_a25_who_cannot_be_answered_is_asked_for_a_certificate_all_the_same(tmp_path: Path) -> None:
    """A connection that is older than the broken file goes on: its requests are held against the rules of now."""
    trust = ClientTrust(str(tmp_path / "ca.pem"), None, True)
    gone = str(tmp_path / "gone.pem")
    identity = Identity(gone, gone, hosts=("a.example",), clients=trust, may_be_missing=True)
    chosen = Identities([identity]).choose("a.example")
    assert chosen.context is None
    assert chosen.trust is not None
    assert chosen.trust[0].is_required

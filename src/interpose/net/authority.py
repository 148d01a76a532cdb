"""The certificate authority of an installation: a key that stays on this machine, and what it signs.

Whoever has the key can be any site to everybody who trusts the certificate, so the key is readable by its owner only,
lies in a directory of its own, and is not used when anybody else could have read it. The authority may be bound to some
names and networks (RFC 5280, 4.2.1.10): then not even its owner can be another site with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interpose.net.address import is_name

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
MOST_DAYS = 3650
SKEW = timedelta(days=1)
"""How far before now certificates begin, for clients whose clock is behind."""

_EVERY_ADDRESS = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class CertificateAuthority:
    """What signs certificates of sites. `create` makes one in a directory, `load` reads it again."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self._hosts, self._networks = _permitted(certificate)
        self._key_identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )

    @classmethod
    def create(
        cls, directory: Path, *, permit: Sequence[str] = (), days: int = MOST_DAYS, replace: bool = False
    ) -> CertificateAuthority:
        """A new authority, kept in `directory`. ValueError, a sentence, when there is one already and it is not to be
        replaced, when `permit` holds what is no host or network, and when nothing can be written there."""
        if not 0 < days <= MOST_DAYS:
            raise ValueError(f"An authority lives from 1 to {MOST_DAYS} days, not {days}.")
        if not replace and (directory / CERTIFICATE_FILE).exists():
            raise ValueError(f"There is an authority in {directory} already; --replace makes another one.")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, permit, days)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(directory.stat().st_mode) & 0o077:  # it was there: its mode is not ours to change
                raise ValueError(f"{directory} is open to others; name a directory of its own, such as {directory}/ca.")
            _write(directory / KEY_FILE, private_pem(key), 0o600)
            _write(directory / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        except OSError as error:
            raise ValueError(f"The authority cannot be kept in {directory}: {_words(error)}.") from error
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> CertificateAuthority:
        """The authority in `directory`. ValueError, a sentence, when there is none, when it does not fit together, and
        when others can read its key."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
            for path in (directory, directory / KEY_FILE):
                _refuse_if_shared(path)
            key = serialization.load_pem_private_key((directory / KEY_FILE).read_bytes(), None)
        except FileNotFoundError:
            raise ValueError(f"There is no authority in {directory}; `interpose ca init` makes one.") from None
        except OSError as error:
            raise ValueError(f"The authority in {directory} cannot be read: {_words(error)}.") from error
        except (ValueError, TypeError) as error:
            if isinstance(error, _Shared):
                raise
            raise ValueError(f"The authority in {directory} is damaged: {error}.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"The key in {directory} does not belong to the certificate beside it.")
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """The certificate, for programs."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate, for phones and Windows."""
        return self._certificate.public_bytes(serialization.Encoding.DER)

    @property
    def name(self) -> str:
        """What lists of authorities call it."""
        return self._certificate.subject.rfc4514_string().removeprefix("CN=")

    @property
    def begins(self) -> datetime:
        """When it begins to be valid."""
        return self._certificate.not_valid_before_utc

    @property
    def expires(self) -> datetime:
        """When it ends."""
        return self._certificate.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as systems show it."""
        return self._certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def permitted(self) -> tuple[str, ...]:
        """The names and networks that it is bound to; empty: it is not."""
        return (*self._hosts, *map(str, self._networks))

    def warning(self, now: datetime) -> str | None:
        """What an operator should know about its dates, in a sentence."""
        date = f"{self.expires:%Y-%m-%d}"
        if now >= self.expires:
            return f"The certificate authority expired on {date}; `interpose ca init --replace` makes another one."
        if now >= self.expires - timedelta(days=30):
            return f"The certificate authority expires on {date}; clients will have to trust another one by then."
        return None

    def permits(self, host: str) -> bool:
        """Whether clients that trust it would believe a certificate of its for `host`."""
        if not self._hosts and not self._networks:
            return True
        if (address := _address(host)) is not None:
            return any(address in network for network in self._networks if network.version == address.version)
        return any(host == name or host.endswith(f".{name}") for name in self._hosts)

    def issue(self, host: str, key: ec.EllipticCurvePublicKey, now: datetime, lives: timedelta) -> x509.Certificate:
        """A certificate for the server `host`, a name or an address, and its `key`: valid for `lives` from now, and
        never when the authority is not."""
        address = _address(host)
        name: x509.GeneralName = x509.DNSName(host) if address is None else x509.IPAddress(address)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - SKEW, self.begins))
            .not_valid_after(min(now + lives, self.expires))
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(_LEAF, critical=True)
            .add_extension(_LEAF_USAGE, critical=True)
            .add_extension(_SERVER, critical=False)
            .add_extension(self._key_identifier, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as OpenSSL reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_authority, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


_LEAF = x509.BasicConstraints(ca=False, path_length=None)
_LEAF_USAGE = _usage(is_authority=False)
_SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def _self_signed(key: ec.EllipticCurvePrivateKey, permit: Sequence[str], days: int) -> x509.Certificate:
    # With a part by chance: two authorities of one machine must not be taken for each other.
    name = f"Interpose on {os.uname().nodename[:32]} ({secrets.token_hex(3)})"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now - SKEW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if permit:
        builder = builder.add_extension(_constraints(permit), critical=True)
    return builder.sign(key, hashes.SHA256())


def _constraints(permit: Sequence[str]) -> x509.NameConstraints:
    """Of a kind of names for which nothing is permitted, everything is excluded: else it would be free."""
    permitted: list[x509.GeneralName] = []
    excluded: list[x509.GeneralName] = []
    for text in permit:
        with contextlib.suppress(ValueError):
            permitted.append(x509.IPAddress(ipaddress.ip_network(text)))
            continue
        host = text.removeprefix("*.").removeprefix(".").lower()
        if not is_name(host):
            raise ValueError(f"{text!r} is neither a host nor a network; write example.com or 192.0.2.0/24.")
        permitted.append(x509.DNSName(host))
    if not any(isinstance(name, x509.DNSName) for name in permitted):
        excluded.append(x509.DNSName(""))
    networks = [name.value for name in permitted if isinstance(name, x509.IPAddress)]
    for every in _EVERY_ADDRESS:
        if not any(network.version == every.version for network in networks):
            excluded.append(x509.IPAddress(every))
    return x509.NameConstraints(permitted, excluded or None)


def _permitted(
    certificate: x509.Certificate,
) -> tuple[tuple[str, ...], tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]]:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return (), ()
    names = constraints.permitted_subtrees or ()
    networks = (name.value for name in names if isinstance(name, x509.IPAddress))
    return (
        tuple(name.value for name in names if isinstance(name, x509.DNSName)),
        tuple(network for network in networks if isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)),
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _Shared(ValueError):
    """A file that others can read."""


def _refuse_if_shared(path: Path) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        wanted = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
        raise _Shared(
            f"{path} is open to others (mode {mode:04o}), and the key of an authority must be known to nobody else: "
            f"if nobody has read it, `chmod {wanted:o} {path}`; if you do not know, `interpose ca init --replace` too."
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise _Shared(f"{path} belongs to another user, who can read the key in it.")


def _write(path: Path, data: bytes, mode: int) -> None:
    """Put a file in its place, whole or not at all, and never with another mode."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

"""Certificates for tests: an authority of our own and what it signs, good and bad."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: str
    key: str


class CertificateAuthority:
    """Signs certificates and writes them below `directory`; `file` is what clients are to believe."""

    def __init__(self, directory: Path, name: str = "Test authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._count = 0
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = str(directory / f"{name.replace(' ', '-').lower()}.pem")
        Path(self.file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *names: str,
        self_signed: bool = False,
        weak: bool = False,
        client: bool = False,
        subject: str = "",
        starts: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=1),
    ) -> Pair:
        """A certificate for `names` (hosts or IP addresses, also mail addresses and URLs), valid from `starts` to
        `ends`, counted from now; of a `client`, or of a server."""
        key: Key = rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or names[0])])
        signer: Key = key if self_signed else self._key
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(whose)
            .issuer_name(whose if self_signed else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        self._count += 1
        pair = Pair(*(str(self._directory / f"{self._count}.{end}") for end in ("crt", "key")))
        Path(pair.certificate).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        Path(pair.key).write_bytes(_pem(key, serialization.NoEncryption()))
        return pair

    def expired(self, *names: str) -> Pair:
        """A certificate that was valid until an hour ago."""
        return self.issue(*names, ends=timedelta(hours=-1))

    def sign(self, request: x509.CertificateSigningRequest, lifetime: timedelta, now: datetime | None = None) -> bytes:
        """The certificate that `request` asks for, valid from now on, and the authority's own behind it, in PEM."""
        now = now or datetime.now(UTC)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + lifetime)
            .add_extension(names, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + Path(self.file).read_bytes()

    def revoked(self, *pairs: Pair) -> str:
        """The file of a list that revokes the certificates of `pairs`, signed now."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - timedelta(hours=1))
            .next_update(now + timedelta(days=1))
        )
        for pair in pairs:
            serial = x509.load_pem_x509_certificate(Path(pair.certificate).read_bytes()).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=1))
            builder = builder.add_revoked_certificate(one.build())
        self._count += 1
        file = self._directory / f"{self._count}.crl"
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return str(file)

    def client(self, *protocols: str) -> ssl.SSLContext:
        """The context of a client that believes this authority and nobody else."""
        context = ssl.create_default_context(cafile=self.file)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def lock(key_file: str, passphrase: bytes) -> None:
    """Put a passphrase on the key in `key_file`."""
    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    assert isinstance(key, Key)
    Path(key_file).write_bytes(_pem(key, serialization.BestAvailableEncryption(passphrase)))


def _pem(key: Key, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip

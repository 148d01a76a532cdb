"""TLS with origins that are looked into: verified as strictly as a browser would, with what each of them asks for.

Chain, name and dates are OpenSSL's work, at its security level 2 (no keys below 2048 bits of RSA, no SHA-1) and from
TLS 1.2 on. A list of revoked certificates is compared here, after the handshake: OpenSSL can only be told to demand a
list of every authority there is, which nobody has.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream
from interpose.net.key_log import KeyLog
from interpose.net.stream import SocketStream
from interpose.net.tls import client_context


class ClientIdentity(NamedTuple):
    """A certificate to show to some hosts (`*.example.com` for all below a name), and its key."""

    hosts: tuple[str, ...]
    certificate: str
    key: str


class OriginTls:
    """See the module. ValueError, a sentence, for a file that cannot be used. `key_log` has the secrets of what is said
    to origins."""

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        crl_file: str | None = None,
        identities: Sequence[ClientIdentity] = (),
        key_log: KeyLog | None = None,
    ) -> None:
        self._usual = client_context(ca_file)
        self._contexts: dict[str, ssl.SSLContext] = {}
        for identity in identities:
            context = _with_identity(client_context(ca_file), identity)
            for host in identity.hosts:
                self._contexts.setdefault(host, context)
        if key_log is not None:
            for context in {self._usual, *self._contexts.values()}:
                key_log.follow(context)
        self._revoked = None if crl_file is None else _revoked(crl_file)

    def context(self, host: str) -> ssl.SSLContext:
        """What `host` is spoken to with."""
        return self._contexts.get(host) or self._contexts.get("*." + host.partition(".")[2]) or self._usual

    async def secure(self, stream: Stream, host: str, timeout_s: float) -> None:
        """Continue a dialled stream in TLS with `host`, verified. `Failure` when that cannot be; it is gone then."""
        try:
            async with asyncio.timeout(timeout_s):
                await stream.start_tls(self.context(host), server_name=host)
        except TimeoutError:
            stream.abort()
            detail = f"{host} did not complete the TLS handshake within {timeout_s:g} s."
            raise Failure("connection_timeout", Side.UPSTREAM, detail) from None
        except ValueError as error:  # a name that is none, for which no certificate can be
            stream.abort()
            detail = f"{host} cannot be verified: {error}."
            raise Failure("tls_certificate_error", Side.UPSTREAM, detail) from error
        if self._revoked is not None and _is_in(self._revoked, stream):
            stream.abort()
            detail = f"The certificate of {host} cannot be trusted: it was revoked."
            raise Failure("tls_certificate_error", Side.UPSTREAM, detail)


Revoked = frozenset[tuple[bytes, int]]
"""Issuer and serial number of certificates."""


def _revoked(crl_file: str) -> Revoked:
    begin = b"-----BEGIN X509 CRL-----"
    try:
        parts = Path(crl_file).read_bytes().split(begin)[1:]
        lists = [x509.load_pem_x509_crl(begin + part) for part in parts]
    except OSError as error:
        raise ValueError(f"The list {crl_file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except ValueError as error:
        raise ValueError(f"The list {crl_file} is damaged: {error}.") from error
    if not lists:
        raise ValueError(f"The list {crl_file} holds no list of revoked certificates in PEM.")
    return frozenset((one.issuer.public_bytes(), entry.serial_number) for one in lists for entry in one)


def _is_in(revoked: Revoked, stream: Stream) -> bool:
    shown = stream.peer_certificate if isinstance(stream, SocketStream) else None
    if shown is None:  # nobody can tell: then it is not let through
        return True
    certificate = x509.load_der_x509_certificate(shown)
    return (certificate.issuer.public_bytes(), certificate.serial_number) in revoked


def _with_identity(context: ssl.SSLContext, identity: ClientIdentity) -> ssl.SSLContext:
    try:
        context.load_cert_chain(identity.certificate, identity.key, password=b"")
    except (OSError, ssl.SSLError) as error:
        words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        why = (words or "a part is damaged").lower().replace("_", " ")
        raise ValueError(f"The certificate {identity.certificate} and its key cannot be used: {why}.") from error
    return context

"""The certificates of a listener: files read, watched, and chosen from by the name a client asks for."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from interpose.net.tls import server_context

if TYPE_CHECKING:
    from cryptography import x509

_SOON = timedelta(days=30)

_Signature = tuple[int, int, int]


class Identity:
    """A certificate with its key. `ValueError` with one sentence when the pair cannot be used."""

    def __init__(self, certificate: str, key: str) -> None:
        self._certificate = certificate
        self._key = key
        self._signatures = self._look()
        self.context, self.names, self._expires = self._load()

    def refresh(self) -> str | None:
        """Read the files again when they changed. Returns why the new ones are not used; the old ones then stay."""
        signatures = self._look()
        if signatures == self._signatures:
            return None
        self._signatures = signatures
        try:
            self.context, self.names, self._expires = self._load()
        except ValueError as error:
            return f"{error} The one read before stays in use."
        return None

    def warning(self, now: datetime) -> str | None:
        """What an operator should know about its dates, in a sentence."""
        date = f"{self._expires:%Y-%m-%d %H:%M} UTC"
        if now >= self._expires:
            return f"The certificate {self._certificate} expired on {date}; clients will refuse it."
        if now >= self._expires - _SOON:
            return f"The certificate {self._certificate} expires on {date}."
        return None

    def _look(self) -> tuple[_Signature | None, _Signature | None]:
        return _signature(self._certificate), _signature(self._key)

    def _load(self) -> tuple[ssl.SSLContext, frozenset[str], datetime]:
        from cryptography import x509  # slow to load, and most listeners have no certificate

        context = server_context(self._certificate, self._key)
        try:
            with open(self._certificate, "rb") as file:
                leaf = x509.load_pem_x509_certificates(file.read())[0]
        except (OSError, ValueError, IndexError) as error:
            raise ValueError(f"The certificate {self._certificate} cannot be read: {error}.") from error
        return context, _names(leaf), leaf.not_valid_after_utc


class Identities:
    """The certificates of one listener; the first one serves clients that name no host, or one that none is for."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        assert identities
        self._identities = list(identities)

    def choose(self, server_name: str | None) -> ssl.SSLContext:
        """The context to answer a client with that asked for `server_name`."""
        if server_name is not None and len(self._identities) > 1:
            wildcard = "*." + server_name.partition(".")[2]
            for wanted in (server_name, wildcard):
                for identity in self._identities:
                    if wanted in identity.names:
                        return identity.context
        return self._identities[0].context

    def refresh(self) -> list[str]:
        """Read what changed; the warnings are for the log. For the coarse tick: it costs two stats per certificate."""
        return [warning for identity in self._identities if (warning := identity.refresh())]

    def warnings(self, now: datetime | None = None) -> list[str]:
        """What an operator should know about dates."""
        now = now or datetime.now(UTC)
        return [warning for identity in self._identities if (warning := identity.warning(now))]


def _signature(path: str) -> _Signature | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _names(leaf: x509.Certificate) -> frozenset[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return frozenset(str(attribute.value).lower() for attribute in common)
    return frozenset(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))

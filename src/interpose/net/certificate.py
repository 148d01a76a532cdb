"""The certificates of a listener: files read, watched, and chosen from by the name a client asks for."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from interpose.net.tls import ClientTrust, server_context

if TYPE_CHECKING:
    from cryptography import x509

UNRECOGNIZED_NAME: Final = 112
INTERNAL_ERROR: Final = 80
"""Alerts of TLS (RFC 8446, 6.2): no certificate is for this name; there is one, and it cannot be used."""

_WARN_BEFORE = (timedelta(days=30), timedelta(days=7), timedelta(days=1), timedelta(0))

_Signature = tuple[int, int, int]


class Choice(NamedTuple):
    """What a client is answered with: a context, or where there is none the alert that turns it away.

    `trust` are the rules by which the certificates of clients are judged; None when they are not asked for any.
    """

    context: ssl.SSLContext | None
    trust: tuple[ClientTrust, int] | None = None
    alert: int = 0


class Condition(NamedTuple):
    """How a certificate stands: its names, when it ends (seconds since 1970; 0.0: there is none), what is wrong."""

    certificate: str
    names: tuple[str, ...]
    expires: float
    problem: str


class Identity:
    """A certificate with its key. `ValueError` with one sentence when the pair cannot be used.

    With `may_be_missing` there is none: such an identity turns its clients away until its files are good. `hosts` are
    what it is for, else those in the certificate; `clients`, when given, have to show certificates too.
    """

    def __init__(
        self,
        certificate: str,
        key: str,
        *,
        hosts: Iterable[str] = (),
        clients: ClientTrust | None = None,
        may_be_missing: bool = False,
    ) -> None:
        self.context: ssl.SSLContext | None = None
        self.choice = Choice(None, None if clients is None else (clients, 0), INTERNAL_ERROR)
        """What its clients are answered with. Those whose connections are older have to show what is asked for too."""
        self.clients = clients
        self.problem = ""
        """Why the files as they are now are not used; "" when they are."""
        self.names = self._hosts = frozenset(hosts)
        self._certificate = certificate
        self._key = key
        self._expires: datetime | None = None
        self._loads = 0
        self._warned = len(_WARN_BEFORE)
        self._signatures = self._look()
        try:
            self._load()
        except ValueError as error:
            if not may_be_missing:
                raise
            self.problem = str(error)

    @property
    def condition(self) -> Condition:
        """How it stands."""
        expires = 0.0 if self._expires is None else self._expires.timestamp()
        return Condition(self._certificate, tuple(sorted(self.names)), expires, self.problem)

    def refresh(self) -> str | None:
        """Read the files again when they changed. Returns why the new ones are not used; the old ones then stay."""
        signatures = self._look()
        if signatures == self._signatures:
            return None
        self._signatures = signatures
        try:
            self._load()
        except ValueError as error:
            self.problem = str(error)
            return f"{error} The one read before stays in use." if self.context is not None else self.problem
        self.problem = ""
        return None

    def warning(self, now: datetime) -> str | None:
        """What an operator should know about its dates, in a sentence."""
        if self._expires is None:
            return None
        date = f"{self._expires:%Y-%m-%d %H:%M} UTC"
        if now >= self._expires:
            return f"The certificate {self._certificate} expired on {date}; clients will refuse it."
        if now >= self._expires - _WARN_BEFORE[0]:
            return f"The certificate {self._certificate} expires on {date}."
        return None

    def new_warning(self, now: datetime) -> str | None:
        """The same, but only when it has not been said yet at this distance: 30, 7 and 1 days before, and then."""
        if self._expires is None:
            return None
        left = sum(now < self._expires - before for before in _WARN_BEFORE)
        if left >= self._warned:
            return None
        self._warned = left
        return self.warning(now)

    def _look(self) -> tuple[_Signature | None, ...]:
        paths = [self._certificate, self._key]
        if self.clients is not None:
            paths += [path for path in (self.clients.ca_file, self.clients.crl_file) if path is not None]
        return tuple([_signature(path) for path in paths])

    def _load(self) -> None:
        from cryptography import x509  # slow to load, and most listeners have no certificate

        leaf, why = None, ""
        try:
            with open(self._certificate, "rb") as file:
                leaf = x509.load_pem_x509_certificates(file.read())[0]
        except (OSError, ValueError, IndexError) as error:
            why = f"The certificate {self._certificate} cannot be read: {error}."
        if leaf is not None and self.context is None:  # whom it turns away, should the rest be unusable
            self.names = self._hosts or _names(leaf)
        context = server_context(self._certificate, self._key, self.clients)
        if leaf is None:
            raise ValueError(why)
        self.context, self.names, self._expires = context, self._hosts or _names(leaf), leaf.not_valid_after_utc
        self._loads += 1
        self.choice = Choice(context, None if self.clients is None else (self.clients, self._loads))
        self._warned = len(_WARN_BEFORE)


class Identities:
    """The certificates of one listener. The first one serves clients that name no host, or one that none is for; when
    `strict` those that name one that none is for are turned away."""

    def __init__(self, identities: Sequence[Identity], *, strict: bool = False) -> None:
        assert identities
        self._identities = list(identities)
        self._strict = strict
        self._by_name = self._index()

    def of(self, server_name: str | None) -> Identity | None:
        """Who answers for a host; None when nobody does."""
        if server_name is None or (len(self._identities) == 1 and not self._strict):
            return self._identities[0]
        by_name = self._by_name
        found = by_name.get(server_name) or by_name.get("*." + server_name.partition(".")[2])
        return self._identities[0] if found is None and not self._strict else found

    def choose(self, server_name: str | None) -> Choice:
        """What to answer a client with that asked for `server_name`."""
        identity = self.of(server_name)
        return Choice(None, alert=UNRECOGNIZED_NAME) if identity is None else identity.choice

    @property
    def are_several(self) -> bool:
        """Whether it matters which host a client asks for."""
        return len(self._identities) > 1 or self._strict

    @property
    def ask_clients(self) -> bool:
        """Whether any client is asked for a certificate."""
        return any(identity.clients is not None for identity in self._identities)

    def refresh(self) -> list[str]:
        """Read what changed; the warnings are for the log. For the coarse tick: it costs two stats per certificate."""
        said = [warning for identity in self._identities if (warning := identity.refresh())]
        self._by_name = self._index()
        return said

    def new_warnings(self, now: datetime | None = None) -> list[str]:
        """What there is to say about dates and has not been said yet: 30, 7 and 1 days before the end, and then."""
        now = now or datetime.now(UTC)
        return [warning for identity in self._identities if (warning := identity.new_warning(now))]

    def warnings(self, now: datetime | None = None) -> list[str]:
        """What an operator should know about files and dates."""
        now = now or datetime.now(UTC)
        told = [identity.problem or identity.warning(now) for identity in self._identities]
        return [warning for warning in told if warning]

    @property
    def conditions(self) -> list[Condition]:
        """How all of them stand."""
        return [identity.condition for identity in self._identities]

    def _index(self) -> dict[str, Identity]:
        return {name: identity for identity in reversed(self._identities) for name in identity.names}


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
    names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    return frozenset([*names, *map(str, extension.value.get_values_for_type(x509.IPAddress))])

"""Who a client is, by the certificate that it showed in the TLS handshake, and what servers are told of it (RFC 9440).

The handshake has judged the certificate already (`net/tls.py`); what is left is that rules change while connections
live on. So each request is held against the rules of the host that it asks for as they are now: what was judged by
others, or has expired since, is no certificate. Fields with which servers are told are taken off every request first,
also those of trusted proxies: this listener has seen the certificate itself (THREATS A11).
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import FieldLine, field_line
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.protocol.forwarding import CLIENT_CERTIFICATE

if TYPE_CHECKING:
    from cryptography import x509

_MOST_KNOWN: Final = 4096
_UNSAFE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
_UNSAFE_IN_LIST: Final = re.compile(rb"[^\x21-\x24\x26-\x2b\x2d-\x7e]")
_SPACE_AT_AN_END: Final = re.compile(r"\A | \Z")
_MISDIRECTED: Final = 421

Rules = Any
"""By what a certificate is judged: a tuple of `ClientTrust` and of how often its files have been read."""


class ClientCertificateOptions(NamedTuple):
    """What of a certificate becomes known, and to whom."""

    fields: tuple[str, ...] = ("certificate", "subject", "fingerprint")
    """What servers are told: `certificate`, `subject`, `names`, `fingerprint`."""
    user: str = "off"
    """What is the user's name: `subject`, `common_name`, `email`, `dns`, `uri`; `off` for none."""


class Known(NamedTuple):
    """What is known of one certificate."""

    lines: tuple[FieldLine, ...]
    user: str | None
    expires: float


class ClientCertificate:
    """The filter (phase ADMIT, before all who ask for a user). `rules_of` gives the rules for a host, None without any.

    `tell` is its other half, which stands behind the one that deletes what clients claim about themselves.
    """

    def __init__(
        self,
        rules_of: Callable[[str], Rules],
        options: ClientCertificateOptions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules_of = rules_of
        self._options = options
        self._clock = clock
        self._known: dict[bytes, Known] = {}

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. Raises the refusal of a client that has to show a certificate and has not."""
        rules = self._rules_of(request.target.authority.host)
        if rules is None:
            return forward(exchange, request)
        known = self._shown(exchange, rules)
        if known is None and rules[0].is_required:
            why = "The connection was made without a certificate that is good for this host; make a new one with it."
            exchange.refused_by("client certificate", "client_certificate = require", why)
            raise Failure("http_request_error", Side.DOWNSTREAM, why, status=_MISDIRECTED)
        if known is not None and known.user is not None:
            exchange.user = known.user
        if exchange.tls is not None and exchange.tls.trust != rules:
            return _last(forward(exchange, request))
        return forward(exchange, request)

    def tell(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """(a filter too) Tell servers what is known."""
        lines = [line for line in request.fields.lines if line[0] not in CLIENT_CERTIFICATE]
        rules = self._rules_of(request.target.authority.host)
        if rules is not None and (known := self._shown(exchange, rules)) is not None:
            lines += known.lines
        request.fields.lines = lines
        return forward(exchange, request)

    def _shown(self, exchange: Exchange, rules: Rules) -> Known | None:
        """What is known of the certificate that the client showed, when that counts by `rules`."""
        tls = exchange.tls
        if tls is None or tls.certificate is None:
            return None
        trust: Rules = tls.trust
        if trust is None or trust[0] != rules[0]:
            return None
        known = self._known.get(tls.certificate)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[tls.certificate] = known_of(tls.certificate, self._options)
        return known if self._clock() < known.expires else None


def known_of(certificate: bytes, options: ClientCertificateOptions) -> Known:
    """What a certificate (DER) says, in words that cannot be anything but text."""
    from cryptography import x509  # slow to load, and few ask for certificates
    from cryptography.hazmat.primitives import hashes

    read = x509.load_der_x509_certificate(certificate)
    names = _names(read)
    made = {
        "certificate": ("Client-Cert", f":{base64.b64encode(certificate).decode()}:"),
        "subject": ("X-Client-Cert-Subject", _plain(read.subject.rfc4514_string(), _UNSAFE)),
        "names": ("X-Client-Cert-Names", ", ".join([f"{kind}:{name}" for kind, name in names])),
        "fingerprint": ("X-Client-Cert-Fingerprint", read.fingerprint(hashes.SHA256()).hex()),
    }
    lines = tuple([field_line(*made[field]) for field in options.fields])
    return Known(lines, _user(read, names, options.user), read.not_valid_after_utc.timestamp())


def _user(read: x509.Certificate, names: list[tuple[str, str]], what: str) -> str | None:
    from cryptography.x509.oid import NameOID

    if what == "subject":
        return _plain(read.subject.rfc4514_string(), _UNSAFE) or None
    if what == "common_name":
        found = [str(one.value) for one in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return _plain(found[0], _UNSAFE) if len(found) == 1 else None  # with two of them somebody would choose
    return next((name for kind, name in names if kind == what), None)


def _names(read: x509.Certificate) -> list[tuple[str, str]]:
    """The alternative names with their kinds, in the certificate's order."""
    from cryptography import x509

    kinds: dict[Any, str] = {
        x509.RFC822Name: "email",
        x509.DNSName: "dns",
        x509.UniformResourceIdentifier: "uri",
        x509.IPAddress: "ip",
    }
    try:
        extension = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        (kinds[type(name)], _plain(str(name.value), _UNSAFE_IN_LIST)) for name in extension.value if type(name) in kinds
    ]


def _plain(text: str, unsafe: re.Pattern[bytes]) -> str:
    """The text with everything that is not printable ASCII as `%XX` of its UTF-8: no line ends in a field (A10)."""
    octets = text.encode("utf-8", "surrogatepass")
    plain = unsafe.sub(lambda found: f"%{found[0][0]:02X}".encode(), octets).decode("ascii")
    return _SPACE_AT_AN_END.sub("%20", plain)


async def _last(answering: Awaitable[Response]) -> Response:
    """The files behind the rules have changed: the next request is to come on a connection that was judged by them."""
    response = await answering
    response.must_close = True
    return response

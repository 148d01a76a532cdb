"""Where clients of a proxy that looks into TLS get the certificate to trust, and how each system is told to.

/certificate   the page, with a code that a phone's camera reads
/ca.pem        the certificate for programs
/ca.cer        the same in DER, which phones and Windows open
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

import segno

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.target import Authority
from interpose.protocol.negotiation import best_media_type

PAGE, PEM, DER = "/certificate", "/ca.pem", "/ca.cer"

TEXT = Template("""\
This proxy looks into TLS. Programs that trust its certificate see no difference; to others every server looks wrong.

  curl -O $url/ca.pem
  curl --cacert ca.pem ...
  export SSL_CERT_FILE=... REQUESTS_CA_BUNDLE=... NODE_EXTRA_CA_CERTS=...   for most programs

Name         $name
Signs for    $permitted
Valid until  $expires
SHA-256      $fingerprint
""")


class Trusted(NamedTuple):
    """The certificate that is offered; `permitted` is what it may sign for, empty for everything."""

    name: str
    pem: bytes
    der: bytes
    expires: datetime
    fingerprint: str
    permitted: tuple[str, ...] = ()


class CertificatePage:
    """The handler for these paths; others are `otherwise`'s. `own` is for clients that do not say where they are."""

    def __init__(self, trusted: Trusted, own: Authority, otherwise: Handler) -> None:
        page = files("interpose.filters").joinpath("certificate_page.html").read_text("utf-8")
        self._page = Template(page)
        self._trusted = trusted
        self._own = own
        self._otherwise = otherwise
        style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """See the module; 405 for what is not GET or HEAD."""
        path = request.target.path
        if path not in (PAGE, PEM, DER):
            return await self._otherwise(exchange, request)
        if request.method not in ("GET", "HEAD"):
            why = "The proxy's certificate can be had with GET."
            raise Failure("http_request_error", Side.DOWNSTREAM, why, status=405)
        if path == PEM:
            return _file("application/x-pem-file", self._trusted.pem, "interpose-ca.pem")
        if path == DER:
            return _file("application/x-x509-ca-cert", self._trusted.der, "interpose-ca.cer")
        scheme = "http" if exchange.tls is None else "https"
        return self._shown(
            request, f"{scheme}://{request.target.authority if request.target.authority.host else self._own}"
        )

    def _shown(self, request: Request, url: str) -> Response:
        trusted = self._trusted
        values = {
            "url": url,
            "name": trusted.name,
            "permitted": ", ".join(trusted.permitted) or "every server",
            "expires": f"{trusted.expires:%Y-%m-%d}",
            "fingerprint": trusted.fingerprint,
        }
        if best_media_type(request.fields.get("Accept"), ("text/plain", "text/html")) != "text/html":
            return _answer("text/plain; charset=utf-8", TEXT.substitute(values).encode())
        safe = {name: escape(value) for name, value in values.items()}
        code = segno.make(url + PAGE, micro=False).svg_inline(scale=5, border=3, dark="#000", light="#fff")
        response = _answer("text/html; charset=utf-8", self._page.substitute(safe, code=code).encode())
        response.fields.add("Content-Security-Policy", self._policy)
        return response


def _file(media_type: str, content: bytes, name: str) -> Response:
    response = _answer(media_type, content)
    response.fields.add("Content-Disposition", f'attachment; filename="{name}"')
    return response


def _answer(media_type: str, content: bytes) -> Response:
    fields = Fields(
        [("Content-Type", media_type), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    )
    return Response(200, fields, Body(content))

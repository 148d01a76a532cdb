"""What a proxy answers when it is asked for itself: how to set clients up, and `/proxy.pac`, which does it for them.

The addresses on the page are those by which the client found it: what it wrote as the host works from where it is.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template

import msgspec

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import DEFAULT_PORTS, Authority
from interpose.protocol.negotiation import best_media_type

PAC_PATHS = ("/proxy.pac", "/wpad.dat")

PAC = Template("""\
function FindProxyForURL(url, host) {
  var direct = $exceptions;
  host = host.toLowerCase();
  if (/^127(\\.\\d+){3}$$/.test(host) || /^\\[?::1\\]?$$/.test(host)) return "DIRECT";
  for (var i = 0; i < direct.length; i++) {
    var rule = direct[i], end = rule.slice(1);
    if (host === rule || (rule.charAt(0) === "*" && host.slice(-end.length) === end)) return "DIRECT";
  }
  return $proxy;
}
""")

TEXT = Template("""\
This is a proxy, and you have reached it. It fetches pages for programs that are told to use it:

  curl -x $url http://example.org/
  export http_proxy=$url https_proxy=$url
  chromium --proxy-server=$url

Browsers and systems that take a configuration script: $pac_url
A browser shows more at $self_url
""")

NOTE_TLS = """\
<p class="note">This proxy speaks TLS on the way to you. curl and Chromium can do that; Firefox and the settings of the
systems only by the automatic configuration.</p>
"""
NOTE_INTERCEPTION = """\
<p class="note">It looks into TLS: clients have to trust <a href="/certificate">its certificate</a>.</p>
"""
NOTE_PASSWORD = """\
<p class="note">It asks for a user name and a password: browsers show a dialogue, curl takes <code>-U NAME</code>.</p>
"""
NOTE_PRIVACY = """\
<p class="note">It decides what servers learn of you: <a href="/privacy">see what they see</a>.</p>
"""


class SetupPageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the proxy says about itself."""

    pac_exceptions: tuple[str, ...] = ()
    """Hosts that `/proxy.pac` tells browsers to reach directly; `*.example` stands for every name below it."""

    asks_for_password: bool = False
    """Whether the page says that a user name and a password are needed."""

    looks_into_tls: bool = False
    """Whether the page says that there is a certificate to trust, at `/certificate`."""

    shows_privacy: bool = False
    """Whether the page says that there is one about what servers see, at `/privacy`."""

    pseudonym: str = "interpose"
    """What the page calls the program that serves it."""


class SetupPage:
    """The handler. `own` is the listener's address, for a client that does not say which one it used."""

    def __init__(self, options: SetupPageOptions, own: Authority) -> None:
        page = files("interpose.filters").joinpath("setup_page.html").read_text("utf-8")
        self._page = Template(page)
        self._options = options
        self._own = own
        self._exceptions = ("localhost", "*.localhost", *(host.lower() for host in options.pac_exceptions))
        style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """The page at `/`, the configuration script at PAC_PATHS, else 404; 405 for what is not GET or HEAD."""
        path = request.target.path
        if path != "/" and path not in PAC_PATHS:
            detail = "This is the proxy itself; its set-up page is at /."
            raise Failure("destination_not_found", Side.DOWNSTREAM, detail, status=404)
        if request.method not in ("GET", "HEAD"):
            response = Response.text(405, "This is the proxy itself; it answers GET and HEAD.\n")
            response.fields.add("Allow", "GET, HEAD")
            return response
        scheme = "http" if exchange.tls is None else "https"
        authority = request.target.authority if request.target.authority.host else self._own
        return self._pac(scheme, authority) if path in PAC_PATHS else self._setup(request, scheme, authority)

    def _setup(self, request: Request, scheme: str, authority: Authority) -> Response:
        full = with_port(scheme, authority)
        values = {
            "url": f"{scheme}://{full}",
            "pac_url": f"{scheme}://{full}/proxy.pac",
            "self_url": f"{scheme}://{full}/",
        }
        if best_media_type(request.fields.get("Accept"), ("text/plain", "text/html")) != "text/html":
            return answer("text/plain; charset=utf-8", TEXT.substitute(values))
        notes = (NOTE_TLS if scheme == "https" else "") + (NOTE_PASSWORD if self._options.asks_for_password else "")
        notes += NOTE_INTERCEPTION if self._options.looks_into_tls else ""
        notes += NOTE_PRIVACY if self._options.shows_privacy else ""
        host, port = full
        values |= {"address": str(full), "host": host, "port": str(port), "pseudonym": self._options.pseudonym}
        values |= {"direct": ", ".join(("addresses of your own machine", *self._exceptions[2:]))}
        safe = {name: escape(value) for name, value in values.items()}
        response = answer("text/html; charset=utf-8", self._page.substitute(safe, notes=notes))
        response.fields.add("Content-Security-Policy", self._policy)
        return response

    def _pac(self, scheme: str, authority: Authority) -> Response:
        kind = "HTTPS" if scheme == "https" else "PROXY"
        script = PAC.substitute(
            exceptions=msgspec.json.encode(self._exceptions).decode(),
            proxy=msgspec.json.encode(f"{kind} {with_port(scheme, authority)}").decode(),
        )
        return answer("application/x-ns-proxy-autoconfig", script)


def with_port(scheme: str, authority: Authority) -> Authority:
    """The authority with its port written, also where it is the scheme's own: settings of a proxy have no default."""
    return authority._replace(port=authority.port or DEFAULT_PORTS[scheme])


def answer(media_type: str, text: str) -> Response:
    """An answer that is not kept: the next one may know the proxy by another address."""
    fields = Fields(
        [("Content-Type", media_type), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    )
    return Response(200, fields, Body(text.encode()))

"""What a client gets when there is no answer to pass on: a small page, plain text or JSON, and `Proxy-Status`."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from http import HTTPStatus
from importlib.resources import files
from string import Template

import msgspec

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.printable import printable
from interpose.protocol.negotiation import best_media_type

OFFERS = ("text/plain", "text/html", "application/json")

# One kind may have several statuses: the table of failures has the sentence for its usual one, these are the others.
SAYS: dict[int, str] = {
    401: "This page wants to know who you are.",
    404: "There is nothing at this address.",
    405: "This address does not take requests of this method.",
    407: "The proxy wants to know who you are.",
    408: "The request did not arrive in time.",
    413: "The request's content is too large.",
    414: "The address asked for is too long.",
    417: "The request expects what cannot be promised.",
    421: "The request was meant for another server.",
    429: "Too many requests came from you.",
    431: "The request has too many or too large fields.",
    501: "The request asks for something that is not supported.",
    505: "The request is in a version of HTTP that is not supported.",
}

# What the person in front of the screen can do, by kind where that says more, else by status.
ADVICE: dict[str | int, str] = {
    "dns_error": "Check the spelling of the server's name.",
    "tls_certificate_error": "Send this server nothing secret until its certificate is in order.",
    "destination_not_found": "Check the address; whoever runs the proxy decides which ones lead somewhere.",
    400: "If a browser made this request, try the address without special characters; else correct the program.",
    401: "Give a user name and password that this server knows.",
    403: "If you should have access, ask whoever runs the proxy and name the reference below.",
    404: "Check the address.",
    407: "Give your client the user name and password for this proxy.",
    408: "Try again; if it happens often, the connection to the proxy is slow or breaks.",
    413: "Send less at once.",
    414: "Shorten the address; long queries belong in the content of a POST.",
    429: "Wait a little, then try again.",
    431: "Delete this site's cookies, then try again.",
    500: "Try again; if it stays, tell whoever runs the proxy and name the reference below.",
    502: "Check the address, then try again in a moment.",
    503: "Try again in a moment.",
    504: "Try again in a moment; the server may be busy or out of reach.",
    508: "Correct the proxy's settings, or those of the client: the address asked for leads back to the proxy.",
}
OTHERWISE = "If it stays, tell whoever runs the proxy and name the reference below."

# What is nobody's fault: the proxy decided, so the way ends at the proxy.
REFUSALS = ("http_request_denied", "destination_ip_prohibited")

# RFC 9651, 3.3.3 and 3.3.4: what a string may hold, and what may stand without quotes.
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_SF_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")


class ErrorAnswerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How failures are answered."""

    pseudonym: str = "interpose"
    """The name under which this proxy speaks of itself in `Proxy-Status`."""

    retry_after_s: int = 5
    """Seconds that `Retry-After` asks a client to wait after a 429 or 503."""

    show_detail: bool = True
    """Whether the answer has the failure's own sentence, which may name servers and addresses."""

    is_chosen: bool = True
    """Whether clients have chosen this proxy. Those of a gateway know of none: to them it is the site."""


class ErrorAnswer:
    """`answer(exchange, request, failure)` is the response for a failure; `request` is None when none could be read."""

    def __init__(self, options: ErrorAnswerOptions) -> None:
        page = files("interpose.filters").joinpath("error_answer.html").read_text("utf-8")
        self._page = Template(page)
        self._show_detail = options.show_detail
        self._is_chosen = options.is_chosen
        self._pseudonym = sf_item(options.pseudonym)
        self._retry_after = str(options.retry_after_s)
        self._policy = f"default-src 'none'; style-src '{style_hash(page)}'; base-uri 'none'; form-action 'none'"

    def __call__(self, exchange: Exchange, request: Request | None, failure: Failure, *, anyway: str = "") -> Response:
        """Never raises: whatever a failure's detail holds is escaped for the form that the client accepts.

        `anyway` is a URL at which the client gets there all the same.
        """
        shown = self._show_detail or failure.public
        detail = failure.detail if shown and failure.detail != says(failure) else ""
        accept = request.fields.get("Accept") if request is not None else None
        media_type = best_media_type(accept, OFFERS) or OFFERS[0]
        fields = Fields([("Content-Type", f"{media_type}; charset=utf-8"), ("Cache-Control", "no-store")])
        fields.add("Proxy-Status", self._proxy_status(failure, detail))
        if failure.status in (429, 503):
            fields.add("Retry-After", self._retry_after)
        match media_type:
            case "text/html":
                fields.add("Content-Security-Policy", self._policy)
                content = self._html(exchange, failure, detail, anyway)
            case "application/json":
                content = as_json(exchange, failure, detail, anyway)
            case _:
                content = as_text(exchange, failure, detail, self._advice(failure), anyway)
        return Response(failure.status, fields, Body(content))

    def _proxy_status(self, failure: Failure, detail: str) -> str:
        """The field's value (RFC 9209, 2)."""
        value = f"{self._pseudonym}; error={failure.kind}"
        return f"{value}; details={sf_string(detail)}" if detail else value

    def _advice(self, failure: Failure) -> str:
        said = advice(failure)
        return said if self._is_chosen else said.replace("whoever runs the proxy", "whoever runs this site")

    def _html(self, exchange: Exchange, failure: Failure, detail: str, anyway: str) -> bytes:
        return self._page.substitute(
            status=failure.status,
            phrase=phrase_of(failure.status),
            path=way(failure),
            says=escape(says(failure)),
            detail=(f'<p class="detail">{escape(detail)}</p>\n' if detail else "")
            + (f'<p><a href="{escape(anyway)}">Go there anyway</a></p>\n' if anyway else ""),
            advice=escape(self._advice(failure)),
            kind=escape(failure.kind),
            reference=escape(exchange.id),
        ).encode("utf-8", "replace")


def way(failure: Failure) -> str:
    """The stations from client to server as list items, marked where the request's way ends."""
    states = {
        Side.DOWNSTREAM: ("at-fault", "broken", "unused"),
        Side.INTERNAL: ("", "at-fault", "unused"),
        Side.UPSTREAM: ("", "", "broken at-fault"),
    }[Side.INTERNAL if failure.kind in REFUSALS else failure.side]
    names = ("You", "Proxy", "Server")
    return "".join(f'<li class="{state}"><i></i>{name}</li>' for name, state in zip(names, states, strict=True))


def says(failure: Failure) -> str:
    """What happened, in one sentence."""
    usual = failure.consequence
    return usual.says if failure.status == usual.status else SAYS.get(failure.status, usual.says)


def advice(failure: Failure) -> str:
    """What to try."""
    return ADVICE.get(failure.kind) or ADVICE.get(failure.status) or OTHERWISE


def as_text(exchange: Exchange, failure: Failure, detail: str, advice: str, anyway: str = "") -> bytes:
    """The answer for a terminal: control characters are spelled out."""
    lines = [f"{failure.status} {phrase_of(failure.status)}: {says(failure)}"]
    if detail:
        lines.append(printable(detail.encode("utf-8", "replace")))
    lines.append(advice.replace(" below", ""))
    if anyway:
        lines.append(f"To go there anyway: {_UNPRINTABLE.sub('?', anyway)}")
    lines.append(f"({failure.kind}, {failure.side}, reference {exchange.id})\n")
    return "\n".join(lines).encode()


def as_json(exchange: Exchange, failure: Failure, detail: str, anyway: str = "") -> bytes:
    """The answer for a program."""
    answer = {
        "status": failure.status,
        "error": failure.kind,
        "side": failure.side.value,
        "message": says(failure),
        "detail": detail.encode("utf-8", "replace").decode(),
        "reference": exchange.id,
    }
    if anyway:
        answer["anyway"] = anyway
    return msgspec.json.encode(answer) + b"\n"


def phrase_of(status: int) -> str:
    """The standard reason phrase."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"


def sf_string(text: str) -> str:
    """A structured field's string (RFC 9651, 3.3.3); what it may not hold becomes a question mark."""
    return '"' + _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def sf_item(name: str) -> str:
    """A name as a structured field's token when it is one, else as a string."""
    return name if _SF_TOKEN.fullmatch(name) else sf_string(name)


def style_hash(page: str) -> str:
    """The source expression that allows the page's one style sheet and no other (CSP Level 3, 2.3.1)."""
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

"""Fields that tell who asks: removed, generalised and set. Pure functions of the lines and of a plan.

Whether a request is a third party's (what a page of one site has from another) browsers say in Sec-Fetch-Site, over TLS
and to their own machine; elsewhere Origin or Referer tell. Then names are the same site when their last two labels are,
or three where the second last is as short as `co` in `co.uk`: no list of suffixes is kept for it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine, field_line
from interpose.core.message import Request
from interpose.core.target import Target
from interpose.filters.privacy.plan import Plan
from interpose.protocol import forwarding

_CLIENT_HINTS: Final = frozenset(
    (b"content-dpr", b"device-memory", b"downlink", b"dpr", b"ect", b"rtt", b"save-data", b"viewport-width", b"width")
)
_WISHES_FOR_HINTS: Final = frozenset((b"accept-ch", b"accept-ch-lifetime", b"critical-ch"))
_IDENTIFIERS: Final = frozenset(
    (
        b"baggage", b"from", b"msisdn", b"traceparent", b"tracestate", b"wap-profile", b"x-acr", b"x-amzn-trace-id",
        b"x-att-deviceid", b"x-client-data", b"x-correlation-id", b"x-device-id", b"x-msisdn", b"x-network-info",
        b"x-nokia-msisdn", b"x-request-id", b"x-uidh", b"x-up-calling-line-id", b"x-up-subno", b"x-wap-profile",
    )
)  # fmt: skip
_ASKING_AGAIN: Final = frozenset((b"if-modified-since", b"if-none-match", b"if-range"))
_VALIDATORS: Final = frozenset((b"etag", b"last-modified"))
_TRAIL: Final = forwarding.IDENTITY | {b"via"}
_SIGNALS: Final = (field_line("DNT", "1"), field_line("Sec-GPC", "1"))

_ORIGIN: Final = re.compile(rb"(https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)(?:[/?#].*)?")
_HOST: Final = re.compile(rb"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])")
_LANGUAGE: Final = re.compile(rb"[ \t]*([A-Za-z]{2,8})(?:-[A-Za-z0-9-]*)?[ \t]*(?:[;,].*)?")
_PRODUCT: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64})(?:/.*|[ \t].*)?")
_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*")
_BROWSERS: Final = (
    (re.compile(rb".*\bFirefox/([0-9]{1,4})"),
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"),
    (re.compile(rb".*\bEdg(?:A|iOS)?/([0-9]{1,4})"),
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36 "
     "Edg/{0}.0.0.0"),
    (re.compile(rb".*\b(?:Headless)?Chrom(?:e|ium)/([0-9]{1,4})"),
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36"),
    (re.compile(rb".*\bVersion/([0-9]{1,4})[0-9.]* (?:Mobile/[0-9A-Za-z]+ )?Safari/"),
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{0}.0 "
     "Safari/605.1.15"),
)  # fmt: skip
"""What tells the browsers apart, and what each of them says where it says least, on the system that most have."""


class Circumstances(NamedTuple):
    """What of a request matters here, besides its fields."""

    is_third_party: bool
    """It is for a page of another site."""
    is_page: bool
    """It is for a page that somebody goes to, whose cookies are its own."""
    who: forwarding.Trail | None = None
    """What `trail = "send"` sends."""
    is_trusted: bool = False
    """Whether the client is a proxy whose word about its clients is believed."""


def circumstances_of(request: Request) -> Circumstances:
    """What a request says of what it is for."""
    said = {line[0]: line[2] for line in request.fields.lines if line[0] in _TELLING}
    site = said.get(b"sec-fetch-site")
    if site is not None:
        is_third_party = site.lower() == b"cross-site"
    else:
        before = said.get(b"origin") or said.get(b"referer") or b""
        is_third_party = _is_other_site(before, request.target)
    destination = said.get(b"sec-fetch-dest")
    if destination is not None:
        is_page = destination.lower() == b"document"
    else:
        is_page = said.get(b"accept", b"").startswith(b"text/html")
    return Circumstances(is_third_party, is_page)


_TELLING: Final = frozenset((b"sec-fetch-site", b"sec-fetch-dest", b"origin", b"referer", b"accept"))


def _is_other_site(before: bytes, target: Target) -> bool:
    match = _HOST.match(before)
    if match is None:
        return False
    return site_of(match[1].decode("ascii").lower().strip("[]")) != site_of(target.authority.host)


def site_of(host: str) -> str:
    """The part of a host's name that one owner has, as far as it can be told without a list."""
    labels = host.split(".")
    if _ADDRESS.fullmatch(host) is not None or len(labels) < 3:
        return host
    is_short = len(labels[-2]) <= 3 and len(labels[-1]) == 2
    return ".".join(labels[-3:] if is_short else labels[-2:])


def inbound(lines: list[FieldLine], plan: Plan, around: Circumstances) -> list[FieldLine]:
    """The fields of a request as a server sees them."""
    dropped = _dropped(plan, around.is_third_party and not around.is_page)
    hints = b"sec-ch-" if plan.client_hints == "remove" else None
    kept: list[FieldLine] = []
    for line in lines:
        key = line[0]
        if key in dropped or (hints is not None and key.startswith(hints)):
            continue
        if key == b"referer":
            kept += _referer(line, plan.referer, around)
        elif key == b"user-agent":
            kept += _user_agent(line, plan.user_agent)
        elif key == b"accept-language":
            kept += _language(line, plan.languages)
        else:
            kept.append(line)
    if b"if-range" in dropped and any(line[0] == b"if-range" for line in lines):
        kept = [line for line in kept if line[0] != b"range"]  # which part of what, nobody could tell any more
    if plan.signals == "set":
        kept += _SIGNALS
    if plan.trail == "send" and around.who is not None:
        claimed = [line for line in lines if line[0] in forwarding.IDENTITY] if around.is_trusted else []
        kept = forwarding.with_identity(kept + claimed, around.who, around.is_trusted)
    return kept


@lru_cache(maxsize=256)
def _dropped(plan: Plan, is_foreign: bool) -> frozenset[bytes]:
    """The names of those fields of a request that go."""
    dropped: set[bytes] = set()
    if plan.trail == "remove":
        dropped |= _TRAIL
    elif plan.trail == "send":
        dropped |= forwarding.IDENTITY
    if _drops(plan.cookies, is_foreign):
        dropped.add(b"cookie")
    if _drops(plan.validators, is_foreign):
        dropped |= _ASKING_AGAIN
    if plan.client_hints == "remove":
        dropped |= _CLIENT_HINTS
    if plan.identifiers == "remove":
        dropped |= _IDENTIFIERS
    if plan.signals == "set":
        dropped |= {line[0] for line in _SIGNALS}
    return frozenset(dropped)


@lru_cache(maxsize=256)
def _dropped_of_responses(plan: Plan, is_foreign: bool) -> frozenset[bytes]:
    """The same for a response."""
    dropped: set[bytes] = set()
    if _drops(plan.cookies, is_foreign):
        dropped.add(b"set-cookie")
    if _drops(plan.validators, is_foreign):
        dropped |= _VALIDATORS
    if plan.client_hints == "remove":
        dropped |= _WISHES_FOR_HINTS
    return frozenset(dropped)


def outbound(lines: list[FieldLine], plan: Plan, around: Circumstances) -> list[FieldLine]:
    """The fields of a response as the client sees them: without what it would be known by the next time."""
    dropped = _dropped_of_responses(plan, around.is_third_party and not around.is_page)
    return [line for line in lines if line[0] not in dropped] if dropped else lines


def _drops(what: str, is_foreign: bool) -> bool:
    return what == "remove" or (what == "same-site" and is_foreign)


def _referer(line: FieldLine, what: str, around: Circumstances) -> list[FieldLine]:
    if what == "keep":
        return [line]
    if what == "remove" or (what == "same-site" and around.is_third_party):
        return []
    match = _ORIGIN.fullmatch(line[2])
    return [] if match is None else [field_line(line[1], match[1] + b"/")]


def _language(line: FieldLine, what: str) -> list[FieldLine]:
    if what == "keep":
        return [line]
    match = _LANGUAGE.fullmatch(line[2]) if what == "generalise" else None
    return [] if match is None else [field_line(line[1], match[1].lower())]


def _user_agent(line: FieldLine, what: str) -> list[FieldLine]:
    if what == "keep":
        return [line]
    return [] if what == "remove" else [field_line(line[1], general_user_agent(line[2]))]


@lru_cache(maxsize=256)
def general_user_agent(value: bytes) -> str:
    """What many others say: the browser with its main version, as on the system that most have; else the program's
    name."""
    for browser, text in _BROWSERS:
        if (match := browser.match(value)) is not None:
            return text.format(match[1].decode("ascii"))
    product = _PRODUCT.fullmatch(value)
    name = b"Mozilla" if product is None else product[1]
    return "Mozilla/5.0" if name == b"Mozilla" else name.decode("ascii")


def trail_of(exchange: Exchange, target: Target) -> forwarding.Trail:
    """What tells a server who asks: the client's address, and the user, percent-encoded where a name needs it."""
    host, port = exchange.client
    client = host if port else ""  # the path of a Unix socket is what its client likes to call itself
    ours = forwarding.trail(client, str(target.authority), target.scheme or "http")
    if not exchange.user:
        return ours
    user = quote(exchange.user, safe="!#$&'*+-.^_`|~@", errors="replace")
    forwarded = ours.forwarded + b';user="' + user.encode("ascii") + b'"'
    lines = [line if line[0] != b"forwarded" else field_line(line[1], forwarded) for line in ours.lines]
    return forwarding.Trail((*lines, field_line("X-Forwarded-User", user)), ours.forwarded_for, forwarded)

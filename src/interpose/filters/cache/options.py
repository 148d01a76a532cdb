"""What an operator may say about a cache."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

CacheSeconds = Annotated[float, Meta(ge=0, le=1 << 31)]
CookieName = Annotated[str, Meta(extra={"kind": "token"})]
FieldName = Annotated[str, Meta(extra={"kind": "token"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
PathPrefix = Annotated[str, Meta(extra={"kind": "path"})]


class CacheRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for some requests. The first rule that matches counts, those of the route before those of the cache;
    a key that it does not have is the cache's own."""

    path: PathPrefix = "/"
    """The path must be this or lie below it."""

    field: Label = ""
    """The request must have this field: `Name`, or `Name: value`. Empty: it need not."""

    cookie: Label = ""
    """The request must have a cookie of this name. Empty: it need not."""

    bypass: bool = False
    """Neither look into the cache nor store."""

    ttl_s: CacheSeconds | None = None
    """How long an answer is fresh that does not say so itself."""

    override_ttl_s: CacheSeconds | None = None
    """How long an answer is fresh, whatever it says. What is private or says no-store is not stored all the same."""

    grace_s: CacheSeconds | None = None
    """How long a stale answer may stand in for a server that fails."""

    unreachable_s: CacheSeconds | None = None
    """How long a stale answer may stand in for a server that does not answer at all."""

    ignored_parameters: tuple[str, ...] | None = None
    """Parameters of the query that make no difference; `utm_*` is every one that begins so."""

    key_cookies: tuple[CookieName, ...] | None = None
    """Cookies that make a difference: each value has answers of its own."""

    key_fields: tuple[FieldName, ...] | None = None
    """Fields of the request that make a difference, whether the answer says so in Vary or not."""


class CacheOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds where no rule says otherwise."""

    heuristic: bool = False
    """Whether an answer that is silent about its time, and has a Last-Modified, is fresh for a tenth of its age."""

    surrogate: bool = True
    """Whether CDN-Cache-Control and Surrogate-Control are meant for this cache."""

    ttl_s: float | None = None
    """How long an answer is fresh that does not say so itself."""

    grace_s: float = 0.0
    """How long a stale answer may stand in for a server that fails."""

    unreachable_s: float = 60.0
    """How long a stale answer may stand in for a server that does not answer at all."""

    obey_requests: bool = True
    """Whether clients may ask for a validation (`no-cache`, `max-age`) or for a stale answer."""

    store_cookies: bool = False
    """Whether answers that set cookies are stored."""

    finish_abandoned: bool = True
    """Whether a fetch goes on when everybody has left who wanted it."""

    ignored_parameters: tuple[str, ...] = ()
    key_cookies: tuple[str, ...] = ()
    key_fields: tuple[str, ...] = ()
    tag_fields: tuple[str, ...] = ("surrogate-key", "cache-tag")
    """Fields of answers whose words one can purge by."""

    rules: tuple[CacheRule, ...] = ()

    name: str = "interpose"
    """What the cache calls itself in Cache-Status."""

    is_gateway: bool = False
    """Whether the fields about the way of a request are ours, and not the client's own."""

    realm: str = ""
    """What tells these answers from those that others have for the same URL."""

    keys_host: bool = False
    """Whether the host that the client asked for is told in X-Forwarded-Host alone."""

    trusts: bool = False
    """Whether there are clients whose word about the way of a request is passed on."""

    told_fields: tuple[str, ...] = ()
    """Fields that tell servers who asks, in lower case: what is not for all is not stored, as with Authorization."""

    has_variants: bool = False
    """Whether filters above choose between answers (`Exchange.representation`)."""

"""What servers are told of who asks, as it is configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Condition = Annotated[str, Meta(extra={"kind": "condition"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]


class PrivacyRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What some servers are told of who asks. The first rule that matches decides; without one everything stays."""

    name: Label = ""
    """What log and `interpose check` call it. Empty: its profile."""

    when: Condition = ""
    """Which requests it means, as a query: `host:*.example.com`. Empty: all."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: every gateway and proxy."""

    profile: Literal["anonymous", "identify", "keep"] = "anonymous"
    """`anonymous` says as little as sites bear, `identify` tells who the client and the user are (only with a `when`
    that names who is trusted so far), `keep` changes nothing. Each key below says otherwise for itself."""

    trail: Literal["remove", "keep", "send"] | None = None
    """`Via`, `Forwarded`, `X-Forwarded-*`, `X-Real-IP` and their kind. `send` tells the client's address and the user
    in `Forwarded`, `X-Forwarded-*` and `X-Real-IP`, whatever the client says of itself. Without it: as the profile."""

    referer: Literal["keep", "origin", "same-site", "remove"] | None = None
    """`origin` leaves the site of the page before, `same-site` that only to the same site. Without it: as the
    profile."""

    user_agent: Literal["keep", "generalise", "remove"] | None = None
    """`generalise` leaves the browser and its main version, without system and device; of other programs, the name.
    Without it: as the profile."""

    client_hints: Literal["keep", "remove"] | None = None
    """`Sec-CH-*` and what is like it, and servers' wishes for them (`Accept-CH`). Without it: as the profile."""

    languages: Literal["keep", "generalise", "remove"] | None = None
    """`generalise` leaves the first language of `Accept-Language`, without country. Without it: as the profile."""

    signals: Literal["keep", "set"] | None = None
    """`set` says `DNT: 1` and `Sec-GPC: 1`: that one does not want to be followed. Without it: as the profile."""

    cookies: Literal["keep", "same-site", "remove"] | None = None
    """Cookies in both directions; `same-site` removes those of what other sites' pages embed. Without it: as the
    profile."""

    validators: Literal["keep", "same-site", "remove"] | None = None
    """`ETag`, `If-None-Match`, dates of change: with them a server knows a browser again without cookies. `same-site`
    removes them from what other sites' pages embed. Without it: as the profile."""

    identifiers: Literal["keep", "remove"] | None = None
    """Fields that say who asks or tie requests together: `From`, `X-Request-ID`, `traceparent`, those that telephone
    networks add. Without it: as the profile."""

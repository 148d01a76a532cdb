"""What somebody else is asked about a request, and what they decide."""

from __future__ import annotations

import msgspec


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May this pass? `url` is `host:port` where a tunnel is asked for. `fields` are those that the rule chose."""

    rule: str
    exchange: str
    listener: str
    client: str
    user: str | None
    groups: list[str]
    method: str
    url: str
    fields: dict[str, str]


class Decision(msgspec.Struct, frozen=True):
    """The answer: `message` is for the client that is not let through; `ttl_s` None leaves it to the rule."""

    allow: bool
    message: str = ""
    ttl_s: float | None = None

"""What is held, as it is configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.units import Bytes

MOST_HELD_BYTES = 1 << 30
"""The longest content that can be held."""

Query = Annotated[str, Meta(extra={"kind": "query"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
Wait = Annotated[float, Meta(ge=0, le=30 * 86400)]


class HoldRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages wait until somebody has looked. The first rule that matches decides."""

    name: Label = ""
    """What the desk calls it. Empty: its query."""

    when: Query
    """What it means, as a query: `method:POST host:shop.example`."""

    side: Literal["inbound", "outbound"] = "inbound"
    """Requests before they go on, or responses before they go back."""

    messages: bool = False
    """Messages of WebSockets, each by itself, instead of requests and responses; `when` asks about the request that one
    began with, and about the text of the message (`request.body:`, `response.body:`)."""

    action: Literal["hold", "pass"] = "hold"
    """`pass` lets through what rules after it would hold."""

    mode: Literal["wait", "accept"] = "wait"
    """(inbound) The client waits; or it is told 202 with a place to ask, and the desk delivers later."""

    timeout_s: Wait | None = None
    """After this long `on_timeout` is what happens. 0: never. Without it: 300 where the client waits, else never."""

    on_timeout: Literal["drop", "release"] = "drop"
    """What happens to a message about which nobody decided in time."""

    streams: bool = False
    """(outbound) Hold endless streams of events too, which means: until they end."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP."""


class HoldOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is held on one listener, and how much of it at most."""

    rules: tuple[HoldRule, ...] = ()
    """In the order in which they are asked."""
    max_content_bytes: Bytes = MOST_HELD_BYTES
    """The longest content that can be held."""

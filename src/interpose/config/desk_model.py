"""The `[desk]` table of a configuration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from interpose.config.texts import Folder, Webhook

Room = Annotated[int, Meta(ge=1 << 20, le=1 << 50)]
Age = Annotated[float, Meta(ge=60, le=10 * 365 * 86400)]


class Desk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages wait that a `[[hold]]` stopped, and how people are told."""

    dir: Folder = ""
    """Where they are kept. Empty: `desk` in the directory of this instance."""

    webhook: Webhook = ""
    """A URL that is sent a JSON object, with POST, for every message that begins to wait; its `text` is a sentence, as
    chats take it."""

    bell: bool = True
    """Whether the terminal that Interpose was started from says so too, and rings."""

    max_holds: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """The most messages that wait, or are being sent; above it the answer is 503."""

    max_bytes: Room = 10737418240
    """The most that is kept of messages; above it the answer is 507."""

    keep_decided_s: Age = 86400.0
    """How long a message can still be looked at when all is over. Its secrets go at once."""

    keep_abandoned_s: Age = 604800.0
    """When a message is dropped for which nobody waits any more, and that nobody sends."""

    max_attempts: Annotated[int, Meta(ge=1, le=1000)] = 20
    """How often the desk tries to deliver a message, at growing intervals up to five minutes, before somebody has to
    look at it again."""

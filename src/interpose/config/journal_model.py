"""The `[journal]` table of a configuration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from interpose.config.texts import Folder, Token
from interpose.core.units import Bytes

Room = Annotated[int, Meta(ge=1 << 20, le=1 << 50)]
Age = Annotated[float, Meta(ge=60, le=10 * 365 * 86400)]


class Journal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of every exchange, kept on disk, to be searched and replayed. Without this
    table, and without a console, nothing is recorded."""

    dir: Folder = ""
    """Where it is kept. Empty: `journal` in the directory of this instance."""

    max_body_bytes: Bytes = 1048576
    """How much of the content of a request, and of a response, is kept; the rest is counted."""

    max_bytes: Room = 2147483648
    """Room on disk; the oldest records make way."""

    max_age_s: Age = 604800.0
    """How long a record is kept."""

    redact: tuple[Token, ...] = ("Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie")
    """Fields whose values are never written: a replay says that they are missing."""

"""How connections to origins are made and kept: options of the client and its pool."""

from __future__ import annotations

from msgspec import Struct

from interpose.core.units import Count, Timeout


class Connections(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Connections to origins."""

    connect_timeout_s: Timeout = 10.0
    """For a connection to a server, TLS included."""

    answer_timeout_s: Timeout | None = None
    """From the last byte of a request to the first byte of its answer. Without it: 60 for a gateway, 300 for a
    proxy."""

    body_timeout_s: Timeout = 60.0
    """Without a byte of an answer's body that has begun (not for event streams)."""

    idle_timeout_s: Timeout = 60.0
    """How long an unused connection is kept for the next exchange."""

    max_idle: Count = 256
    """Unused connections that one worker keeps for one server."""

"""The `[limit_redis]` table of a configuration. (Those of `[[limit]]` are in `filters.limiting.options`.)"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from interpose.config.cache_model import Budget, Connections
from interpose.config.texts import File, RedisUrl


class LimitRedis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Redis or Valkey in which requests are counted for all machines."""

    url: RedisUrl
    """`redis://host:port`, `rediss://user:password@host/database` or `unix:///path`."""

    key_file: File | None = None
    """A file with a secret that all machines know, with which names are hashed. Without one the user and password of
    the URL are the secret."""

    expected_nodes: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Machines that share the limits. While Redis is away each lets through its part."""

    connect_timeout_s: Budget = 0.02
    """How long a connection may take to come about."""

    timeout_s: Budget = 0.05
    """How long an answer may take. A request waits for no longer."""

    max_connections: Connections = 8
    """Connections of each worker, at most."""

"""The `[[route]]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.texts import File, HostPattern, Label, Method, Name, PathPrefix
from interpose.core.fault import Fault
from interpose.filters.cache.options import CacheRule
from interpose.filters.compression.options import CompressionOptions

NO_CACHE = "off"
"""What a route says instead of the name of a cache to have none."""


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed answer."""

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    """The status."""

    text: str = ""
    """The content."""

    media_type: str = "text/plain; charset=utf-8"
    """Its `Content-Type`."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to requests whose host, path and method match. The most specific route wins, not the first one."""

    name: Label = ""
    """What log and `interpose check` call it. Empty: what it matches."""

    listeners: tuple[Name, ...] = ()
    """The gateways it belongs to, by name. Empty: all of them."""

    hosts: tuple[HostPattern, ...] = ()
    """Hosts, without port; `*.example` stands for every name below it. Empty: any."""

    path: PathPrefix = "/"
    """The path must be this or lie below it."""

    exact: bool = False
    """The path must be this."""

    methods: tuple[Method, ...] = ()
    """Methods. Empty: any."""

    upstream: Name = ""
    """Where matching requests go: the name of an `[[upstream]]`."""

    answer: Answer | None = None
    """A fixed answer, instead of an upstream."""

    encoded_slash: Literal["reject", "keep"] = "reject"
    """What happens to `%2F` and `%5C` in a path: 400, or passed on as they are."""

    cache: Name = ""
    """The `[[cache]]` that answers are kept in; `off` for none. Empty: that of the listener."""

    cache_rules: tuple[CacheRule, ...] = field(default=(), name="cache_rule")
    """Rules for the cache, of this route, looked at before those of the cache itself."""

    compression: CompressionOptions | None = None
    """How answers of this route are compressed, instead of the listener's way; `codings = []` for not at all."""

    scripts: tuple[File, ...] = ()
    """Files of your own filters, for this route only."""

    faults: tuple[Fault, ...] = field(default=(), name="fault")
    """What is to go wrong with exchanges of this route, on purpose."""

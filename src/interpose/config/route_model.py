"""The `[[route]]` table of a configuration."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from interpose.config.texts import Condition, File, HostPattern, Label, Method, Name, RoutePath
from interpose.core.fault import Fault
from interpose.core.units import Bytes
from interpose.engine.own_answers import Answer as Answer
from interpose.engine.own_answers import Redirect
from interpose.engine.static_files import FilesOptions
from interpose.filters.cache.options import CacheRule
from interpose.filters.compression.options import CompressionOptions
from interpose.filters.cors import CorsOptions
from interpose.filters.field_edits import FieldEdit
from interpose.filters.firewall.options import RouteFirewall
from interpose.filters.rewrite import RewriteOptions

NO_CACHE = "off"
"""What a route says instead of the name of a cache to have none."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to requests whose host, path and method match. The most specific route wins, not the first one."""

    name: Label = ""
    """What log and `interpose check` call it. Empty: what it matches."""

    listeners: tuple[Name, ...] = ()
    """The gateways it belongs to, by name. Empty: all of them."""

    hosts: tuple[HostPattern, ...] = ()
    """Hosts, without port; `*.example` stands for every name below it. Empty: any."""

    path: RoutePath = "/"
    """The path must be this or lie below it. A path with names, `/users/{id}`, is a whole one with anything for each
    name; `/files/{rest...}` goes on."""

    exact: bool = False
    """The path must be this."""

    methods: tuple[Method, ...] = ()
    """Methods. Empty: any."""

    when: Condition = ""
    """A query that the request must match too: `cookie.beta:1`. For a host and path such routes are asked first, in
    their order. Empty: none."""

    upstream: Name = ""
    """Where matching requests go: the name of an `[[upstream]]`."""

    answer: Answer | None = None
    """A fixed answer, instead of an upstream."""

    redirect: Redirect | None = None
    """Another address for the client, instead of an upstream."""

    files: FilesOptions | None = None
    """Files of a directory, instead of an upstream."""

    rewrite: RewriteOptions | None = None
    """What the server is asked for, where it is not what the client asks for."""

    fields: tuple[FieldEdit, ...] = field(default=(), name="field")
    """Fields that are set, added and removed."""

    cors: CorsOptions | None = None
    """Which other sites' scripts may read the answers."""

    max_body_bytes: Bytes = 0
    """The largest content of a request; above it the answer is 413. 0: what the listener allows, which is never
    exceeded."""

    max_response_bytes: Bytes = 0
    """The largest content of an answer; a larger one becomes 502, or breaks off. 0: no limit."""

    encoded_slash: Literal["reject", "keep"] = "reject"
    """What happens to `%2F` and `%5C` in a path: 400, or passed on as they are."""

    cache: Name = ""
    """The `[[cache]]` that answers are kept in; `off` for none. Empty: that of the listener."""

    cache_rules: tuple[CacheRule, ...] = field(default=(), name="cache_rule")
    """Rules for the cache, of this route, looked at before those of the cache itself."""

    compression: CompressionOptions | None = None
    """How answers of this route are compressed, instead of the listener's way; `codings = []` for not at all."""

    authentication: tuple[Name, ...] = ()
    """The `[[authentication]]` that know who may use this route, besides what the listener demands."""

    firewall: RouteFirewall | None = None
    """How the firewall treats this route, where that differs."""

    scripts: tuple[File, ...] = ()
    """Files of your own filters, for this route only."""

    faults: tuple[Fault, ...] = field(default=(), name="fault")
    """What is to go wrong with exchanges of this route, on purpose."""

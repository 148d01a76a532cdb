"""The `[[upstream_proxy]]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from interpose.config.texts import File, Name, ProxyUrl
from interpose.core.units import Seconds, Timeout


class UpstreamProxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other people's proxies, through which requests may go. Listeners and access rules say `through`."""

    name: Name
    """What listeners, rules and scripts call it."""

    servers: Annotated[tuple[ProxyUrl, ...], Meta(min_length=1)]
    """`http://host:port`, `https://host:port`, `socks5://host:port`, `socks4a://host:port` or `socks4://host:port`,
    with `user:password@` before the host where one is wanted. Of several any will do."""

    login_file: File | None = None
    """A file with `user:password`, for the servers that have none in their URL."""

    rotate: Literal["each", "client", "user", "host", "random"] = "each"
    """Which of several: each in turn; always the same one for a client, for a user or for a host; or any, by lot."""

    through: Name = ""
    """Another one through which these are reached: a chain. Empty: they are reached directly."""

    ca_file: File | None = None
    """Certificates of the authorities to believe about `https` proxies, in PEM, instead of the system's."""

    timeout_s: Timeout = 10.0
    """How long a proxy may take to connect to an origin."""

    check_interval_s: Seconds = 0.0
    """How often it is seen whether the proxies take connections. 0: only requests show."""

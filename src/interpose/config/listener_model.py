"""The `[[listener]]` table of a configuration, and the limits that each may have of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.texts import File, HostPattern, ListenAddress, Name, Network
from interpose.config.tls_model import Tls as Tls
from interpose.core.fault import Fault
from interpose.core.units import Bytes, Count, Port
from interpose.engine.datagram_table import DatagramOptions
from interpose.engine.pace import Timeouts
from interpose.engine.spool_options import SpoolOptions
from interpose.filters.compression.options import CompressionOptions

HTTP_ROLES = ("gateway", "proxy")
"""Roles whose listeners speak HTTP from the first byte."""

OPEN_ROLES = ("proxy", "socks", "auto")
"""Roles whose clients say where to go, and that must therefore not be open to all."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send and how much of it at once."""

    max_target_bytes: Annotated[int, Meta(ge=256, le=1 << 16)] = 8192
    """The longest target of a request; above it the answer is 414."""

    max_field_bytes: Annotated[int, Meta(ge=256, le=1 << 16)] = 8192
    """The longest line of a head; above it the answer is 431."""

    max_head_bytes: Annotated[int, Meta(ge=1024, le=1 << 20)] = 32768
    """The largest head; above it the answer is 431."""

    max_fields: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """The most fields in a head; above it the answer is 431."""

    max_body_bytes: Bytes = 0
    """The largest content of a request; above it the answer is 413. 0: no limit."""

    max_connections: Count = 0
    """Open connections of one worker on a listener; above it new ones wait. 0: as many as descriptors allow."""

    max_connections_per_client: Count = 0
    """Open connections of one client address in one worker; more are closed at once. 0: no limit."""

    max_exchanges_per_client: Count = 0
    """Exchanges of one client address at the same time in one worker; above it the answer is 429. 0: no limit."""


class Listener(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address on which connections are accepted, and what serves them."""

    name: Name = ""
    """What log, status and routes call it. Empty: its role, with a number from the second one on."""

    address: ListenAddress
    """`host:port`, `:port`, `[v6]:port` or `unix:path`. Port 0 takes any free one."""

    role: Literal["gateway", "proxy", "relay", "socks", "auto", "echo", "upper", "spool", "sink"]
    """`gateway` stands before HTTP servers of yours; `proxy` goes where its HTTP clients ask, `socks` where its SOCKS
    clients do, `auto` is both on one port. `relay` passes on whatever comes, `echo` sends it back, `upper` sends it
    back in capitals. `spool` stores files and sends them on, `sink` keeps them."""

    udp: bool = False
    """(relay, echo, upper) Datagrams instead of connections."""

    upstream: Name = ""
    """(gateway) The upstream of everything that no route takes. (relay, spool) Where everything goes."""

    tls: Tls | None = None
    """Speak TLS on this listener."""

    redirect_to_https: Literal["off", "301", "308"] = "off"
    """(gateway) Send clients of this listener to the same place with `https`, by a redirect of this status. What an
    ACME authority asks for is answered all the same."""

    https_port: Port = 443
    """(gateway) The port that they are sent to."""

    proxy_protocol_from: tuple[Network, ...] = ()
    """Networks of proxies before this one that begin each connection with a PROXY line, which says who the client is.
    They must send one; from others none is believed."""

    show: Literal["off", "text", "hex"] = "off"
    """(relay, echo, upper) Write to standard output who connects and what is sent."""

    allow_from: tuple[Network, ...] = ()
    """Client addresses or networks that may use it; others get 403, or are cut off where no HTTP is spoken. Empty:
    everybody who can connect."""

    auth: File | None = None
    """A file of users (`htpasswd -B`); who is not in it gets 407 from a proxy, 401 from a gateway."""

    authentication: tuple[Name, ...] = ()
    """The `[[authentication]]` that know who may use it, instead of `auth`. The first that recognises the credentials
    decides."""

    trusted: tuple[Network, ...] = ()
    """Networks of proxies before this one whose `Forwarded` and `X-Forwarded-*` are believed. Others' are replaced."""

    allow_upstream: tuple[Network, ...] = ()
    """(proxy, socks) Networks that may be reached although they are private. A proxy on loopback may reach loopback and
    private ones without it, but no link-local ones."""

    connect_ports: tuple[Port, ...] | None = None
    """(proxy, socks) Ports that a tunnel may lead to. Without it: 443; on loopback every port but 22, 25, 465, 587 and
    6379."""

    pac_exceptions: tuple[HostPattern, ...] = ()
    """(proxy) Hosts that `/proxy.pac` tells browsers to reach directly; `*.example` stands for every name below it."""

    through: Name = ""
    """(proxy, socks, auto) The `[[upstream_proxy]]` that requests go through about which no rule says otherwise. Empty:
    none."""

    cache: Name = ""
    """(gateway, proxy, auto) The `[[cache]]` that answers are kept in. Empty: they are not kept."""

    compression: CompressionOptions | None = None
    """(gateway, proxy, auto) Compress answers. Without this table they stay as they are."""

    limits: Limits | None = None
    """Limits of this listener; keys that are not given are those of `[limits]`."""

    timeouts: Timeouts | None = None
    """Timeouts of this listener; keys that are not given are those of `[timeouts]`."""

    datagrams: DatagramOptions | None = None
    """(relay with udp) Sessions of this listener; keys that are not given are those of `[datagrams]`."""

    spool: SpoolOptions | None = None
    """(spool, sink) Where files are kept, and how they go on."""

    faults: tuple[Fault, ...] = field(default=(), name="fault")
    """What is to go wrong with connections or datagrams of this listener, on purpose; where it speaks HTTP, with
    exchanges too."""

"""The tree of frozen structs that describes everything that runs.

A table of the file is a struct, a key is a field: unit in the name, default here, effect in the lines below it, from
which the manual is made. Types with a `kind` are texts with a meaning: `config/kinds.py` knows what each demands. A
`Config` made in Python goes through `load.verified`, so that a file, flags and a program are held to the same rules.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.cache_model import Cache
from interpose.config.console_model import Console
from interpose.config.desk_model import Desk
from interpose.config.journal_model import Journal
from interpose.config.metrics_model import Metrics, Traces
from interpose.config.upstream_model import Upstream as Upstream
from interpose.core.fault import Fault
from interpose.core.units import Bytes, Count, Port, Seconds, Timeout
from interpose.engine.connections import Connections
from interpose.engine.datagram_table import DatagramOptions
from interpose.engine.pace import Timeouts
from interpose.engine.spool_options import SpoolOptions
from interpose.filters.cache.options import CacheRule
from interpose.filters.compression.options import CompressionOptions
from interpose.filters.hold.options import HoldRule

Name = Annotated[str, Meta(extra={"kind": "name"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
Folder = Annotated[str, Meta(extra={"kind": "folder"})]
LogTarget = Annotated[str, Meta(extra={"kind": "log"})]
Network = Annotated[str, Meta(extra={"kind": "network"})]
ListenAddress = Annotated[str, Meta(extra={"kind": "address"})]
DnsServer = Annotated[str, Meta(extra={"kind": "dns"})]
HostPattern = Annotated[str, Meta(extra={"kind": "host"})]
PathPrefix = Annotated[str, Meta(extra={"kind": "path"})]
Method = Annotated[str, Meta(extra={"kind": "method"})]
Token = Annotated[str, Meta(extra={"kind": "token"})]


HTTP_ROLES = ("gateway", "proxy")
"""Roles whose listeners speak HTTP from the first byte."""

NO_CACHE = "off"
"""What a route says instead of the name of a cache to have none."""

OPEN_ROLES = ("proxy", "socks", "auto")
"""Roles whose clients say where to go, and that must therefore not be open to all."""


class Process(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The processes of one instance."""

    name: Name = ""
    """What this instance is called: its directory in the state directory, and `--name` of `status`, `reload` and
    `drain`. Empty: the role, or the file's name without its ending."""

    workers: Annotated[int, Meta(ge=0, le=256)] = 1
    """Worker processes. 0: one for each processor."""

    state_dir: Folder = ""
    """Where instances keep their lock and control socket. Empty: `$INTERPOSE_STATE`, else the platform's directory for
    state."""

    pseudonym: Token = "interpose"
    """What `Via` and `Proxy-Status` call this instance."""

    grace_s: Seconds = 30.0
    """How long running exchanges may go on after a drain began. `interpose proxy` and `interpose gateway` take 3."""

    pre_drain_s: Seconds = 0.0
    """How long new connections are still accepted after a drain began, for balancers that learn of it late."""

    memory_limit_bytes: Bytes = 0
    """Memory of one worker. At 85 % of it idle connections are closed, at 92 % the answer is 503, at 95 % no connection
    is accepted; a worker above the limit is replaced. 0: no limit."""

    max_lag_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """A worker whose loop has been blocked for so long is replaced."""


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written down."""

    access: LogTarget = "-"
    """Where the line for each exchange goes: a file, `-` for standard output, or `off`."""

    format: Literal["combined", "json"] = "combined"
    """Lines as Apache and nginx write them, or one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important message that is still written to standard error."""


class Dns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How names of servers are looked up."""

    servers: tuple[DnsServer, ...] = ()
    """Name servers to ask, as `address` or `address:port`. Empty: those of the system."""

    timeout_s: Timeout = 2.0
    """How long one question may take. It is asked twice."""

    max_names: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Names that one worker remembers."""


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


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of a listener that speaks TLS. Both files are read again when they change."""

    certificate: File
    """The certificate and what links it to its authority, in PEM."""

    key: File
    """The private key, in PEM, without a passphrase."""


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


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of your own filters. It is read again when it changes."""

    file: File
    """Python, with functions marked `@interpose.filter`."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all of them."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs: everything, and nothing else."""

    process: Process = Process()
    """The processes of one instance."""

    log: Log = Log()
    """What is written down."""

    dns: Dns = Dns()
    """How names of servers are looked up."""

    limits: Limits = Limits()
    """What a client may send; each listener may differ."""

    timeouts: Timeouts = Timeouts()
    """How long a client may take; each listener may differ."""

    connections: Connections = Connections()
    """Connections to origins; each upstream may differ."""

    datagrams: DatagramOptions = DatagramOptions()
    """Sessions of relays of datagrams; each listener may differ."""

    listeners: tuple[Listener, ...] = field(default=(), name="listener")
    """Where connections are accepted."""

    upstreams: tuple[Upstream, ...] = field(default=(), name="upstream")
    """Servers to which gateways send requests."""

    routes: tuple[Route, ...] = field(default=(), name="route")
    """Which request goes where."""

    caches: tuple[Cache, ...] = field(default=(), name="cache")
    """Where answers are kept."""

    holds: tuple[HoldRule, ...] = field(default=(), name="hold")
    """What waits until somebody has looked."""

    desk: Desk = Desk()
    """Where it waits."""

    journal: Journal | None = None
    """The record of what passed."""

    console: Console | None = None
    """The page that shows it."""

    metrics: Metrics | None = None
    """Numbers of it, for monitoring."""

    traces: Traces | None = None
    """What ties an exchange to others."""

    scripts: tuple[Script, ...] = field(default=(), name="script")
    """Files of your own filters."""

    def limits_of(self, listener: Listener) -> Limits:
        """The limits that hold on `listener`."""
        return listener.limits or self.limits

    def timeouts_of(self, listener: Listener) -> Timeouts:
        """The timeouts that hold on `listener`."""
        return listener.timeouts or self.timeouts

    def datagrams_of(self, listener: Listener) -> DatagramOptions:
        """The sessions that a relay of datagrams holds on `listener`."""
        return listener.datagrams or self.datagrams

    def connections_of(self, upstream: Upstream | None) -> Connections:
        """How servers of `upstream` are connected to; None: those a proxy's clients name."""
        return (upstream.connections if upstream else None) or self.connections

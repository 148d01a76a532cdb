"""The tree of frozen structs that describes everything that runs.

A table of the file is a struct, a key is a field: unit in the name, default here, effect in the lines below it, from
which the manual is made. Types with a `kind` are texts with a meaning: `config/kinds.py` knows what each demands. A
`Config` made in Python goes through `load.verified`, so that a file, flags and a program are held to the same rules.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.acme_model import Acme
from interpose.config.cache_model import Cache
from interpose.config.console_model import Console
from interpose.config.desk_model import Desk
from interpose.config.edit_model import Edit
from interpose.config.interception_model import Interception
from interpose.config.journal_model import Journal
from interpose.config.limit_model import LimitRedis as LimitRedis
from interpose.config.listener_model import HTTP_ROLES as HTTP_ROLES
from interpose.config.listener_model import OPEN_ROLES as OPEN_ROLES
from interpose.config.listener_model import Limits as Limits
from interpose.config.listener_model import Listener as Listener
from interpose.config.listener_model import Tls as Tls
from interpose.config.metrics_model import Metrics, Traces
from interpose.config.route_model import NO_CACHE as NO_CACHE
from interpose.config.route_model import Answer as Answer
from interpose.config.route_model import Route as Route
from interpose.config.texts import DnsServer, Folder, LogTarget, Name, Token
from interpose.config.upstream_model import Upstream as Upstream
from interpose.config.upstream_proxy_model import UpstreamProxy
from interpose.core.units import Bytes, Seconds, Timeout
from interpose.engine.connections import Connections
from interpose.engine.datagram_table import DatagramOptions
from interpose.engine.pace import Timeouts
from interpose.filters.access.options import AccessRule
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.blocklist.options import BlockList
from interpose.filters.error_pages import ErrorPage
from interpose.filters.experiment.options import Experiment
from interpose.filters.firewall.options import Firewall
from interpose.filters.hold.options import HoldRule
from interpose.filters.limiting.options import LimitRule
from interpose.filters.privacy.options import PrivacyRule
from interpose.filters.script.options import ScriptOptions

Script = ScriptOptions


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

    upstream_proxies: tuple[UpstreamProxy, ...] = field(default=(), name="upstream_proxy")
    """Other people's proxies, through which requests may go."""

    routes: tuple[Route, ...] = field(default=(), name="route")
    """Which request goes where."""

    edits: tuple[Edit, ...] = field(default=(), name="edit")
    """What is changed of texts, pages and fields."""

    privacy: tuple[PrivacyRule, ...] = ()
    """What servers are told of who asks."""

    error_pages: tuple[ErrorPage, ...] = field(default=(), name="error_page")
    """What clients are shown of errors."""

    caches: tuple[Cache, ...] = field(default=(), name="cache")
    """Where answers are kept."""

    access: tuple[AccessRule, ...] = ()
    """Who may go where."""

    authentication: tuple[AuthenticationOptions, ...] = ()
    """Ways to know who somebody is."""

    blocklists: tuple[BlockList, ...] = field(default=(), name="blocklist")
    """What is not to be reached."""

    experiments: tuple[Experiment, ...] = field(default=(), name="experiment")
    """Variants of something, given to clients by lot, and what comes of each."""

    limit_rules: tuple[LimitRule, ...] = field(default=(), name="limit")
    """How much each client, user or host may have."""

    limit_redis: LimitRedis | None = None
    """A Redis in which requests are counted for all machines. Without it each machine counts its own."""

    holds: tuple[HoldRule, ...] = field(default=(), name="hold")
    """What waits until somebody has looked."""

    firewall: Firewall | None = None
    """What requests to gateways and their answers are inspected for."""

    desk: Desk = Desk()
    """Where it waits."""

    acme: Acme | None = None
    """Who signs the certificates of listeners that order them."""

    interception: Interception | None = None
    """What is looked into of the TLS that passes."""

    journal: Journal | None = None
    """The record of what passed."""

    console: Console | None = None
    """The page that shows it."""

    metrics: Metrics | None = None
    """Numbers of it, for monitoring."""

    traces: Traces | None = None
    """What ties an exchange to others."""

    scripts: tuple[Script, ...] = field(default=(), name="script")
    """Files of your own functions."""

    @property
    def uses_scripts(self) -> bool:
        """Whether any filter is a script."""
        return bool(self.scripts) or any(route.scripts for route in self.routes)

    def script_of(self, file: str) -> Script:
        """What holds for a file that a route, a rule or a way to know users names: its first table says so."""
        return next((script for script in self.scripts if script.file == file), Script(file=file))

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

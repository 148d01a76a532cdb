"""The `[[upstream]]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.texts import CookieName, File, HashOn, Name, PathPrefix, Server, Service
from interpose.core.units import Bytes, Count, Seconds, Timeout
from interpose.engine.connections import Connections

Weight = Annotated[float, Meta(gt=0, le=1000)]
Checks = Annotated[int, Meta(ge=1, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]


class UpstreamServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(gateway) What is particular about one of the servers."""

    address: Server
    """Which one: as it stands in servers."""

    weight: Weight = 1.0
    """How much of the requests it gets, compared with the others."""

    max_active: Count = 0
    """Requests that it is sent at the same time by one worker. 0: what the upstream says."""


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(gateway) Each worker asks each server how it is, whether or not there are requests."""

    kind: Literal["http", "tcp"] = "http"
    """`http`: a GET must be answered with 2xx or 3xx. `tcp`: a connection must be made, TLS included where it is
    spoken."""

    path: PathPrefix = "/"
    """(http) What is asked for."""

    interval_s: Timeout = 5.0
    """From one check of a server to the next, give or take a tenth. Once a second at most."""

    timeout_s: Timeout = 2.0
    """How long a check may take."""

    rise: Checks = 2
    """Checks in a row that must go well before a server gets requests again."""

    fall: Checks = 3
    """Checks in a row that must fail before it gets none."""


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Servers of which any one will do."""

    name: Name
    """What routes and listeners call it."""

    servers: tuple[Server, ...] = ()
    """`http://host:port`, `https://host`, `host:port` or `unix:path`. For a relay `host:port`, `tls://host:port` or
    `unix:path`."""

    srv: tuple[Service, ...] = ()
    """(gateway) Services whose SRV records name further servers, such as `_http._tcp.shop.internal`. They are followed
    as the records change; a lower priority comes first, the others get requests while none of those is up."""

    srv_scheme: Literal["http", "https"] = "http"
    """(srv) What is spoken with those servers."""

    resolve: Literal["first", "each"] = "first"
    """(gateway) What a server given by name is: one, connected to at whichever of its addresses answers first; or, with
    `each`, as many as it has addresses, followed as they change."""

    backup: Name = ""
    """(gateway) Another upstream, which gets the requests while no server of this one is up."""

    mirror: Name = ""
    """(gateway) Another upstream, which gets a copy of requests. Its answers are thrown away, and nobody waits for
    them."""

    mirror_share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """(mirror) The share of requests that are copied, drawn by lot."""

    max_mirror_body_bytes: Bytes = 65536
    """(mirror) Requests with a longer content are not copied."""

    verify: bool = True
    """Whether the certificate of an https server must be valid for its name. Otherwise anybody on the way can read
    along."""

    ca_file: File | None = None
    """Certificates of the authorities to believe, in PEM, instead of the system's."""

    send_proxy_protocol: Literal["off", "v1", "v2"] = "off"
    """(of a relay) Begin each connection with a PROXY line in this version, which tells the server who the client
    is."""

    connections: Connections | None = None
    """Connections to these servers; keys that are not given are those of `[connections]`."""

    balance: Literal["round_robin", "least_active", "fastest", "hash", "first"] = "round_robin"
    """(gateway) Who gets a request: each server in turn, the one with the fewest requests under way, the better one of
    two drawn by lot, always the same one for what hash_on says, or the first one that is up."""

    hash_on: HashOn = "client"
    """(balance = "hash") What is to come to the same server: `client` (its address), `path`, `cookie:NAME` or
    `field:NAME`. Without the cookie or field: the client."""

    sticky_cookie: CookieName = ""
    """(gateway) The cookie that keeps a client with its server while that is up. Empty: no cookie."""

    sticky_key_file: File | None = None
    """A file with a secret, 16 bytes or more, that the cookie is signed with. Without it, whoever knows the servers'
    addresses can make cookies for them."""

    drained: tuple[Server, ...] = ()
    """(gateway) Those of the servers that get no new requests; `interpose drain SERVER` does it live."""

    retries: Annotated[int, Meta(ge=0, le=10)] = 1
    """(gateway) How often a request is sent to yet another server, where that can do no harm: nothing of it was sent,
    or its method may be repeated and the server broke off without an answer. At most a fifth of all requests."""

    max_active: Count = 0
    """(gateway) Requests that each server is sent at the same time by one worker; others wait. 0: no limit."""

    max_active_total: Count = 0
    """(gateway) The same for all servers together."""

    max_waiting: Count = 1000
    """(gateway) Requests of one worker that may wait for a server that is not full; above it the answer is 503."""

    queue_timeout_s: Timeout = 5.0
    """(gateway) How long one waits; then the answer is 503."""

    slow_start_s: Seconds = 0.0
    """(gateway) How long a server that has come back takes to get its whole share."""

    eject_failures: Count = 3
    """(gateway) A server is ejected after so many connections in a row that could not be made. 0: never."""

    eject_error_share: Share = 0.5
    """(gateway) It is ejected as well when this share of its last answers were errors (5xx, or broken off), and more
    than twice as many as elsewhere. 0: never."""

    max_ejected_share: Share = 0.5
    """(gateway) The part of the servers that may be ejected for errors, one at least."""

    eject_s: Timeout = 2.0
    """(gateway) How long an ejected server rests before one request tries it; each further time twice as long."""

    most_eject_s: Timeout = 60.0
    """(gateway) The longest rest."""

    check: Check | None = None
    """Asks the servers how they are. Without it they are judged by what becomes of requests alone."""

    particulars: tuple[UpstreamServer, ...] = field(default=(), name="server")
    """What is particular about some of the servers."""

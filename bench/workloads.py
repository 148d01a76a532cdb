"""The workloads: which peers take part in each, and how its cost is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench import compressing, handshakes, interception, measure, recording
from bench.configurations import INTERPOSE, INTERPOSE_LEAST, INTERPOSE_SILENT, INTERPOSE_TURNS, INTERPOSE_TWO
from bench.measure import Bench
from bench.origin import KIB
from bench.peers import Peer, Role
from bench.results import Measurement

GATEWAYS = ("nginx", "haproxy", INTERPOSE)
CACHES = ("nginx", "varnish", INTERPOSE)
PROXIES = ("squid", "tinyproxy", "proxy.py", "mitmproxy", INTERPOSE)

Measure = Callable[[Peer, Bench], Measurement]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a cost is shown, seconds or bytes times `scale`, and what is counted by the second."""

    label: str
    scale: float
    rate: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of work."""

    name: str
    title: str
    peers: tuple[str, ...]
    unit: Unit
    measure: Measure


US_PER_REQUEST = Unit("µs CPU / request", 1e6, "requests/s")
US_PER_HANDSHAKE = Unit("µs CPU / handshake", 1e6, "handshakes/s")
US_PER_DATAGRAM = Unit("µs CPU / datagram", 1e6, "datagrams/s")
MS_PER_BODY = Unit("ms CPU / body", 1e3, "bodies/s")
MS_PER_MIB = Unit("ms CPU / MiB", 1e3, "MiB/s")
MS_PER_GIB = Unit("ms CPU / GiB", 1e3, "GiB/s")
KIB_EACH = Unit("KiB each", 1 / KIB)
SECONDS = Unit("s", 1.0)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "gateway-1k",
            "gateway, 1 KiB, keep-alive",
            GATEWAYS,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.GATEWAY),
        ),
        Workload(
            "balanced-1k",
            "gateway, 1 KiB, four servers, checks and metrics",
            (INTERPOSE, INTERPOSE_TURNS, INTERPOSE_LEAST),
            US_PER_REQUEST,
            partial(measure.requests, role=Role.GATEWAY),
        ),
        Workload(
            "forward-1k",
            "forward, 1 KiB, keep-alive",
            PROXIES,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.PROXY),
        ),
        Workload(
            "gateway-64k",
            "gateway, 64 KiB",
            GATEWAYS,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.GATEWAY, path="/64k"),
        ),
        Workload(
            "gateway-10m",
            "gateway, 10 MiB",
            GATEWAYS,
            MS_PER_BODY,
            partial(measure.requests, role=Role.GATEWAY, path="/10m", connections=8),
        ),
        Workload(
            "connect",
            "CONNECT, bulk through one tunnel (HAProxy: TCP mode)",
            ("haproxy", *PROXIES),
            MS_PER_GIB,
            measure.bulk,
        ),
        Workload(
            "relay",
            "TCP relay, bulk through one connection",
            ("nginx", "haproxy", INTERPOSE),
            MS_PER_GIB,
            partial(measure.bulk, role=Role.RELAY),
        ),
        Workload(
            "datagrams",
            "UDP relay, 64 bytes, 200 clients (nginx: stream module)",
            ("nginx", INTERPOSE),
            US_PER_DATAGRAM,
            measure.datagrams,
        ),
        Workload(
            "tls-1k", "gateway, TLS, 1 KiB", GATEWAYS, US_PER_REQUEST, partial(measure.requests, role=Role.TLS_GATEWAY)
        ),
        Workload(
            "handshake",
            "TLS 1.3 handshake in full, P-256, nothing resumed, no request",
            GATEWAYS,
            US_PER_HANDSHAKE,
            handshakes.handshakes,
        ),
        Workload(
            "new-connection",
            "gateway, 1 KiB, a connection per request",
            GATEWAYS,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.GATEWAY, close=True),
        ),
        Workload(
            "hit-1k", "cache hit, 1 KiB, memory", CACHES, US_PER_REQUEST, partial(measure.requests, role=Role.CACHE)
        ),
        Workload(
            "hit-1k-disk",
            "cache hit, 1 KiB, disk, stored by another process",
            ("nginx", INTERPOSE),
            US_PER_REQUEST,
            partial(measure.requests, role=Role.DISK_CACHE, among=1024, stored_before=True),
        ),
        Workload(
            "hit-1m",
            "cache hit, 1 MiB, memory",
            CACHES,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.CACHE, path="/1m"),
        ),
        Workload(
            "miss-64k",
            "cache miss, 64 KiB fetched and stored in memory",
            CACHES,
            US_PER_REQUEST,
            partial(measure.requests, role=Role.CACHE, path="/64k", anew=True),
        ),
        Workload(
            "gzip-1m",
            "gateway, 1 MiB of text, compressed by gzip at level 5",
            ("nginx", INTERPOSE),
            MS_PER_MIB,
            compressing.compressed,
        ),
        Workload(
            "firewall-1k",
            "gateway, 1 KiB, inspected by the Core Rule Set at paranoia 1 (nginx: in two workers)",
            ("nginx", INTERPOSE),
            US_PER_REQUEST,
            partial(measure.requests, role=Role.FIREWALL),
        ),
        Workload("idle", "idle connection", GATEWAYS, KIB_EACH, partial(measure.idle, role=Role.GATEWAY)),
        Workload("idle-tls", "idle TLS connection", GATEWAYS, KIB_EACH, partial(measure.idle, role=Role.TLS_GATEWAY)),
        Workload("slow-reader", "slow reader of 64 MiB", GATEWAYS, KIB_EACH, partial(measure.held, upload=False)),
        Workload("stalled-upload", "stalled upload of 64 MiB", GATEWAYS, KIB_EACH, partial(measure.held, upload=True)),
        Workload(
            "workers",
            "two workers beside one, 1 KiB",
            (INTERPOSE, INTERPOSE_TWO),
            US_PER_REQUEST,
            partial(measure.requests, role=Role.GATEWAY),
        ),
        Workload(
            "recorded-1k",
            "gateway, 1 KiB, every exchange recorded on disk (its text indexed later, which is not in the figure)",
            ("mitmproxy", INTERPOSE_SILENT, INTERPOSE),
            US_PER_REQUEST,
            recording.recorded,
        ),
        Workload(
            "intercepted-1k",
            "forward, 1 KiB, keep-alive, TLS looked into, HTTP/1.1",
            ("mitmproxy", INTERPOSE),
            US_PER_REQUEST,
            interception.intercepted,
        ),
        Workload("start", "script/run until its first answer", (INTERPOSE,), SECONDS, measure.start),
    )
}

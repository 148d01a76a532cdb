"""The `[metrics]` and `[traces]` tables of a configuration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from interpose.config.texts import HostPattern, Label, ListenAddress, Network, Webhook
from interpose.core.units import Timeout


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers for Prometheus at `/metrics`, and `/healthz` and `/readyz` for probes. Without this table exchanges are
    not counted by route and server. The supervisor serves it, and no client of a proxy is ever led to it."""

    address: ListenAddress = "127.0.0.1:9464"
    """Where it listens: `host:port`, `:port`, `[v6]:port` or `unix:path`. It is read when the instance starts."""

    allow_from: tuple[Network, ...] = ()
    """Addresses or networks that may ask; others get 403. Empty: everybody who can connect, which is for loopback
    only."""

    hosts: tuple[HostPattern, ...] = ()
    """Names, besides `localhost` and any address, under which it may be asked. Others get 421, since they may be those
    of a page in somebody's browser."""


class Traces(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ties an exchange to those before and behind it. `traceparent` (W3C) passes as it comes, with or without this
    table; with it, its ids are in the notes of each exchange."""

    start: bool = False
    """Begin a trace for requests that have none, or none that is valid."""

    server_timing: bool = False
    """Say in `Server-Timing` how long the answer took, here and upstream. Everybody who gets the answer reads it."""

    otlp: Webhook = ""
    """A collector of OpenTelemetry that is sent spans (OTLP over HTTP, as JSON), such as `http://127.0.0.1:4318`;
    without a path, `/v1/traces` there. Every exchange is then a span, and every try upstream one below it. Empty:
    none."""

    otlp_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """(otlp) The share of the traces that begin here that is recorded. Those that came are as their `traceparent`
    says."""

    otlp_timeout_s: Timeout = 10.0
    """(otlp) How long the collector may take. What it does not take is lost, and counted; nothing waits for it."""

    service: Label = "interpose"
    """(otlp) What the collector calls this instance: `service.name`."""

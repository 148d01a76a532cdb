"""Where monitoring asks: bound before anything starts, as the console is, and served when the workers serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from interpose.config.metrics_model import Metrics
from interpose.config.model import Config
from interpose.core.networks import Networks
from interpose.net.address import parse_address
from interpose.net.listen import address_of, bind


class MetricsPlace:
    """A bound socket, and who may ask. `address` is its real one."""

    def __init__(self, metrics: Metrics) -> None:
        """Bind it. ValueError, a sentence, when the address cannot be had."""
        self.socket: Any = bind(metrics.address)
        self.address = address_of(self.socket)
        self.allow_from = Networks(metrics.allow_from)
        self.hosts = metrics.hosts

    def in_place(self, config: Config) -> Config:
        """`config` with the real address, to which no client of a proxy is led."""
        if config.metrics is None:
            return config
        return replace(config, metrics=replace(config.metrics, address=self.address))

    @property
    def url(self) -> str:
        """What a monitor is told to ask."""
        return self.address if self.address.startswith("unix:") else f"http://{self.address}/metrics"


def complaints(config: Config) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """What a configuration must not say about it: where, the value there, what to do, and what that follows from."""
    metrics = config.metrics
    if metrics is None or not metrics.address:
        return
    if not metrics.allow_from and not parse_address(metrics.address).is_loopback:
        yield (
            "metrics.address",
            metrics.address,
            "would show the numbers to everybody who can reach this machine; say who may ask with allow_from "
            "(networks), or listen on 127.0.0.1",
            ("metrics.allow_from",),
        )
    taken = {listener.address: f"listener[{number}]" for number, listener in enumerate(config.listeners, 1)}
    if config.console is not None:
        taken[config.console.address] = "console"
    if (other := taken.get(metrics.address)) is not None and not metrics.address.endswith(":0"):
        yield "metrics.address", metrics.address, f"is the address of {other} already; give each its own", (other,)

"""What filters, clients and roles are made with."""

from __future__ import annotations

from collections.abc import Callable

from interpose.config.model import Config, Listener, Upstream
from interpose.config.parts import Parts
from interpose.engine.association import Judge
from interpose.engine.client import Dial
from interpose.engine.tunnel import Tunnels
from interpose.protocol.head import HeadParser


class Means:
    """What filters and clients are made with: long-lived parts, and how to reach origins.

    `dial_for` makes a dialler for a listener's policy or an upstream's servers, `judge_for` what only tells addresses.
    """

    def __init__(
        self,
        parts: Parts,
        dial_for: Callable[[Config, Listener | Upstream], Dial],
        judge_for: Callable[[Config, Listener], Judge],
        tunnels: Tunnels,
        parser: HeadParser,
    ) -> None:
        self.parts = parts
        self.dial_for = dial_for
        self.judge_for = judge_for
        self.tunnels = tunnels
        self.parser = parser

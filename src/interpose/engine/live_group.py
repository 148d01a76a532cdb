"""A group at work in one process: the chooser, the line before it, and the cookie that keeps clients with a server."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from interpose.core.target import Origin
from interpose.engine.health_checks import CheckOptions, HealthChecks
from interpose.engine.sticky import Sticky
from interpose.engine.waiting_line import WaitingLine
from interpose.upstream.group import Group, Member
from interpose.upstream.options import GroupOptions


class LiveOptions(NamedTuple):
    """What a group is to be like: see `config.upstream_model`. `drained` get no new requests."""

    members: Sequence[Member]
    group: GroupOptions
    retries: int = 1
    max_waiting: int = 0
    queue_timeout_s: float = 0.0
    drained: Collection[Origin] = ()
    sticky: Sticky | None = None
    check: CheckOptions | None = None


class LiveGroup:
    """The group of one upstream, with all routes that lead there. It outlives configurations. `tick` once a second."""

    def __init__(self, name: str) -> None:
        self.group = Group(name, random.random)
        self.line = WaitingLine(self.group)
        self.checks = HealthChecks(self.group)
        self.retries = 1
        self.sticky: Sticky | None = None

    def configure(self, options: LiveOptions, now: float) -> None:
        """Be like this from the next request on."""
        self.group.configure(options.members, options.group)
        self.group.drain(options.drained, now)
        self.retries = options.retries
        self.line.max_waiting, self.line.timeout_s = options.max_waiting, options.queue_timeout_s
        self.sticky = options.sticky
        self.checks.options = options.check
        if options.sticky is not None:
            options.sticky.have(self.group.servers)
        self.line.wake()

    def tick(self, now: float) -> None:
        """Once a second."""
        self.group.tick(now)
        self.checks.tick(now)
        self.line.wake()

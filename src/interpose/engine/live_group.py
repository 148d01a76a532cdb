"""A group at work in one process: the chooser, the line before it, and the cookie that keeps clients with a server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from interpose.core.target import Origin
from interpose.engine.client import Dial, UpstreamClient
from interpose.engine.health_checks import CheckOptions, HealthChecks
from interpose.engine.membership import Membership, Resolve, Services, Source
from interpose.engine.sticky import Sticky
from interpose.engine.waiting_line import WaitingLine
from interpose.upstream.group import Group, Member
from interpose.upstream.options import GroupOptions


class LiveOptions(NamedTuple):
    """What a group is to be like: see `config.upstream_model`. `drained` get no new requests."""

    members: Sequence[Source]
    group: GroupOptions
    retries: int = 1
    max_waiting: int = 0
    queue_timeout_s: float = 0.0
    drained: Collection[Origin] = ()
    sticky: Sticky | None = None
    check: CheckOptions | None = None


class Reach(NamedTuple):
    """How the servers of a group are reached: `dial` and `client` by its checks, the others by whoever looks up who
    they are."""

    dial: Dial
    client: UpstreamClient | None = None
    resolve: Resolve | None = None
    services: Services | None = None


class LiveGroup:
    """The group of one upstream, with all routes that lead there. It outlives configurations. `tick` once a second."""

    def __init__(self, name: str) -> None:
        self.group = Group(name, random.random)
        self.line = WaitingLine(self.group)
        self.checks = HealthChecks(self.group)
        self.membership = Membership(name, self._have)
        self.retries = 1
        self.sticky: Sticky | None = None
        self._prepared: tuple[LiveOptions, Reach] | None = None
        self._options = LiveOptions([], GroupOptions())
        self._clock = asyncio.get_running_loop().time

    def prepare(self, options: LiveOptions, reach: Reach) -> None:
        """Be like this once the configuration that is being built begins to run (`settle`), if it ever does."""
        self._prepared = options, reach

    def settle(self) -> None:
        """Be as was prepared."""
        if self._prepared is None:
            return
        options, reach = self._prepared
        self.checks.dial, self.checks.client = reach.dial, reach.client
        self.membership.resolve, self.membership.services = reach.resolve, reach.services
        self.configure(options)

    def configure(self, options: LiveOptions) -> None:
        """Be like this from the next request on."""
        self._options = options
        self.retries = options.retries
        self.line.max_waiting, self.line.timeout_s = options.max_waiting, options.queue_timeout_s
        self.sticky = options.sticky
        self.checks.options = options.check
        self._have(self.membership.configure(options.members))

    def _have(self, members: Sequence[Member]) -> None:
        """These are the servers now."""
        options = self._options
        self.group.configure(members, options.group)
        self.group.drain(options.drained, self._clock())
        if options.sticky is not None:
            options.sticky.have(self.group.servers)
        self.line.wake()

    def tick(self, now: float) -> None:
        """Once a second."""
        self.membership.tick()
        self.group.tick(now)
        self.checks.tick(now)
        self.line.wake()

"""A limit, as it is configured."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.limit_book import Terms
from interpose.core.units import Bytes, Count

Query = Annotated[str, Meta(extra={"kind": "query"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
LimitBy = Annotated[str, Meta(extra={"kind": "limit_by"})]


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of something each client, user or host may have. All limits that match hold."""

    name: Name
    """What log, metrics, access rules and the fields of answers call it."""

    when: Query = "*"
    """Which requests it is about, as a query: `host:api.example method:POST`. Without it: every request."""

    only_by_rule: bool = False
    """Only for requests for which an access rule names it (`action = "limit"`)."""

    by: LimitBy = "client"
    """Who has an allowance of their own: each `client` (in IPv6 each network of 64 bits), `user`, `host`, each value of
    `field:NAME` or `cookie:NAME`; or `rule` for one allowance that all share. Who has no user or no such field is
    counted as a client."""

    requests_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Requests a second, in the long run. 0: no limit."""

    burst: Count = 0
    """Requests that may come at once after a pause. 0: those of one second, and one at least."""

    max_exchanges: Count = 0
    """Exchanges under way at the same time, tunnels among them. 0: no limit."""

    bytes_per_s: Bytes = 0
    """Content a second, in each direction; what is more waits its turn. Tunnels count whole. 0: no limit."""

    bytes_per_day: Bytes = 0
    """Content of both directions from midnight to midnight (UTC). When it is used up, what is under way is broken off,
    and what comes is refused. 0: no limit."""

    tell: bool = False
    """Say in every answer how much is left (`RateLimit`), not only in refusals."""

    on_failure: Literal["share", "allow", "deny"] = "share"
    """While whoever counts cannot be asked (the Redis of `[limit_redis]`, a supervisor that is busy): each worker lets
    through its share of the limit, or everything, or nothing."""

    max_keys: Annotated[int, Meta(ge=100, le=10_000_000)] = 100_000
    """Clients, users or hosts that are remembered; the one that came least lately is forgotten first."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP or SOCKS. Of a relay each connection counts as a
    request."""

    @property
    def terms(self) -> Terms:
        """What is counted for each key."""
        burst = self.burst or max(1, math.floor(self.requests_per_s))
        return Terms(self.requests_per_s, burst, self.max_exchanges, self.bytes_per_day)

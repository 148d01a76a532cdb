"""Where limits hold, and who has to count: what the supervisor wants to know before it loads anything for it."""

from __future__ import annotations

import os

from interpose.config.model import HTTP_ROLES, OPEN_ROLES, Config, Listener
from interpose.filters.limiting.options import LimitRule

SERVICE = "limits"
"""The first word of what workers ask about them."""

_WHEN_NAMED = ("relay", "echo", "upper")

COUNTED_AS = "limit"
"""What refusals are counted as, beside the hits of access rules."""


def limits_for(config: Config, listener: Listener) -> list[LimitRule]:
    """The limits of a listener; of a relay only those that name it."""
    if listener.udp or listener.role not in (*HTTP_ROLES, *OPEN_ROLES, *_WHEN_NAMED):
        return []
    takes_all = listener.role not in _WHEN_NAMED
    return [
        rule for rule in config.limit_rules if listener.name in rule.listeners or (takes_all and not rule.listeners)
    ]


def workers_of(config: Config) -> int:
    """How many workers serve."""
    return config.process.workers or len(os.sched_getaffinity(0))


def needs_service(config: Config) -> bool:
    """Whether somebody has to count for all workers, or over restarts."""
    rules = config.limit_rules
    return any(rule.bytes_per_day for rule in rules) or (bool(rules) and workers_of(config) > 1)


def in_words(rule: LimitRule) -> str:
    """One limit, for people."""
    burst = f" (burst {rule.terms.burst})"
    allowed = (
        (rule.requests_per_s, f"{rule.requests_per_s:g} requests/s{burst}"),
        (rule.max_exchanges, f"{rule.max_exchanges} exchanges"),
        (rule.bytes_per_s, f"{rule.bytes_per_s} bytes/s"),
        (rule.bytes_per_day, f"{rule.bytes_per_day} bytes/day"),
    )
    whose = "in all" if rule.by == "rule" else f"per {rule.by}"
    return f"{', '.join(words for value, words in allowed if value)} {whose}"

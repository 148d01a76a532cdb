"""What the parts of a process have counted, by the names that the status and monitoring have."""

from __future__ import annotations

from interpose.config import certificates, experiments, firewall, interception, scripts, tracing
from interpose.config.caches import cache_counters
from interpose.config.faults import faults_total
from interpose.config.parts import Parts
from interpose.filters.cache.keeper import Keeper


def counters_of(parts: Parts) -> dict[str, float]:
    """All of it. What is not configured counts nothing, and mostly has no name either."""
    return {
        "faults_total": faults_total(parts),
        **certificates.counters(parts),
        **cache_counters(parts.every(Keeper)),
        **experiments.counters(parts),
        **firewall.counters(parts),
        **interception.interception_counters(parts),
        **scripts.counters(parts),
        **tracing.counters(parts),
    }

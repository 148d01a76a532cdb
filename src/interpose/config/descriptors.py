"""Whether this process may have as many descriptors as a configuration allows connections."""

from __future__ import annotations

from interpose.config.model import Config
from interpose.net.listen import connections_possible


def check_descriptors(config: Config) -> None:
    """ValueError when the connections that `config` allows need more descriptors than this process may have."""
    possible = connections_possible()
    wanted = sum(config.limits_of(listener).max_connections for listener in config.listeners)
    if wanted > possible:
        raise ValueError(
            f"limits.max_connections: {wanted} connections need more descriptors than a worker may have, which are "
            f"enough for {possible}; lower it, or raise the limit (LimitNOFILE= of systemd, or ulimit -n)."
        )

"""The roles below HTTP, made from a configuration: one function for each, in one table."""

from __future__ import annotations

from collections.abc import Callable

from interpose.config.build import Means
from interpose.config.model import Config, Listener
from interpose.engine.conversations import Serve


def serve_of(config: Config, listener: Listener, means: Means) -> Serve:
    """What serves each connection of `listener`. ValueError, a sentence, when something that it needs is broken."""
    return _ROLES[listener.role](config, listener, means)


_ROLES: dict[str, Callable[[Config, Listener, Means], Serve]] = {}

"""The roles below HTTP, made from a configuration: one function for each, in one table."""

from __future__ import annotations

from collections.abc import Callable

from interpose.config.build import Means
from interpose.config.model import Config, Listener
from interpose.engine.conversations import Serve
from interpose.engine.echo import Echo, upper
from interpose.engine.narration import Narration
from interpose.storage.line_writer import LineWriter


def serve_of(config: Config, listener: Listener, means: Means) -> Serve:
    """What serves each connection of `listener`. ValueError, a sentence, when something that it needs is broken."""
    return _ROLES[listener.role](config, listener, means)


def narration_of(listener: Listener, means: Means) -> Narration | None:
    """What tells people on standard output what passes through `listener`; None when nobody wants to know."""
    if listener.show == "off":
        return None
    writer = means.parts.get(LineWriter, "-", lambda: LineWriter("-"))
    return Narration(writer.write, listener.show)


def echo_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Sends everything back."""
    return Echo(None, narration_of(listener, means))


def upper_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Sends everything back in capitals."""
    return Echo(upper, narration_of(listener, means))


_ROLES: dict[str, Callable[[Config, Listener, Means], Serve]] = {
    "echo": echo_of,
    "upper": upper_of,
}

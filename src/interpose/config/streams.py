"""The roles below HTTP, made from a configuration: one function for each, in one table."""

from __future__ import annotations

from collections.abc import Callable

from interpose.config import balancing, scripts, spools, through
from interpose.config.admission import Admitted, admission_of
from interpose.config.authentication_tables import of_listener
from interpose.config.build import Means, looks_into, reach_of
from interpose.config.model import OPEN_ROLES, Config, Listener
from interpose.config.origins import origin_of
from interpose.config.steps import destination_of, users_of
from interpose.engine.association import Associations
from interpose.engine.conversations import Serve
from interpose.engine.echo import Echo, upper
from interpose.engine.narration import Narration
from interpose.engine.relay import Relay, as_relayed
from interpose.engine.socks import Socks
from interpose.filters.destination import Destination
from interpose.storage.line_writer import LineWriter


def serve_of(config: Config, listener: Listener, means: Means) -> Serve:
    """What serves each connection of `listener`. ValueError, a sentence, when something that it needs is broken."""
    serve = _ROLES[listener.role](config, listener, means)
    if listener.role in OPEN_ROLES or (admit := admission_of(config, listener, means.parts)) is None:
        return serve
    return Admitted(admit, serve)


def narration_of(listener: Listener, means: Means) -> Narration | None:
    """What tells people on standard output what passes through `listener`; None when nobody wants to know."""
    if listener.show == "off":
        return None
    mode = listener.show
    writer = means.parts.get(LineWriter, "-", lambda: LineWriter("-"))
    return means.parts.get(Narration, mode, lambda: Narration(writer.write, mode))


def echo_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Sends everything back."""
    return Echo(None, narration_of(listener, means))


def upper_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Sends everything back in capitals."""
    return Echo(upper, narration_of(listener, means))


def relay_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Passes everything on to the servers of an upstream."""
    upstream = next(upstream for upstream in config.upstreams if upstream.name == listener.upstream)
    dial = means.dial_for(config, listener)
    live = balancing.group_of(upstream, means.parts, reach_of(config, upstream, means, dial))
    return Relay(
        dial,
        live,
        means.tunnels,
        idle_timeout_s=config.timeouts_of(listener).tunnel_timeout_s,
        send_proxy_protocol=None if upstream.send_proxy_protocol == "off" else upstream.send_proxy_protocol,
        narration=narration_of(listener, means),
        asked=scripts.asked_messages(config, listener, means.parts),
    )


def socks_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Connects its clients to where they ask."""
    ports = Destination(destination_of(config, listener))
    interception = looks_into(config, listener, means)
    admit = admission_of(config, listener, means.parts)
    return Socks(
        means.dial_for(config, listener),
        means.tunnels,
        ports.demand,
        opening_timeout_s=config.timeouts_of(listener).head_timeout_s,
        idle_timeout_s=config.timeouts_of(listener).tunnel_timeout_s,
        join=None if interception is None else interception.join,
        authenticate=users_of(config, listener, means.parts).login if of_listener(config, listener) else None,
        associate=Associations(means.judge_for(config, listener), ports.demand, admit=admit),
        admit=admit,
        through=through.choice_of(config, listener, means),
    )


def spool_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Stores files and sends them to the server of an upstream."""
    upstream = next(upstream for upstream in config.upstreams if upstream.name == listener.upstream)
    return spools.spool_of(config, listener, means, as_relayed(origin_of(upstream.servers[0])))


def sink_of(config: Config, listener: Listener, means: Means) -> Serve:
    """Stores files."""
    return spools.sink_of(listener, means)


_ROLES: dict[str, Callable[[Config, Listener, Means], Serve]] = {
    "echo": echo_of,
    "upper": upper_of,
    "relay": relay_of,
    "spool": spool_of,
    "sink": sink_of,
    "socks": socks_of,
    "auto": socks_of,  # as far as no HTTP is spoken
}

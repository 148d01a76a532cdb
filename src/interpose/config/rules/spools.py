"""Spools have places of their own, and one receiver."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.model import Config
from interpose.config.problem import ABSENT, shown
from interpose.config.rules.breach import Breach, Rule, numbered


def _spools_fit(config: Config) -> Iterator[Breach]:
    places: dict[str, str] = {}
    servers = {upstream.name: upstream.servers for upstream in config.upstreams}
    for where, listener in numbered("listener", config.listeners):
        options, needs = listener.spool, (f"{where}.role", f"{where}.spool")
        if listener.role not in ("spool", "sink"):
            if options is not None:
                message = f"has no meaning for role {shown(listener.role)}; take it away, or make this spool or sink"
                yield Breach(f"{where}.spool", ABSENT, message, (f"{where}.role",))
            continue
        if options is None or not options.dir:
            yield Breach(f"{where}.spool.dir", ABSENT, "is missing; say where files are to be kept", needs)
            continue
        first = places.setdefault(options.dir, where)
        if first != where:
            message = f"is the directory of {first} already; give each its own"
            yield Breach(f"{where}.spool.dir", options.dir, message, (*needs, f"{first}.spool"))
        for key in ("hold", "delay_s"):
            if listener.role == "sink" and (value := getattr(options, key)):
                message = "has no meaning for a sink, from where nothing is sent; take it away, or make this a spool"
                yield Breach(f"{where}.spool.{key}", value, message, needs)
        if listener.role == "spool" and len(servers.get(listener.upstream, ())) > 1:
            message = "has several servers; a spool sends to one, so that it can tell what that one has got"
            yield Breach(f"{where}.upstream", listener.upstream, message, (*needs, "upstream"))


RULES: tuple[Rule, ...] = (_spools_fit,)

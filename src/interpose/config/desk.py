"""Holding messages, as far as workers do it: which filter holds what, and where contents wait."""

from __future__ import annotations

from functools import partial

from interpose.config.load import state_dir
from interpose.config.model import Config, Listener, Route
from interpose.config.parts import Parts
from interpose.engine.calls import Calls
from interpose.engine.linked_desk import LinkedDesk
from interpose.filters.hold.filter import Hold
from interpose.filters.hold.holder import Holder
from interpose.filters.hold.messages import HoldMessages
from interpose.filters.hold.options import MOST_HELD_BYTES, HoldOptions, HoldRule
from interpose.storage.desk.keeper import ContentKeeper


def desk_directory(config: Config) -> str:
    """Where the desk of this instance keeps what is held."""
    return config.desk.dir or str(state_dir(config.process.state_dir) / config.process.name / "desk")


def holder_of(config: Config, parts: Parts, calls: Calls) -> Holder:
    """What has messages held by the desk of this instance."""
    directory = desk_directory(config)
    return parts.get(Holder, directory, partial(_holder, directory, calls))


def _holder(directory: str, calls: Calls) -> Holder:
    return Holder(LinkedDesk(calls), ContentKeeper(directory, MOST_HELD_BYTES))


def rules_for(config: Config, listener: Listener) -> tuple[HoldRule, ...]:
    """The rules that are asked on `listener`, in their order."""
    return tuple(rule for rule in config.holds if not rule.listeners or listener.name in rule.listeners)


def hold_filter(listener: Listener, route: Route | None, parts: Parts, rules: tuple[HoldRule, ...]) -> Hold:
    """The filter that holds what `rules` mean."""
    (holder,) = parts.every(Holder)
    name = route.name if route is not None else ""
    make = partial(Hold, HoldOptions(rules=rules), holder, listener.name, name)
    return parts.get(Hold, (listener.name, name, rules), make)


def pieces_held(config: Config, listener: Listener, parts: Parts) -> HoldMessages | None:
    """What a relay asks before it passes something on; None where no rule names it."""
    rules = tuple(rule for rule in config.holds if listener.name in rule.listeners)
    if not rules:
        return None
    (holder,) = parts.every(Holder)
    return parts.get(HoldMessages, (listener.name, rules), lambda: HoldMessages(HoldOptions(rules=rules), holder))


def in_words(rules: tuple[HoldRule, ...]) -> str:
    """The rules, for people."""
    return "; ".join(f"{rule.action} {rule.name or rule.when} ({rule.side})" for rule in rules)

"""Limits can be asked where they stand, and limit something."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.limit_places import limits_for
from interpose.config.model import Config
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need

_KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER
_OF_SOMETHING = ("requests_per_s", "max_exchanges", "bytes_per_s", "bytes_per_day")


def _limits_can_be_asked(config: Config) -> Iterator[Breach]:
    """What a limit asks for is known before anything has gone on."""
    for where, rule in numbered("limit", config.limit_rules):
        try:
            demand(parse(rule.when), _KNOWN, rule.when)
        except QueryError as error:
            yield Breach(f"{where}.when", rule.when, str(error))


def _names_differ(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, rule in numbered("limit", config.limit_rules):
        first = seen.setdefault(rule.name, where)
        if first != where:
            message = f"is what {first} is called already; what they count would be mixed up"
            yield Breach(f"{where}.name", rule.name, message, (f"{first}.name",))


def _something_is_limited(config: Config) -> Iterator[Breach]:
    for where, rule in numbered("limit", config.limit_rules):
        if not any(getattr(rule, option) for option in _OF_SOMETHING):
            message = f"limits nothing; give {', '.join(_OF_SOMETHING[:-1])} or {_OF_SOMETHING[-1]}"
            yield Breach(where, rule.name, message, [f"{where}.{option}" for option in _OF_SOMETHING])
        elif rule.burst and not rule.requests_per_s:
            message = "is for requests_per_s, which this limit does not have"
            yield Breach(f"{where}.burst", rule.burst, message, (f"{where}.requests_per_s",))


def _listeners_can_be_limited(config: Config) -> Iterator[Breach]:
    speaking = {listener.name: limits_for(config, listener) for listener in config.listeners}
    for where, rule in numbered("limit", config.limit_rules):
        for number, name in enumerate(rule.listeners, 1):
            if name in speaking and rule not in speaking[name]:
                message = "has neither requests nor connections that could be limited"
                yield Breach(f"{where}.listeners[{number}]", name, message)


def _redis_is_used(config: Config) -> Iterator[Breach]:
    if config.limit_redis is not None and not any(rule.requests_per_s for rule in config.limit_rules):
        message = "counts for limits with requests_per_s, and there is none; give one, or take this table away"
        yield Breach("limit_redis", ABSENT, message, ("limit",))


RULES: tuple[Rule, ...] = (
    _limits_can_be_asked,
    _names_differ,
    _something_is_limited,
    _listeners_can_be_limited,
    _redis_is_used,
)

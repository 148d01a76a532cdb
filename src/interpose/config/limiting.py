"""Limits, as far as they are made from a configuration: which hold where, and who counts for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from interpose.config.limit_means import LimitMeans
from interpose.config.limit_office import LimitOffice
from interpose.config.limit_places import COUNTED_AS, in_words, limits_for, workers_of
from interpose.config.load import state_dir
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.handler import Phase
from interpose.core.limit_book import LimitBook
from interpose.core.stream import Stream
from interpose.engine.calls import Calls
from interpose.engine.faults import FaultyStream, Lanes
from interpose.filters.limiting.counters import Alone, Everywhere, Telling, Together
from interpose.filters.limiting.filter import Counter, Limit, Limiting, Render
from interpose.filters.limiting.flows import Flows
from interpose.filters.limiting.options import LimitRule
from interpose.filters.meter import Counts


def steps_of(config: Config, listener: Listener, parts: Parts, render: Render) -> list[Step]:
    """The filter that keeps them, where there are any."""
    rules = limits_for(config, listener)
    make = partial(limiting_of, config, listener, parts, render)
    detail = "; ".join(f"{rule.name}: {in_words(rule)}" for rule in rules)
    return [Step(Phase.ADMIT, "limit", detail, make)] if rules else []


def service_of(config: Config) -> LimitOffice:
    """Who does."""
    return LimitOffice(Path(state_dir(config.process.state_dir)) / config.process.name)


def prepare(config: Config, parts: Parts, calls: Calls) -> None:
    """(in a worker, before chains are built) Have what limits share."""
    if config.limit_rules:
        parts.get(LimitMeans, None, lambda: LimitMeans(calls))


def limiting_of(config: Config, listener: Listener, parts: Parts, render: Render) -> Limiting:
    """What keeps the limits of `listener`, of its requests and of its conversations below HTTP."""
    return Limiting([limit_of(config, rule, parts) for rule in limits_for(config, listener)], render)


def limit_of(config: Config, rule: LimitRule, parts: Parts) -> Limit:
    """A limit on this worker. A reload that changes nothing of it leaves its counts; one that does begins anew what is
    counted here, and not what the supervisor counts."""
    key = (rule, workers_of(config), config.limit_redis)
    return parts.get(Limit, key, partial(_limit, config, rule, parts))


def _limit(config: Config, rule: LimitRule, parts: Parts) -> Limit:
    flows = _flows(config, rule, parts) if rule.bytes_per_s or rule.bytes_per_day else None
    return Limit(rule, _counter(config, rule, parts), flows, _hit(rule, parts), time.time)


def _counter(config: Config, rule: LimitRule, parts: Parts) -> Counter:
    (means,) = parts.every(LimitMeans)
    redis = config.limit_redis if rule.requests_per_s else None
    terms = rule.terms._replace(requests_per_s=0.0) if redis is not None else rule.terms
    clock = asyncio.get_running_loop().time
    workers = workers_of(config)
    here: Alone | Together
    if rule.bytes_per_day or (workers > 1 and (terms.requests_per_s or terms.max_exchanges)):
        here = Together(rule, terms, means.link, workers, clock)
    else:
        here = Alone(LimitBook(terms, rule.max_keys), clock)
    if redis is None:
        return here
    counts_here = bool(terms.max_exchanges or terms.bytes_per_day)
    return Everywhere(rule, means.rates(redis), here if counts_here else None, workers * redis.expected_nodes, clock)


def _flows(config: Config, rule: LimitRule, parts: Parts) -> Flows:
    (means,) = parts.every(LimitMeans)
    workers = workers_of(config)
    flows = Flows(rule.name, rule.bytes_per_s, rule.bytes_per_s / workers, means.pacer, _paced)
    if rule.bytes_per_day or workers > 1:
        flows.on_change = means.link.tells(rule.name, Telling(flows))
    return flows


def _paced(stream: Stream, lanes: Lanes) -> Stream:
    return FaultyStream(stream, (), asyncio.get_running_loop(), lanes)


def _hit(rule: LimitRule, parts: Parts) -> Callable[[], None]:
    counts = parts.every(Counts)
    return counts[0].of(("rule", (COUNTED_AS, rule.name)), shown=True).hit if counts else _uncounted


def _uncounted() -> None:
    """(where nothing serves: `check`)"""

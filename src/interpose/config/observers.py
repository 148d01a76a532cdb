"""Who hears of exchanges that no filter sees: conversations below HTTP, and requests that cannot be read."""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.exchange import Exchange
from interpose.filters.access_log import AccessLog
from interpose.filters.meter import Meter
from interpose.filters.recorder import Recorder

Observe = Callable[[Exchange], None]


def of_refusals(recorder: Recorder | None, access_log: AccessLog | None, meter: Meter | None) -> Observe | None:
    """Who hears of requests that cannot be read."""
    return _all_of(
        None if meter is None else meter.without_request,
        None if recorder is None else recorder.without_request,
        None if access_log is None else access_log.without_request,
    )


def of_conversations(recorder: Recorder | None, access_log: AccessLog | None) -> Observe | None:
    """Who hears of conversations when they begin."""
    return _all_of(
        None if recorder is None else recorder.conversation,
        None if access_log is None else access_log.without_request,
    )


def _all_of(*observers: Observe | None) -> Observe | None:
    there = [observe for observe in observers if observe is not None]
    if len(there) < 2:
        return there[0] if there else None

    def observe_all(exchange: Exchange) -> None:
        for observe in there:
            observe(exchange)

    return observe_all

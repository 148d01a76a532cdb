"""Holds can be decided."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND, Need
from interpose.filters.hold.options import HoldRule


def _holds_can_be_decided(config: Config) -> Iterator[Breach]:
    """What a query of a hold asks for is known when the hold is decided, and what it says goes together."""
    for where, hold in numbered("hold", config.holds):
        try:
            demand(parse(hold.when), _known(hold), hold.when)
        except QueryError as error:
            yield Breach(f"{where}.when", hold.when, str(error), (f"{where}.side", f"{where}.messages"))
        if hold.mode == "accept" and hold.side == "outbound":
            message = 'is for requests: a client cannot be told 202 when its answer is there; use mode = "wait"'
            yield Breach(f"{where}.mode", hold.mode, message, (f"{where}.side",))
        elif hold.mode == "accept" and hold.messages:
            message = 'is for requests, and this rule holds messages of WebSockets; use mode = "wait"'
            yield Breach(f"{where}.mode", hold.mode, message, (f"{where}.messages",))


def _known(hold: HoldRule) -> Need:
    """What is known when this is decided. Of a message of a WebSocket: the request that it began with, and itself."""
    if not hold.messages:
        return INBOUND if hold.side == "inbound" else OUTBOUND
    text = Need.REQUEST_BODY if hold.side == "inbound" else Need.RESPONSE_BODY
    return INBOUND & ~Need.REQUEST_BODY | text


RULES: tuple[Rule, ...] = (_holds_can_be_decided,)

"""Holds can be decided."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.model import Config
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND


def _holds_can_be_decided(config: Config) -> Iterator[Breach]:
    """What a query of a hold asks for is known when the hold is decided, and what it says goes together."""
    for where, hold in numbered("hold", config.holds):
        try:
            demand(parse(hold.when), INBOUND if hold.side == "inbound" else OUTBOUND, hold.when)
        except QueryError as error:
            yield Breach(f"{where}.when", hold.when, str(error), (f"{where}.side",))
        if hold.mode == "accept" and hold.side == "outbound":
            message = 'is for requests: a client cannot be told 202 when its answer is there; use mode = "wait"'
            yield Breach(f"{where}.mode", hold.mode, message, (f"{where}.side",))


RULES: tuple[Rule, ...] = (_holds_can_be_decided,)

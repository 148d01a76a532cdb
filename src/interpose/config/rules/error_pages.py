"""Error pages are for errors, and what they ask for is known by then."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.model import Config
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import Need

KNOWN = Need.CLIENT | Need.REQUEST_HEAD | Need.USER | Need.ROUTE | Need.RESPONSE_HEAD


def _pages_can_be_shown(config: Config) -> Iterator[Breach]:
    for where, page in numbered("error_page", config.error_pages):
        if not page.status:
            yield Breach(f"{where}.status", ABSENT, 'is empty; write ["404"] or ["4xx", "5xx"]')
        try:
            if page.when:
                demand(parse(page.when), KNOWN, page.when)
        except QueryError as error:
            yield Breach(f"{where}.when", page.when, str(error))


RULES: tuple[Rule, ...] = (_pages_can_be_shown,)

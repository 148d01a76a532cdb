"""Exchanges: what is promised for their end is kept, once and in order."""

from __future__ import annotations

import logging

import pytest

from interpose.core.exchange import Exchange, Outcome
from interpose.core.stream import Address

OUTCOME = Outcome(200, 5, None, 1.0)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(255, 3, "main", Address("127.0.0.1", 1), 0.0)


def test_what_is_to_be_done_at_the_end_is_done_once_last_first(exchange: Exchange) -> None:
    done: list[tuple[str, Outcome]] = []
    exchange.at_end(lambda outcome: done.append(("first", outcome)))
    exchange.at_end(lambda outcome: done.append(("last", outcome)))
    exchange.finish(OUTCOME)
    exchange.finish(Outcome(500, 0, None, 2.0))
    assert done == [("last", OUTCOME), ("first", OUTCOME)]
    assert exchange.outcome == OUTCOME


def test_one_that_raises_keeps_no_other_from_running(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def broken(outcome: Outcome) -> None:
        raise ZeroDivisionError

    exchange.at_end(lambda outcome: done.append("first"))
    exchange.at_end(broken)
    with caplog.at_level(logging.ERROR):
        exchange.finish(OUTCOME)
    assert done == ["first"]
    assert "at_end of exchange" in caplog.text


def test_what_is_added_while_it_ends_is_done_too(exchange: Exchange) -> None:
    done: list[str] = []
    exchange.at_end(lambda outcome: exchange.at_end(lambda outcome: done.append("late")))
    exchange.finish(OUTCOME)
    assert done == ["late"]


def test_it_has_a_short_name_of_its_own(exchange: Exchange) -> None:
    assert exchange.id == "3-ff"


def test_a_refusal_leaves_which_filter_which_rule_and_why(exchange: Exchange) -> None:
    exchange.refused_by("allow", "allow_from", "not you")
    assert exchange.notes == {"filter": "allow", "rule": "allow_from", "why": "not you"}


async def test_deadlines_rest_while_somebody_thinks(exchange: Exchange) -> None:
    assert not exchange.is_waiting
    async with exchange.waiting("hold"):
        async with exchange.waiting("another"):
            assert exchange.is_waiting
        assert exchange.is_waiting
    assert not exchange.is_waiting
    with pytest.raises(ZeroDivisionError):
        async with exchange.waiting("hold"):
            raise ZeroDivisionError
    assert not exchange.is_waiting

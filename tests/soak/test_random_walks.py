"""The laws for longer: what tests/laws tries the same few hundred times, goes on here at random for minutes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws import test_any_bytes as any_bytes
from tests.laws import test_conversations as conversations

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
LONG = settings(
    max_examples=int(os.environ.get("INTERPOSE_SOAK_EXAMPLES", "60000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)


@LONG
@given(
    st.lists(conversations.ASKED, min_size=1, max_size=6),
    st.lists(conversations.SAID, min_size=6, max_size=6),
    st.lists(st.one_of([*conversations.HARMLESS, *conversations.HARMFUL]), max_size=100),
    st.sampled_from([None, None, 0, 1000]),
    st.booleans(),
)
def test_longer_walks_end_as_well(
    asked: list[Any], said: list[Any], steps: list[Any], window: int | None, needs_tasks: bool
) -> None:
    conversations.check_repeats(conversations.walked(asked, said, steps, window, needs_tasks))


@LONG
@given(any_bytes.pieces_of(any_bytes.mutated("request") | st.binary(max_size=2000)))
def test_more_bytes_from_clients(octets: tuple[bytes, list[bytes]]) -> None:
    same(lambda pieces, wait: any_bytes.heard_by_the_server(pieces, wait=wait), octets)


@LONG
@given(
    any_bytes.pieces_of(any_bytes.mutated("response") | st.binary(max_size=2000)),
    st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_more_bytes_from_origins(octets: tuple[bytes, list[bytes]], method: str) -> None:
    same(lambda pieces, wait: any_bytes.heard_from_the_origin(pieces, method, wait=wait), octets)


def same(hear: Callable[[list[bytes], bool], Any], octets: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = octets
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        heard = runner.run(hear([whole], False))
        assert runner.run(hear(pieces, True)) == heard
        assert runner.run(hear(pieces, False)) == heard
        assert runner.run(hear([whole[n : n + 1] for n in range(len(whole))], False)) == heard

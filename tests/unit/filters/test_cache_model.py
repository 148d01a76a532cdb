"""Whatever happens, the cache does what its model does."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.support.cache_machine import CacheMachine
from tests.unit.filters.test_cache import Site

SHORT = settings(
    max_examples=50,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Machine(CacheMachine):
    """Over servers in memory."""

    site = Site
    loop = staticmethod(asyncio.new_event_loop)


def test_random_walks_through_the_cache_and_through_its_model_end_alike() -> None:
    run_state_machine_as_test(Machine, settings=SHORT)

"""Ten minutes of random requests through a cache and through its model."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.support.cache_machine import CacheMachine
from tests.support.event_loops import LOOPS
from tests.unit.filters.test_cache import Site

pytestmark = [pytest.mark.soak, pytest.mark.timeout(700)]
SECONDS = float(os.environ.get("INTERPOSE_SOAK_CACHE_S", "300"))  # on each of two event loops
LONG = settings(
    max_examples=20,
    stateful_step_count=100,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", LOOPS)
def test_ten_minutes_of_random_requests_agree_with_the_model(name: str) -> None:
    class Machine(CacheMachine):
        site = Site
        loop = staticmethod(LOOPS[name])

    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        run_state_machine_as_test(Machine, settings=LONG)
        rounds += 1
    assert rounds > 0

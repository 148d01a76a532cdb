"""Ten minutes of random requests through a cache, judged by a model."""

import time

import pytest
from tests.support.cache_model import walk
from tests.unit.filters.test_cache import Site

pytestmark = [pytest.mark.soak, pytest.mark.timeout(700)]


async def test_ten_minutes_of_random_requests_agree_with_the_model() -> None:
    end, seed = time.monotonic() + 300, 1000  # on each of two event loops
    while time.monotonic() < end:
        seed += 1
        await walk(Site, seed, 200)

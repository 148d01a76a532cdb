"""What runs in the test's own process runs on both event loops; the real program brings its own."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    is_alone = "place" in getattr(item, "fixturenames", ())
    stock = {} if is_alone else {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop, **stock}

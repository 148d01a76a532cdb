"""The long version of a flood of datagrams (A33)."""

from pathlib import Path

import pytest
from tests.scenes.test_udp_program import flood

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("u")


def test_a33_a_hundred_thousand_strangers_take_neither_memory_nor_anybodys_place(place: Path) -> None:
    flood(place, 100_000)

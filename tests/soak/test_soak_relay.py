"""10 GiB through a relay: every byte right, and its memory does not grow."""

from pathlib import Path

import pytest
from tests.scenes.test_relay_programs import pass_on

pytestmark = pytest.mark.soak


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")


def test_ten_gib_pass_in_little_memory(place: Path) -> None:
    assert pass_on(place, 10 << 10) < 8 << 20

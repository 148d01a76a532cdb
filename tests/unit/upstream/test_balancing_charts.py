"""The pictures of docs/balancing.md are what the code that chooses does today."""

from __future__ import annotations

import pytest
from bench.balancing_charts import DOCS, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_the_manual_shows_what_the_simulation_draws(name: str) -> None:
    assert (DOCS / f"balancing-{name}.svg").read_text("utf-8") == PICTURES[name]()
    assert f"](balancing-{name}.svg)" in (DOCS / "balancing.md").read_text("utf-8")

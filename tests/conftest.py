"""What holds for every test."""

import gc
import os
import sys

import pytest

# Where the environment forbids to keep bytecode, each program that a scene starts would compile its sources again: a
# third of its start. So would pytest with the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Shared tests say what they expected, as every test does.
pytest.register_assert_rewrite(
    "tests.support.store_conformance",
    "tests.support.cache_machine",
    "tests.support.desk_conformance",
    "tests.support.journal_conformance",
)


def pytest_collection_finish() -> None:
    """Twelve thousand tests are some million objects, which the collector need not look at again each time that a scene
    asks it for what was left behind: that took a quarter of a second."""
    gc.collect()
    gc.freeze()

"""What holds for every test."""

import pytest

# Shared tests say what they expected, as every test does.
pytest.register_assert_rewrite(
    "tests.support.store_conformance",
    "tests.support.cache_machine",
    "tests.support.desk_conformance",
    "tests.support.journal_conformance",
)

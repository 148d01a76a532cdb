"""The conformance test of stores says what it expected, as every test does."""

import pytest

pytest.register_assert_rewrite("tests.support.store_conformance")

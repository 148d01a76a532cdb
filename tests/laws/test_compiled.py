"""The tests know whether they run on compiled modules: a second run on the sources would prove nothing."""

from __future__ import annotations

import os

import interpose.core.body
import interpose.engine.server_connection
import interpose.protocol.head


def test_what_is_tested_is_what_was_meant() -> None:
    modules = (interpose.core.body, interpose.engine.server_connection, interpose.protocol.head)
    compiled = [not str(module.__file__).endswith(".py") for module in modules]
    assert compiled == [os.environ.get("INTERPOSE_IS_COMPILED") == "1"] * len(modules)

"""How many random examples a test looks at: few in `script/test`, many in `script/soak`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings


def examples(few: int, *, derandomize: bool = False) -> Any:
    """(a decorator) `few` examples, times `INTERPOSE_EXAMPLES` where that is set."""
    return settings(
        max_examples=few * int(os.environ.get("INTERPOSE_EXAMPLES", "1")),
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
